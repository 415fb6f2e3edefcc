"""Controllers of draft length, truncation, candidates and speculation, one file each."""
