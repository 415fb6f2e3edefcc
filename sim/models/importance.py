"""How much attention the newest token of a text gets, against the other tokens of its text."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Weights = npt.NDArray[np.float64]


def importance(weights: Weights) -> float:
    """The weight of a text's last token in its own attention, over the mean weight of all tokens but the first.

    The newest token has been seen by nobody but itself, so this is all the attention that it can have got. The first
    token of a text is left out of the mean: models put attention there that means nothing, and a mean with it would
    follow how much that is. 1 is an average token.

    Args:
        weights: Attention of the last token over the text, [num_tokens], sum 1.
    """
    others = weights[1:]
    mean = float(others.mean()) if len(others) else 0.0
    return float(weights[-1]) / mean if mean > 0 else 1.0
