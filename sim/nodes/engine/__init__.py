"""Serving engines: what a model server computes next. Plain Python without a clock, which the server process has."""
