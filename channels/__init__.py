"""The air: geometry, propagation, fading and NR tables. Pure functions and arrays."""
