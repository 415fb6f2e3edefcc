"""How long, and how many joules, a piece of model work takes."""
