"""Where the advice would change: the best candidates again with another uplink, load and hardware."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sim.core.errors import InputError
from sim.scenario.overrides import apply_overrides
from sim.scenario.points import value_of
from sim.scenario.problems import ScenarioProblems
from sim.scenario.schema import Scenario
from sim.sweep.advice.question import Question
from sim.sweep.advice.search import Candidate, Runner, order_of
from sim.sweep.advice.space import Proposal
from sim.sweep.precision import half_width

_FACTORS = (0.25, 0.5, 2.0, 4.0)
_UPLINKS = ("link.uplink_mbps", "link.uplink_bandwidth_mhz", "link.bandwidth_mhz")
_LOADS = ("devices.total_rate_hz", "devices.arrival_rate_hz", "devices.count")
# What other hardware is tried of each site: some that is slower and some that is faster, of classes that exist there.
_HARDWARE = {
    "compute.edge.hardware": ("jetson-agx-orin", "l4", "a100", "h100"),
    "compute.device.hardware": ("jetson-orin-nano", "snapdragon-8-elite-npu", "jetson-agx-orin"),
}
# Replications of each condition, at most.
_REPLICATIONS = 4


@dataclass(frozen=True)
class Condition:
    """A change of the circumstances, and who is best then.

    Attributes:
        about: ``uplink``, ``load`` or ``hardware``.
        key: What is changed.
        value: To what.
        best: Name of the candidate that is best then; empty if none could be run.
        value_of_best: Its metric.
        value_of_advice: That of the candidate that is recommended.
        changes: Whether another candidate than the recommended one is best beyond the 95 % interval of the difference,
            or keeps constraints that the recommended one then breaks.
    """

    about: str
    key: str
    value: Any
    best: str
    value_of_best: float
    value_of_advice: float
    changes: bool


def conditions_of(scenario: Scenario, taken: Sequence[str]) -> Iterator[tuple[str, str, Any]]:
    """Circumstances to try: what they are about, key and value.

    Args:
        scenario: As it is.
        taken: Keys that the candidates set themselves.
    """
    for about, keys in (("uplink", _UPLINKS), ("load", _LOADS)):
        key = next((name for name in keys if isinstance(_value(scenario, name), int | float)), None)
        if key is None or key in taken:
            continue
        own = float(_value(scenario, key))
        for factor in _FACTORS:
            value = own * factor
            whole = max(1, round(value)) if key == "devices.count" else float(f"{value:.4g}")
            if whole != own and _is_possible(scenario, key, whole):
                yield about, key, whole
    for key, names in _HARDWARE.items():
        own_name = _value(scenario, key)
        if isinstance(own_name, str) and key not in taken:
            yield from (("hardware", key, name) for name in names if name != own_name)


def sensitivity(
    question: Question, scenario: Scenario, best: Candidate, others: Sequence[Candidate], runner: Runner
) -> list[Condition]:
    """The recommended candidate and others under each of the conditions."""
    compared = [best, *others]
    taken = [key for one in compared for key in one.proposal.changes]
    replications = min(_REPLICATIONS, question.replications)
    conditions = list(dict.fromkeys(conditions_of(scenario, taken)))
    trials = [
        [
            Candidate(f"{one.name}@{place}", Proposal({}, {**one.proposal.changes, key: value}))
            for one in compared
            if _is_possible(scenario, key, value, one.proposal.changes)
        ]
        for place, (_, key, value) in enumerate(conditions)
    ]
    runner.run([one for own in trials for one in own], replications)
    return [
        _condition(question, condition, best.name, own, replications)
        for condition, own in zip(conditions, trials, strict=True)
    ]


def _condition(
    question: Question, condition: tuple[str, str, Any], best: str, tried: Sequence[Candidate], replications: int
) -> Condition:
    ran = [one for one in tried if len(one.rows) >= replications]
    if not ran:
        return Condition(*condition, "", math.nan, math.nan, False)
    first = min(ran, key=lambda one: order_of(question, one, replications))
    own = next((one for one in ran if _name(one) == best), None)
    ahead = math.nan if own is None else own.means()[question.metric]
    changes = first is not own and (own is None or _is_beaten(question, own, first, replications))
    return Condition(*condition, _name(first), first.means()[question.metric], ahead, changes)


def _name(candidate: Candidate) -> str:
    return candidate.name.partition("@")[0]


def _is_beaten(question: Question, own: Candidate, other: Candidate, replications: int) -> bool:
    """Whether another candidate is better beyond the interval of the difference, replication by replication."""
    if order_of(question, own, replications)[0] != order_of(question, other, replications)[0]:
        return True
    pairs = zip(own.rows, other.rows, strict=True)
    losses = [question.loss(a[question.metric]) - question.loss(b[question.metric]) for a, b in pairs]
    mean, half = math.fsum(losses) / len(losses), half_width(losses)
    return mean > (half if math.isfinite(half) else 0.0)


def _value(scenario: Scenario, key: str) -> Any:
    try:
        value = value_of(scenario, key)
    except (AttributeError, KeyError, StopIteration):
        return None
    return None if isinstance(value, bool) else value


def _is_possible(scenario: Scenario, key: str, value: Any, changes: dict[str, Any] | None = None) -> bool:
    base = {name: part for name, part in scenario.dump().items() if name != "sweep"}
    try:
        Scenario.from_dict(apply_overrides(base, {**(changes or {}), key: value}))
    except (ScenarioProblems, InputError):
        return False
    return True
