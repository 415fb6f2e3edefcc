"""``python -m sim.cli``: the same as ``specran``."""

from sim.cli import main

main()
