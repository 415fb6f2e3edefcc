"""Results: the rows and columns of the tables, and their files on disk."""
