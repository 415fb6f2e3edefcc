"""SpecRAN: language-model inference over a radio link, simulated with real models in the loop."""
