"""One-line faults that the tests must notice."""
