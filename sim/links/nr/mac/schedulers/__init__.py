"""Schedulers of the NR cell, one file each."""
