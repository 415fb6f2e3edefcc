"""Outcome caches: while a verdict flies, the device drafts on from the outcomes that it most likely brings.

AceSpec (arXiv 2609.02514) and speculative speculative decoding (2603.03251), over any base scheme that drafts a chain,
sends it and waits: its steps are passed on, and its drafting finds what was prepared. An outcome is where the draft is
rejected, if anywhere, and the token that follows. How many are prepared is the budget, which the round trip bounds; how
many of them for each position says the profile of rejections so far. A prepared draft is drawn with the random numbers
of its own positions: it is the one that would be drafted after the verdict, so a hit saves time and never changes a
token.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, ValidationError, field_validator, model_validator

from sim.core.errors import shortened
from sim.decoding.core.draft_tree import DraftTree
from sim.decoding.core.drafting import always, draft_tree
from sim.decoding.core.prepared import PreparedDrafts
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.request import Request
from sim.decoding.core.steps import (
    Drop,
    Emit,
    Hop,
    Join,
    Location,
    Observation,
    Observe,
    Protocol,
    Start,
    Started,
    Step,
    Transmit,
)
from sim.decoding.core.wire.row_codec import RowCodec, RowFormat
from sim.decoding.protocols.registry import PROTOCOLS, ChainSettings, protocol
from sim.decoding.protocols.rounds import speculative_rounds
from sim.decoding.protocols.specedge import SpecEdgeSettings
from sim.decoding.verification.base import find_rule

PRIOR_POSITIONS = 4
"""Tested positions that the prior acceptance is worth."""

BASES = ("asym", "dsd", "dssd", "gumbel", "lazy_rows", "match", "qsv", "residual", "sqs", "tslt")
"""Protocols that a cache may go over: exact, with one draft a round, nothing of their own beside it, and no clock."""


class OutcomeCacheSettings(ChainSettings, RowFormat):
    """Keys of ``outcome_cache``; the base scheme is told by ``draw`` and ``rule``, by default rows under ``single``."""

    base: dict[str, Any] | None = None
    """The base scheme as a protocol with its keys, such as `{name: dssd}`; its keys then stand there, not below."""
    draw: Literal["iid", "top_k", "shared_noise"] = "iid"
    """How a position's one candidate is drawn: from its row, as its most probable token, or by shared noise."""
    rule: str | None = None
    """Verification rule; by default ``single``. target_first and gumbel send ids alone."""
    budget: Annotated[int, Field(ge=0, le=256)] | Literal["auto"] = 3
    """Outcomes prepared per round, or `auto`: as many drafts as the device makes in the measured wait for a verdict."""
    prior_acceptance: float = Field(default=0.7, gt=0, lt=1)
    """Acceptance rate assumed before the first round, worth four tested positions; it shapes the cache."""

    @field_validator("base", mode="before")
    @classmethod
    def _named(cls, base: object) -> object:
        return {"name": base} if isinstance(base, str) else base

    @field_validator("base")
    @classmethod
    def _known(cls, base: dict[str, Any] | None) -> dict[str, Any] | None:
        if base is None:
            return None
        if base.get("name") not in BASES:
            raise ValueError(f"got {shortened(base.get('name'))}; valid: {', '.join(BASES)}")
        keys = {key: value for key, value in base.items() if key != "name"}
        try:
            parsed = PROTOCOLS.find(base["name"]).settings.model_validate(keys)
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(str(part) for part in problem["loc"])
            raise ValueError(f"of {base['name']}: {where}: {problem['msg']}") from error
        if getattr(parsed, "set_size", None) == "conformal":
            raise ValueError("of sqs: set_size conformal depends on the order in which rows are coded; valid: fixed")
        return {"name": base["name"], **parsed.model_dump(mode="json")}

    @model_validator(mode="after")
    def _sensible(self) -> OutcomeCacheSettings:
        if self.top_k is not None and self.top_p is not None:
            raise ValueError("set top_k or top_p, not both")
        find_rule(self.rule or "single", self.draw, 1)
        fields = type(self).model_fields
        own = [key for key in fields if key not in _OF_THE_CACHE and getattr(self, key) != fields[key].default]
        if self.base is not None and own:
            raise ValueError(f"with base, set {own[0]} there: base.{own[0]}")
        return self

    @property
    def own_base(self) -> SpecEdgeSettings:
        """The base scheme as ``draw`` and ``rule`` tell it."""
        return SpecEdgeSettings(**self.model_dump(exclude=_OF_THE_CACHE))


_OF_THE_CACHE = {"base", "budget", "prior_acceptance"}


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
    prepared = request.prepared = PreparedDrafts()
    base, step, flying = base_scheme(request, settings, rng), None, None
    try:
        while True:
            step = base.send((yield step) if step is not None else None)
            if isinstance(step, Transmit) and step.hop is Hop.UPLINK and prepared.draft is not None and flying is None:
                flying = yield from begin(request, prepared, settings)
            elif isinstance(step, Emit):
                reused, prepared.emitted = float(prepared.is_hit), step.round.tokens
                request.rounds[-1] = replace(step.round, stats=(*step.round.stats, ("reused", reused)))
                yield Emit(request.rounds[-1])
                step = None
                if flying is not None:
                    is_likely = flying.holds(prepared.emitted)
                    prepared.drafts = (yield Join(flying.started)) if is_likely else (yield Drop(flying.started)) or {}
                flying, prepared.draft, prepared.is_hit = None, None, False
    except StopIteration:
        return


def base_scheme(request: Request, settings: OutcomeCacheSettings, rng: RandomSource) -> Protocol:
    """The protocol that the cache goes over."""
    if settings.base is not None:
        entry = PROTOCOLS.find(settings.base["name"])
        keys = {key: value for key, value in settings.base.items() if key != "name"}
        yield from entry.make(request, entry.settings.model_validate(keys), rng)
        return
    codec, base = RowCodec(request.vocab_size, settings), settings.own_base
    exchange = base.exchange(codec, request)

    def one_round(_: object) -> Generator[Step, Any, None]:
        draft = yield from draft_tree(request, base.branching, codec, rng, settings.draw, keep_drafting=always)
        yield from exchange.verified(request, draft, rng)

    yield from speculative_rounds(request, base.controls, one_round, rng, ask=exchange.ask)


@dataclass(frozen=True, slots=True)
class Flying:
    """What is prepared while a draft is on its way.

    Attributes:
        started: The branch that prepares it.
        paths: Tokens of the rounds that are prepared for, without the last one of those that are accepted whole.
        whole: The draft, if some outcomes of accepting it whole are prepared for.
    """

    started: Started
    paths: frozenset[tuple[int, ...]]
    whole: tuple[int, ...] | None

    def holds(self, emitted: tuple[int, ...]) -> bool:
        """Whether a round that emitted this may have been prepared for."""
        return emitted in self.paths or (self.whole is not None and emitted[:-1] == self.whole)


def begin(
    request: Request, prepared: PreparedDrafts, settings: OutcomeCacheSettings
) -> Generator[Step, Any, Flying | None]:
    """Prepare for the likely outcomes of the draft that is about to be sent; not for those of a tree."""
    draft = prepared.draft
    assert draft is not None
    if not draft.tokens or draft.depth < len(draft.tokens):
        return None
    budget = settings.budget if settings.budget != "auto" else outcomes_in((yield Observe()), draft.depth)
    *numbers, num_bonus = shape(budget, draft.depth, acceptance(request, settings.prior_acceptance))
    paths = [
        (*draft.tokens[:place], token)
        for place, number in enumerate(numbers)
        for token in likely(draft.row_after(place - 1).row.dense(), number, draft.tokens[place])
    ]
    # The branch outlasts the round: it goes on from the text as it is now, not as it will be then.
    started = yield Start(prepare(request.supposing(()), prepared, draft, paths, num_bonus))
    return Flying(started, frozenset(paths), tuple(draft.tokens) if num_bonus else None)


def prepare(
    request: Request, prepared: PreparedDrafts, draft: DraftTree, paths: list[tuple[int, ...]], num_bonus: int
) -> Generator[Step, Any, dict[tuple[int, ...], DraftTree]]:
    """Next drafts by the tokens of the round that they follow."""
    redraft, whole = prepared.redraft, request.supposing(draft.tokens)
    assert redraft is not None
    found: dict[tuple[int, ...], DraftTree] = {}
    if num_bonus and not whole.finished:
        logits = yield whole.forward(Location.DEVICE, "draft")
        row = request.draft_sampling.row(logits[0])
        paths = [*paths, *((*draft.tokens, token) for token in likely(row.dense(), num_bonus))]
    for path in paths:
        supposed = request.supposing(path)
        if not supposed.finished:
            found[path] = yield from redraft(supposed)
    return found


def acceptance(request: Request, prior: float) -> float:
    """Acceptance rate of the request so far, from the prior on."""
    tested = sum(round_.tested for round_ in request.rounds)
    accepted = sum(round_.accepted for round_ in request.rounds)
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
