"""Closed forms of what each scheme sends, in bits, without headers: the cross-check of the codecs."""

from __future__ import annotations

from math import comb
from typing import Literal

from sim.decoding.core.wire.bits import bits_for
from sim.decoding.core.wire.subsets import subset_bits


def index_bits(vocab_size: int, kept: int, code: Literal["fixed", "bitmap", "enumerative", "best"] = "best") -> int:
    """Bits that say which ``kept`` of ``vocab_size`` tokens a truncated row holds; 0 for the whole vocabulary."""
    if kept == vocab_size:
        return 0
    sizes = {
        "fixed": kept * bits_for(vocab_size),
        "bitmap": vocab_size,
        "enumerative": subset_bits(vocab_size, kept),
    }
    return min(sizes.values()) if code == "best" else sizes[code]


def dsd_bits_per_token(vocab_size: int, value_bits: int = 16) -> int:
    """One drafted token with its full row: V b + ceil(log2 V) (arXiv 2507.12000, section 2)."""
    return vocab_size * value_bits + bits_for(vocab_size)


def tk_slt_bits_per_token(top_k: int, value_bits: int = 16) -> int:
    """One drafted token as TK-SLT counts it, K b: ids and indices are neglected (arXiv 2509.04576, eq. 2)."""
    return top_k * value_bits


def tslt_bits_per_token(
    vocab_size: int,
    top_k: int,
    value_bits: int = 16,
    code: Literal["fixed", "bitmap", "enumerative", "best"] = "best",
) -> int:
    """One drafted token with its truncated row and the token's place in it (arXiv 2512.16273): K b + index + log2 K."""
    return top_k * value_bits + index_bits(vocab_size, top_k, code) + bits_for(top_k)


def expanded_nodes(branching: list[int]) -> int:
    """Nodes of a token tree that need a row: all but the leaves, the text's end included."""
    total, level = 0, 1
    for width in branching:
        total += level
        level *= width
    return total


def dssd_uplink_bits(vocab_size: int, draft_length: int, value_bits: int = 16) -> int:
    """One round of DSSD up: an id and a scalar q(x) per drafted token (arXiv 2507.12000, section 3)."""
    return draft_length * (value_bits + bits_for(vocab_size))


def dssd_downlink_bits(alpha: float, vocab_size: int, draft_length: int, value_bits: int = 16) -> float:
    """Expected bits of one round of DSSD down: a full row unless everything was accepted (ibid., eqs. 8 and 9)."""
    return (1 - alpha**draft_length) * vocab_size * value_bits


def lattice_bits(levels: int, entries: int) -> int:
    """Bits of a distribution on a lattice, ceil(log2 C(levels + entries - 1, entries - 1)) (arXiv 2507.00605)."""
    return bits_for(comb(levels + entries - 1, entries - 1))


def qsv_bits_per_token(vocab_size: int, levels: int, token_bits: int = 16) -> int:
    """One drafted token of quantise-sample-verify: a lattice row and the token (arXiv 2507.00605)."""
    return lattice_bits(levels, vocab_size) + token_bits


def sqs_bits_per_token(vocab_size: int, top_k: int, levels: int) -> int:
    """One drafted token of SQS: which K tokens, their lattice row, the token's place (arXiv 2510.09942)."""
    return subset_bits(vocab_size, top_k) + lattice_bits(levels, top_k) + bits_for(top_k)


def cu_hlm_bits_per_token(vocab_size: int, top_k: int, value_bits: int = 8) -> int:
    """One uncertain token of CU-HLM: K values with fixed-width indices (arXiv 2505.11788)."""
    return top_k * (value_bits + bits_for(vocab_size))
