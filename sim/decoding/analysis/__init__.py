"""Closed forms and exact distributions."""
