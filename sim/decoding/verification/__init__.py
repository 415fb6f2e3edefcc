"""Verification rules, a file each: accept a candidate or correct, so that the output has the target's distribution."""
