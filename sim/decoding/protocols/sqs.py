"""Sparsify, quantise, sample: the kept set on a lattice, its size fixed or conformal (SQS, arXiv 2510.09942)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Literal

from pydantic import Field

from sim.decoding.core.controller import Controls
from sim.decoding.core.drafting import draft_chain
from sim.decoding.core.messages import DraftLayout, VerdictLayout
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.request import Request
from sim.decoding.core.steps import Protocol, Step
from sim.decoding.core.wire.conformal import ConformalCodec
from sim.decoding.core.wire.row_codec import RowCodec, RowFormat
from sim.decoding.protocols.exchange import Exchange
from sim.decoding.protocols.registry import ChainSettings, protocol
from sim.decoding.protocols.rounds import speculative_rounds
from sim.decoding.verification.base import find_rule


class SqsSettings(ChainSettings):
    """Keys of ``sqs``."""

    set_size: Literal["fixed", "conformal"] = "fixed"
    """Keep the top_k most probable tokens (K-SQS), or those above a threshold that learns from past rows (C-SQS)."""
    top_k: int = Field(default=64, ge=1)
    """Tokens kept when the set size is fixed, and their largest number when it is conformal."""
    lattice_levels: int = Field(default=255, ge=1, le=65535)
    """Sum of the integer counts of the kept tokens (ell)."""
    dropped_mass: float = Field(default=0.1, gt=0, lt=1)
    """Conformal: probability that the kept sets leave out on average."""
    step: float = Field(default=0.005, gt=0, le=1)
    """Conformal: how far the threshold moves per unit of missed target."""
    threshold: float = Field(default=0.005, ge=0, le=1)
    """Conformal: the threshold's start, a probability."""

    def codec(self, vocab_size: int, varying_k: bool = False) -> RowCodec:
        """Sparsifies and quantises; a conformal one learns from the rows of one request."""
        row_format = RowFormat(top_k=self.top_k, values="lattice", lattice_levels=self.lattice_levels)
        if self.set_size == "fixed":
            return RowCodec(vocab_size, row_format, varying_k)
        return ConformalCodec(vocab_size, row_format, self.dropped_mass, self.step, self.threshold)


def controls_of_sets(settings: SqsSettings) -> tuple[str, ...]:
    """The controls: a conformal set finds its own size."""
    top_k = ("top_k",) if settings.set_size == "fixed" else ()
    return ("draft_length", *top_k, "speculation")


@protocol("sqs", SqsSettings, lossless=True, controls=controls_of_sets, source="arXiv 2510.09942")
def sqs(request: Request, settings: SqsSettings, rng: RandomSource) -> Protocol:
    """Sparsify-quantise-sample: a kept set on an integer lattice, of fixed size or chosen by conformal prediction."""
    controller = request.controller
    start = Controls.chain(settings.draft_length, settings.top_k)
    upper_bound = controller.upper_bound(start)
    codec = settings.codec(request.vocab_size, varying_k="top_k" in controller.adjusts)
    exchange = Exchange(
        DraftLayout(codec, upper_bound.branching),
        controller.on_verdicts(request, VerdictLayout(request.vocab_size, upper_bound.draft_length)),
        find_rule("single", "iid", 1),
    )

    def one_round(controls: Controls) -> Generator[Step, Any, None]:
        draft = yield from draft_chain(
            request, controls.draft_length, codec.cut_to(controls.top_k), rng, for_verify=True
        )
        yield from exchange.verified(request, draft, rng)

    yield from speculative_rounds(request, start, one_round, rng, ask=exchange.ask)
