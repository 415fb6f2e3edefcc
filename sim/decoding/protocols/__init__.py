"""Decoding protocols, one file each; a file registers its name and reads like the paper's pseudo-code."""
