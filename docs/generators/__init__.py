"""Makes the pages of the reference from the code: keys, columns, protocols, command line, gallery, validation."""
