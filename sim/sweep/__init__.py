"""Sweeps: points that are independent of each other, run anywhere, gathered in one table."""
