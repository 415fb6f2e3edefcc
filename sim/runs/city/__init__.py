"""A city: cells as worlds of their own, coupled by what their neighbours send."""
