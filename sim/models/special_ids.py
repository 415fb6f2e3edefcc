"""Which ids end a text and which one begins it, of what the files beside a model's weights name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from sim.models.tokenizer import TextTokenizer

KEYS = ("eos_token_id", "bos_token_id")


class SpecialIds(NamedTuple):
    """Ids that end and begin a text.

    Attributes:
        ends: All that generation limits, configuration and tokenizer name as ends.
        begin: Of tokenizer or configuration; None if neither names one of the vocabulary.
        first: Fed where a text must not be empty: ``begin``, or else the tokenizer's end, or else 0.
    """

    ends: frozenset[int]
    begin: int | None
    first: int


def special_ids(
    generation: Mapping[str, Any], config: Mapping[str, Any], tokenizer: TextTokenizer, vocab_size: int
) -> SpecialIds:
    """What ends and begins a model's texts.

    Args:
        generation: Its ``generation_config.json``.
        config: Its ``config.json``.
        tokenizer: Its tokenizer.
        vocab_size: A beginning is below it; ends are not cut.
    """
    ends: set[int] = set()
    own_end = tokenizer.special_ids.get("eos")
    for named in (generation.get("eos_token_id"), config.get("eos_token_id"), own_end):
        ends.update([named] if isinstance(named, int) else named or [])
    begins = (tokenizer.special_ids.get("bos"), config.get("bos_token_id"), own_end, 0)
    known = [token if isinstance(token, int) and 0 <= token < vocab_size else None for token in begins]
    begin = known[1] if known[0] is None else known[0]
    return SpecialIds(frozenset(ends), begin, next(token for token in known if token is not None))


def note_of_ends(ends: Collection[int], vocab_size: int, name: str) -> tuple[str, ...]:
    """A sentence about ids that are to end a text and that no row has."""
    beyond = sorted(token for token in ends if not 0 <= token < vocab_size)
    if not beyond:
        return ()
    ids = ", ".join(map(str, beyond))
    return (f"{name}: no text ends with token {ids}, which its vocabulary of {vocab_size} does not have",)
