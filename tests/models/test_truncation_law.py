"""The truncation law on the embedded pair's real rows: cutting a draft's tail costs at most the tail in acceptance."""

from __future__ import annotations

import numpy as np
import pytest

from sim.decoding.core.rows import Sampling, overlap
from sim.decoding.core.wire.row_codec import RowCodec, RowFormat
from sim.inputs.prompts import read_prompts
from sim.models.interface import ForwardPass
from sim.models.loading import load_pair, load_tokenizer


@pytest.fixture(scope="module")
def real_rows():
    """Rows of target and draft after every token of a few held-out prompts, [(p, q)]."""
    draft, target = load_pair("embedded/draft", "embedded/target")
    encode = load_tokenizer("embedded/target").encode
    pairs = []
    for number, text in enumerate(read_prompts("embedded")[:8]):
        ids = encode(str(text))
        forward = ForwardPass(("law", number), ids[:1], tuple(ids[1:]))
        (p_logits,), (q_logits,) = target.forward([forward]), draft.forward([forward])
        pairs += [(Sampling().row(p), Sampling().row(q)) for p, q in zip(p_logits, q_logits, strict=True)]
        draft.close(("law", number))
        target.close(("law", number))
    return pairs


@pytest.mark.parametrize("top_k", [3, 32, 320, None])
def test_truncation_costs_at_most_the_tail(real_rows, top_k: int | None):
    """|alpha_K - alpha| <= E[tail mass], position by position and on average; at K = V nothing is lost."""
    codec = RowCodec(real_rows[0][0].vocab_size, RowFormat(top_k=top_k, values="fp32"))
    losses, tails = [], []
    for p, q in real_rows:
        coded = codec.code(q)
        losses.append(abs(overlap(p, coded.row) - overlap(p, q)))
        tails.append(coded.tail_mass)
        # Single precision moves a row by at most 2**-24 of its mass.
        assert losses[-1] <= tails[-1] + 1e-6
    assert np.mean(losses) <= np.mean(tails) + 1e-6
    if top_k is None:
        assert np.mean(losses) < 1e-6
    else:
        assert np.mean(tails) > 1e-3
