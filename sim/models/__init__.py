"""Language models: one interface, Hugging Face checkpoints, probability tables, and the embedded pair."""
