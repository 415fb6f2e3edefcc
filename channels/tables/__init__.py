"""Data tables of the air interface (JSON and CSV with provenance) and the scripts that made them."""
