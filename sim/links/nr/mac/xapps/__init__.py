"""Controllers that set scheduler weights by measurement reports."""
