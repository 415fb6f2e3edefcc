"""Verification rules, one file each: accept a candidate or correct, so that the output follows the target's law."""
