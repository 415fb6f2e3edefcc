"""Benchmarks: ``make bench`` runs them all; each compares like with like within one run and reports medians."""
