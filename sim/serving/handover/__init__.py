"""What becomes of a request when its device comes to a cell of another site, one policy per file."""
