"""Drivers give the steps of a protocol their meaning."""
