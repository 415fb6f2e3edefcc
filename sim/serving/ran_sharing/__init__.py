"""One GPU for layer 1 of cells and for models: what layer 1 takes, and the modes in which both share it."""
