"""What a run is fed with: prompts, arrivals and lengths."""
