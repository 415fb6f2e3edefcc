"""Orchestrators: what share of a GPU is kept for layer 1, decided anew every period."""
