"""Figures: drawn from tables alone, in a paper's column widths; nothing here simulates."""
