"""Outcome caches: while a verdict flies, the device drafts on from the outcomes that it most likely brings.

AceSpec (arXiv 2609.02514) and speculative speculative decoding (2603.03251), over any base scheme whose drafts are
chains: rows or ids alone, by ``draw`` and ``rule`` as in ``specedge``. An outcome is where the draft is rejected, if
anywhere, and the token that follows. How many are prepared is the budget, which the round trip bounds; how many of them
for each position says the profile of rejections so far. A prepared draft is drawn with the random numbers of its own
positions: it is the one that would be drafted after the verdict, so a hit saves time and never changes a token.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from sim.decoding.core.draft_tree import DraftTree
from sim.decoding.core.drafting import always, draft_tree
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.request import Request
from sim.decoding.core.steps import Drop, Join, Location, Observation, Observe, Protocol, Start, Step
from sim.decoding.core.wire.row_codec import RowCodec, RowFormat
from sim.decoding.protocols.registry import ChainSettings, protocol
from sim.decoding.protocols.rounds import speculative_rounds
from sim.decoding.protocols.specedge import SpecEdgeSettings
from sim.decoding.verification.base import find_rule
from sim.decoding.verification.round import finish_round

PRIOR_POSITIONS = 4
"""Tested positions that the prior acceptance is worth."""

Outcomes = dict[tuple[int, ...], DraftTree]
"""Drafts by the tokens of the round that they follow."""


class OutcomeCacheSettings(ChainSettings, RowFormat):
    """Keys of ``outcome_cache``; ``draw`` and ``rule`` choose the base scheme, by default rows under ``single``."""

    draw: Literal["iid", "top_k", "shared_noise"] = "iid"
    """How a position's one candidate is drawn: from its row, as its most probable token, or by shared noise."""
    rule: str | None = None
    """Verification rule; by default ``single``. target_first and gumbel send ids alone."""
    budget: Annotated[int, Field(ge=0, le=256)] | Literal["auto"] = 3
    """Outcomes prepared per round, or `auto`: as many drafts as the device makes in the measured wait for a verdict."""
    prior_acceptance: float = Field(default=0.7, gt=0, lt=1)
    """Acceptance rate assumed before the first round, worth four tested positions; it shapes the cache."""

    @model_validator(mode="after")
    def _sensible(self) -> OutcomeCacheSettings:
        if self.top_k is not None and self.top_p is not None:
            raise ValueError("set top_k or top_p, not both")
        find_rule(self.rule or "single", self.draw, 1)
        return self

    @property
    def base(self) -> SpecEdgeSettings:
        """The base scheme."""
        return SpecEdgeSettings(**self.model_dump(exclude={"budget", "prior_acceptance"}))


def looks_at_the_clock(settings: OutcomeCacheSettings) -> bool:
    """Whether the budget follows the measured wait."""
    return settings.budget == "auto"


@protocol(
    "outcome_cache",
    OutcomeCacheSettings,
    lossless=True,
    adaptive=looks_at_the_clock,
    source="arXiv 2609.02514, 2603.03251",
)
def outcome_cache(request: Request, settings: OutcomeCacheSettings, rng: RandomSource) -> Protocol:
    """Prepared outcomes: next drafts for the likely rejections are made while the verdict flies; as the base scheme."""
    codec = RowCodec(request.vocab_size, settings)
    base = settings.base
    exchange = base.exchange(codec, request)
    prepared: Outcomes = {}
    emitted: tuple[int, ...] = ()

    def drafted(after: Request) -> Generator[Step, Any, DraftTree]:
        return (yield from draft_tree(after, base.branching, codec, rng, settings.draw, keep_drafting=always))

    def prepare(draft: DraftTree, tokens_at: list[list[int]], num_bonus: int) -> Generator[Step, Any, Outcomes]:
        found: Outcomes = {}
        whole = request.supposing(draft.tokens)
        if num_bonus and not whole.finished:
            logits = yield whole.forward(Location.DEVICE, "draft")
            row = codec.code(request.draft_sampling.row(logits[0])).row
            tokens_at = [*tokens_at, likely(row.dense(), num_bonus)]
        for position, tokens in enumerate(tokens_at):
            for token in tokens:
                path = (*draft.tokens[:position], token)
                supposed = request.supposing(path)
                if not supposed.finished:
                    found[path] = yield from drafted(supposed)
        return found

    def one_round(_: object) -> Generator[Step, Any, None]:
        nonlocal prepared, emitted
        hit = prepared.get(emitted)
        draft = hit if hit is not None else (yield from drafted(request))
        budget = settings.budget if settings.budget != "auto" else outcomes_in((yield Observe()), draft.depth)
        *numbers, num_bonus = shape(budget, draft.depth, acceptance(request, settings.prior_acceptance))
        tokens_at = [
            likely(draft.row_after(place - 1).row.dense(), number, draft.tokens[place])
            for place, number in enumerate(numbers)
        ]
        started = yield Start(prepare(draft, tokens_at, num_bonus))
        received_verdict, verdict = yield from exchange.round_trip(request, draft, rng)
        accepted = draft.depth_of(received_verdict.last_accepted)
        likely_hit = num_bonus > 0 if accepted == draft.depth else received_verdict.token in tokens_at[accepted]
        prepared = (yield Join(started)) if likely_hit else (yield Drop(started)) or {}
        emission = finish_round(request, draft, received_verdict, verdict, stats=[("reused", float(hit is not None))])
        emitted = emission.round.tokens
        yield emission

    yield from speculative_rounds(request, base.controls, one_round, rng, ask=exchange.ask)


def acceptance(request: Request, prior: float) -> float:
    """Acceptance rate of the request so far, from the prior on."""
    tested = sum(this.tested for this in request.rounds)
    accepted = sum(this.accepted for this in request.rounds)
    return (accepted + PRIOR_POSITIONS * prior) / (tested + PRIOR_POSITIONS)


def shape(budget: int, depth: int, alpha: float) -> list[int]:
    """Outcomes to prepare per position of a draft, and at the end for a draft that is accepted whole.

    The budget in proportion to the profile of rejections, alpha^i (1 - alpha) and alpha^depth, by largest remainders;
    among equal ones the earlier position.

    Args:
        budget: Outcomes in all.
        depth: Tokens drafted.
        alpha: Acceptance rate.
    """
    profile = np.array([alpha**place * (1 - alpha) for place in range(depth)] + [alpha**depth])
    quotas = budget * profile / profile.sum()
    numbers = np.floor(quotas).astype(int)
    for place in np.argsort(numbers - quotas, kind="stable")[: budget - int(numbers.sum())]:
        numbers[place] += 1
    return [int(number) for number in numbers]


def likely(probs: np.ndarray, number: int, rejected: int | None = None) -> list[int]:
    """The most probable tokens of a row [vocab_size], without the one that would have been rejected."""
    order = np.argsort(-probs, kind="stable")
    return [int(token) for token in order if token != rejected and probs[token] > 0][:number]


def outcomes_in(seen: Observation, depth: int) -> int:
    """Whole drafts that the device can make while it waits: (round trip + verification) / (depth t_d), at most 256."""
    wait_s = (seen.round_trip_s or 0.0) + (seen.target_forward_s or 0.0)
    if not seen.draft_token_s or not depth:
        return 0
    return min(256, int(wait_s / (depth * seen.draft_token_s)))
