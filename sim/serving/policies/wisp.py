"""WISP's server: urgent drafts by deadline, others by goodput density, by a fitted verify time (arXiv 2601.11652)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls
from typing_extensions import override

from sim.compute.base import WorkSize
from sim.core.clock import NS_PER_S
from sim.serving.policies.registry import POLICIES, OrderOfService
from sim.serving.sequence import Batching, SequenceState

PRIOR_ACCEPTANCE = 0.7
PRIOR_POSITIONS = 4
"""Drafted positions that the prior acceptance of a request is worth."""


class VerifyTime:
    """Seconds of a step, T = c0 + c1 (new tokens) + c2 (tokens attended to), c >= 0, by least squares over steps.

    The sums of squares are kept, not the steps.
    """

    def __init__(self) -> None:
        self._squares = np.zeros((3, 3))
        self._products = np.zeros(3)
        self._coefficients: npt.NDArray[np.float64] | None = None
        self.num_steps = 0

    def learn(self, sizes: Sequence[WorkSize], seconds: float) -> None:
        """A step of these parts has taken so long."""
        features = features_of(sizes)
        self._squares += np.outer(features, features)
        self._products += features * seconds
        self._coefficients = None
        self.num_steps += 1

    @property
    def coefficients(self) -> npt.NDArray[np.float64]:
        """c0 [s], c1 [s/token], c2 [s/token]; zeros before the first step."""
        if self._coefficients is None:
            # min |A c - t|^2 is min |R c - R^-T A^T t|^2 with R^T R = A^T A; scaled, since contexts are large.
            scale = np.sqrt(np.maximum(self._squares.diagonal(), 1e-12))
            squares = self._squares / np.outer(scale, scale) + 1e-9 * np.eye(3)
            root = np.linalg.cholesky(squares).T
            solution, _ = nnls(root, np.linalg.solve(root.T, self._products / scale))
            self._coefficients = solution / scale
        return self._coefficients


def features_of(sizes: Sequence[WorkSize]) -> npt.NDArray[np.float64]:
    """1, new tokens, tokens attended to. [3]."""
    return np.array([1.0, sum(s.new_tokens for s in sizes), sum(s.context_tokens for s in sizes)])


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """A draft that could be verified now.

    Attributes:
        sequence: Its request's.
        tokens: Expected tokens of its round, from the acceptance that the request has had.
        own_s: Seconds that it adds to a step.
        left_s: Until its next token is due; infinite without an objective.
        is_forced: Whether it may not be passed over: it is late, or has no deadline and was passed over before.
    """

    sequence: SequenceState
    tokens: float
    own_s: float
    left_s: float
    is_forced: bool

    @property
    def density(self) -> float:
        """Expected tokens per second that it adds to a step."""
        return self.tokens / self.own_s if self.own_s > 0 else float("inf")


class WispBatching(Batching):
    """Which drafts a step verifies.

    A draft is urgent if it would miss its deadline in the step after this one, and can still meet it in this one. The
    urgent ones are taken by deadline, as long as all taken so far meet theirs. Then others come by falling goodput
    density, expected tokens per added second, while the step's goodput, all expected tokens over its whole time, does
    not fall and no urgent one is made late: without deadlines this is the subset of the highest goodput. A draft that
    is late already is not passed over, so that its request can catch up, and nobody who could wait lengthens the step
    beside it; one without a deadline is passed over at most once in a row.

    The server knows the acceptance of a request from its rounds: tokens that came of each, and how many were drafted.
    Deadlines count until the verification's end: the way back to the device is not known to a server.
    """

    def __init__(self) -> None:
        self.verify_time = VerifyTime()
        self._accepted: dict[int, float] = {}
        self._drafted: dict[int, float] = {}
        self._passed_over: set[int] = set()

    @override
    def learn(self, sizes: Sequence[WorkSize], duration_ns: int) -> None:
        self.verify_time.learn(sizes, duration_ns / NS_PER_S)

    @override
    def learn_round(self, request: int, num_tokens: int, num_drafted: int) -> None:
        self._accepted[request] = self._accepted.get(request, 0.0) + min(num_tokens - 1, num_drafted)
        self._drafted[request] = self._drafted.get(request, 0.0) + min(num_tokens, num_drafted)

    @override
    def forget(self, request: int) -> None:
        self._accepted.pop(request, None)
        self._drafted.pop(request, None)
        self._passed_over.discard(request)

    def acceptance(self, request: int) -> float:
        """Acceptance rate of a request so far, from the prior on: accepted over tested positions."""
        accepted = self._accepted.get(request, 0.0) + PRIOR_POSITIONS * PRIOR_ACCEPTANCE
        return accepted / (self._drafted.get(request, 0.0) + PRIOR_POSITIONS)

    @override
    def choose(
        self, offers: Sequence[SequenceState], away: Sequence[SequenceState], now_ns: int
    ) -> Sequence[SequenceState]:
        if not self.verify_time.num_steps:
            return offers
        taken = best_batch([self._draft(sequence, now_ns) for sequence in offers], float(self._fixed_s))
        chosen = [draft.sequence for draft in taken]
        inside = {id(sequence) for sequence in chosen}
        self._passed_over = {offer.request.id for offer in offers if id(offer) not in inside}
        return chosen

    @property
    def _fixed_s(self) -> float:
        return float(self.verify_time.coefficients[0])

    def _draft(self, sequence: SequenceState, now_ns: int) -> Draft:
        job = sequence.pending[0].job
        alpha, length = self.acceptance(job.request.id), job.size.num_rows - 1
        tokens = sum(alpha**place for place in range(length + 1))
        own_s = float(self.verify_time.coefficients[1:] @ features_of([job.size])[1:])
        left_s = (job.request.due_ns(job.num_generated) - now_ns) / NS_PER_S
        is_late = self._fixed_s + own_s > left_s
        has_waited = left_s == float("inf") and job.request.id in self._passed_over
        return Draft(sequence, tokens, own_s, left_s, is_late or has_waited)


def best_batch(drafts: Sequence[Draft], fixed_s: float) -> list[Draft]:
    """The drafts of a step, in the order in which they are taken.

    Args:
        drafts: All that could be.
        fixed_s: Seconds of a step before any draft is added.
    """
    whole_s = fixed_s + sum(draft.own_s for draft in drafts)
    urgent = [d for d in drafts if fixed_s + d.own_s <= d.left_s < whole_s + fixed_s + d.own_s]
    taken: list[Draft] = []
    step_s, limit_s, tokens = fixed_s, float("inf"), 0.0
    for draft in sorted(urgent, key=lambda draft: draft.left_s):
        if step_s + draft.own_s <= min(limit_s, draft.left_s):
            taken.append(draft)
            step_s, limit_s, tokens = step_s + draft.own_s, min(limit_s, draft.left_s), tokens + draft.tokens
    inside = {id(draft) for draft in taken}
    is_behind = any(draft.left_s < fixed_s + draft.own_s for draft in drafts)
    others = sorted((d for d in drafts if id(d) not in inside), key=lambda d: (not d.is_forced, -d.density))
    for draft in others:
        helps = not taken or (not is_behind and draft.tokens * step_s >= tokens * draft.own_s)
        if step_s + draft.own_s <= limit_s and (helps or draft.is_forced):
            taken.append(draft)
            step_s, tokens = step_s + draft.own_s, tokens + draft.tokens
    return taken


@POLICIES.register("wisp")
def wisp() -> OrderOfService:
    """Urgent drafts by their deadline, others by goodput density, from a verify time that is fitted to past steps."""
    return OrderOfService(
        key_of=lambda job, number: (job.request.due_ns(job.num_generated), job.arrived_ns, number),
        rank_of=lambda request, number: (request.due_ns(0), number),
        make_batching=WispBatching,
    )
