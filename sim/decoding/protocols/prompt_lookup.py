"""Prompt lookup: n-grams of the text so far are the draft (Saxena, Prompt Lookup Decoding, 2023).

As in transformers and vLLM there is no draft model: what followed the last occurrence of the text's end is proposed
again. A deterministic draft with target-first matching is exact, and the edge knows the text as well as the device
does, so that by default it drafts itself and nothing but the prompt goes up.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from sim.decoding.core.controller import Controls
from sim.decoding.core.draft_tree import DraftTree
from sim.decoding.core.ids_drafts import IdsLayout
from sim.decoding.core.messages import TokensLayout, VerdictLayout
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.request import Request
from sim.decoding.core.rows import Row
from sim.decoding.core.steps import Hop, Protocol, Step, Stream
from sim.decoding.core.wire.row_codec import CodedRow
from sim.decoding.protocols.exchange import Exchange
from sim.decoding.protocols.registry import ChainSettings, protocol
from sim.decoding.protocols.rounds import speculative_rounds
from sim.decoding.verification.base import find_rule
from sim.decoding.verification.round import finish_round, target_rows, verify


class PromptLookupSettings(ChainSettings):
    """Keys of ``prompt_lookup``."""

    max_ngram: int = Field(default=3, ge=1, le=32)
    """Longest n-gram at the text's end that is looked for, in tokens; shorter ones if it did not occur before."""
    min_ngram: int = Field(default=1, ge=1, le=32)
    """Shortest n-gram that is looked for."""
    drafted_at: Literal["edge", "device"] = "edge"
    """Who looks it up: the edge, which knows the text too, or the device, which then sends token ids."""

    @model_validator(mode="after")
    def _in_order(self) -> PromptLookupSettings:
        if self.min_ngram > self.max_ngram:
            raise ValueError(f"min_ngram {self.min_ngram} is above max_ngram {self.max_ngram}")
        return self


@protocol(
    "prompt_lookup",
    PromptLookupSettings,
    lossless=True,
    models=("target",),
    controls=("draft_length", "speculation"),
    source="github.com/apoorvumang/prompt-lookup-decoding",
)
def prompt_lookup(request: Request, settings: PromptLookupSettings, rng: RandomSource) -> Protocol:
    """Prompt lookup decoding: the draft is what followed the same n-gram earlier in the text; no draft model."""
    start = Controls.chain(settings.draft_length)
    longest = request.controller.upper_bound(start).draft_length
    rule = find_rule("target_first", "top_k", 1)
    ngrams = Ngrams(settings.min_ngram, settings.max_ngram)
    exchange = Exchange(
        IdsLayout(request.vocab_size, [1] * longest),
        request.controller.on_verdicts(request, VerdictLayout(request.vocab_size, longest)),
        rule,
    )
    tokens_layout = TokensLayout("tokens", request.vocab_size, longest + 1)

    def draft(length: int) -> DraftTree:
        return one_hot_chain(ngrams.after(request.text)[: request.draft_limit(length)], request.vocab_size)

    def round_of_device(controls: Controls) -> Generator[Step, Any, None]:
        yield from exchange.verified(request, draft(controls.draft_length), rng)

    def round_of_edge(controls: Controls) -> Generator[Step, Any, None]:
        tree = draft(controls.draft_length if controls.speculate else 0)
        rows = yield from target_rows(request, tree)
        verdict = yield from verify(rows, tree, rule, request.position, rng)
        emitted = finish_round(request, tree, verdict.wire, verdict).round
        yield Stream(Hop.DOWNLINK, tokens_layout(emitted.tokens), emitted)

    if settings.drafted_at == "edge":
        yield from speculative_rounds(request, start, round_of_edge, rng)
    else:
        yield from speculative_rounds(request, start, round_of_device, rng, ask=exchange.ask)


class Ngrams:
    """Where the n-grams of a growing text ended last.

    Args:
        shortest: Tokens of the shortest n-gram that is looked for.
        longest: Tokens of the longest.
    """

    def __init__(self, shortest: int, longest: int) -> None:
        self._lengths = range(longest, shortest - 1, -1)
        self._ends: dict[tuple[int, ...], int] = {}
        self._known = 0  # tokens before which every n-gram is in the table

    def after(self, text: Sequence[int]) -> Sequence[int]:
        """What followed the last earlier occurrence of the longest n-gram that the text ends with; may be empty."""
        # An n-gram that ends where the text does is followed by nothing yet.
        for end in range(self._known + 1, len(text)):
            for length in self._lengths:
                if length <= end:
                    self._ends[tuple(text[end - length : end])] = end
        self._known = max(self._known, len(text) - 1)
        for length in self._lengths:
            end = self._ends.get(tuple(text[len(text) - length :])) if length <= len(text) else None
            if end is not None:
                return text[end:]
        return ()


def one_hot_chain(tokens: Sequence[int], vocab_size: int) -> DraftTree:
    """Tokens that are drafted with certainty."""
    tree = DraftTree.empty()
    for node, token in enumerate(tokens):
        ids = np.array([token])
        tree.expand(node - 1, CodedRow(ids, ids[:0], Row.sparse_row(vocab_size, ids, np.ones(1)), 0.0), [token])
    return tree
