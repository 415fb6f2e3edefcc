"""Mutated inputs, killed processes, lost power: nothing may be lost, wrong in silence, or end in a traceback."""
