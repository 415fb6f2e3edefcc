"""Figures of rounds that do not show the batch in which their rows were computed.

Logits of one text differ in their last digits with the shape of the batch that they are computed in, and whatever is
computed from them does, too. Rounding hides the difference unless a value happens to lie next to the border between two
steps, which is as likely as the difference is large beside the step: hence coarse steps. Rounding to the nearest one
would leave means wrong by up to half a step, so values are rounded at random: up with the probability that keeps the
mean right.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from sim.decoding.core.random_source import Path, uniform_at

QUANTA: Mapping[str, float] = {
    "overlap": 1 / 8,
    "tail_mass": 1 / 32,
    "draft_entropy_bits": 1 / 2,
    "target_entropy_bits": 1 / 2,
    "surprisal_bits": 1 / 2,
}
"""Steps of those figures of a round that summaries take means of.

Their rounding adds to the variance between rounds of overlap some 7 % (SmolLM2) to 11 % (embedded pair), to that of the
others at most 4 %.
"""

COUNTED = frozenset({"uncertainty"})
"""Figures that are shares of draws: no arithmetic on rows, and kept as they are."""

_STEPS_PER_OCTAVE = 8
_WHOLE = 1e-9  # of a step; sums over a vocabulary of double-precision numbers err by less


def reproducible(value: float, quantum: float, *key: int | str) -> float:
    """A value rounded to a multiple of a quantum: floor(value / quantum + u), u uniform on [0, 1) and drawn by the key.

    Its mean over keys is the value, its variance at most quantum^2 / 4. A value that is off by some noise is rounded to
    something else with probability noise / quantum. A multiple of the quantum, such as a bound of the figure, stays.

    Args:
        value: What was computed; what is not finite stays.
        quantum: Step.
        key: What the draw is a function of: seed, request, round and name, never the value.
    """
    if not math.isfinite(value):
        return value
    steps = value / quantum
    nearest = round(steps)
    if abs(steps - nearest) > _WHOLE:
        nearest = math.floor(steps + uniform_at(("reproducible", *key)))
    return nearest * quantum


def rounded_stats(stats: Iterable[tuple[str, float]], key: Path) -> tuple[tuple[str, float], ...]:
    """A round's further figures as they are kept, by name.

    Counts and other whole numbers stay as they are. Those in ``QUANTA`` are rounded to its steps; what is not known
    here to one of eight steps per octave.

    Between requests decoded alone and in batches, mean differences of 1e-7 (tail mass) to 7e-6 (surprisal in bits) were
    measured, so that one round in 22,000 is expected to differ with SmolLM2 and its draft (380 rounds), and one in
    77,000 (whole rows) to 100,000 (cut ones) with the embedded pair (228 and 275). That is float32; bfloat16 has a
    thousand times the noise, and one round in seven.

    Args:
        stats: Name and value.
        key: Seed, request and round.
    """
    return tuple((name, _kept(name, value, key)) for name, value in stats)


def _kept(name: str, value: float, key: Path) -> float:
    if name in COUNTED or isinstance(value, int) or not math.isfinite(value) or value == round(value):
        return value
    return reproducible(value, QUANTA.get(name) or quantum_of(value), *key, name)


def quantum_of(value: float) -> float:
    """The step of a figure of unknown size: an eighth of the power of two below it.

    Where it changes, at a power of two, both steps divide the value, so that no noise makes a difference there.
    """
    _, exponent = math.frexp(value)
    return math.ldexp(1 / _STEPS_PER_OCTAVE, exponent - 1)
