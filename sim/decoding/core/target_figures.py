"""What the target's rows are like where it wrote: their entropy, and how surprised it is by the tokens that follow."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

from sim.decoding.core.rows import Row

TargetFigures = tuple[float, float]
"""Entropy of a row and -log2 of the probability that it gives to the token emitted after it, both in bits."""


def target_figures(p: Row, token: int) -> TargetFigures:
    """Figures of one emitted token.

    Args:
        p: The target's row.
        token: The token that the text goes on with.
    """
    return p.entropy_bits, -math.log2(max(p.prob(token), sys.float_info.min))


def target_stats(figures: Sequence[TargetFigures]) -> tuple[tuple[str, float], ...]:
    """A round's figures, means over its tokens; none where the target computed no row."""
    if not figures:
        return ()
    entropies, surprisals = zip(*figures, strict=True)
    return (
        ("target_entropy_bits", sum(entropies) / len(figures)),
        ("surprisal_bits", sum(surprisals) / len(figures)),
    )
