"""What is asked of the advisor: what is minimised, under which constraints, over which keys, with how many runs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sim.core.errors import InputError, unknown_name_message
from sim.figures.pareto import MORE_IS_BETTER
from sim.results.columns import SUMMARY_COLUMNS

_CONSTRAINT = re.compile(r"\s*(\w+)\s*(<=|>=|<|>)\s*([-+.\w]+)\s*")
# What the front is drawn against where nothing else is asked for, the first that is not minimised itself.
_AGAINST = ("device_energy_per_token_j", "e2e_mean_s")


@dataclass(frozen=True)
class Constraint:
    """A bound that the mean of a column must keep.

    Attributes:
        metric: Column of the summary.
        is_upper: Whether it must not exceed the limit; else it must not fall below it.
        limit: In the column's unit.
    """

    metric: str
    is_upper: bool
    limit: float

    def violation(self, value: float) -> float:
        """By how much a value breaks it, over the limit's size; 0 or less if it does not, infinite for no value."""
        if math.isnan(value):
            return math.inf
        return (value - self.limit if self.is_upper else self.limit - value) / (abs(self.limit) or 1.0)

    def __str__(self) -> str:
        return f"{self.metric} {'<=' if self.is_upper else '>='} {self.limit:g}"


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        metric: Column of the summary that is to be least.
        more_is_better: Or greatest.
        constraints: What must hold.
        against: Column that the front is drawn against.
        trials: Candidates that are tried.
        replications: Runs of those that are left in the end.
    """

    metric: str
    more_is_better: bool = False
    constraints: tuple[Constraint, ...] = ()
    against: str = ""
    trials: int = 40
    replications: int = 8

    @property
    def metrics(self) -> list[str]:
        """Columns that the answer needs."""
        return list(dict.fromkeys([self.metric, *(one.metric for one in self.constraints), self.against]))

    @property
    def more_against_is_better(self) -> bool:
        """Whether the front's other column is better when it is greater."""
        bounds = [one.is_upper for one in self.constraints if one.metric == self.against]
        return not bounds[0] if bounds else self.against in MORE_IS_BETTER

    def loss(self, value: float) -> float:
        """A value of the metric as something to be minimised."""
        return -value if self.more_is_better else value

    def violation(self, means: Mapping[str, float]) -> float:
        """The worst violation of a constraint; 0 if all hold."""
        return max((one.violation(means[one.metric]) for one in self.constraints), default=0.0)


def make_question(
    minimise: str | None,
    maximise: str | None,
    subject_to: Sequence[str],
    against: str | None,
    trials: int,
    replications: int,
) -> Question:
    """Check what a user asks for.

    Raises:
        InputError: Unknown column, both or no objective, or a constraint that is none.
    """
    if (minimise is None) == (maximise is None):
        raise InputError("give one of --minimise COLUMN and --maximise COLUMN")
    option, metric = ("--minimise", minimise) if minimise is not None else ("--maximise", maximise)
    metric = _column(str(metric), option)
    constraints = tuple(parse_constraint(text) for text in subject_to)
    if against is None:
        named = [one.metric for one in constraints if one.metric != metric]
        against = next(name for name in (*named, *_AGAINST) if name != metric)
    return Question(metric, maximise is not None, constraints, _column(against, "--against"), trials, replications)


def parse_constraint(text: str) -> Constraint:
    """A constraint from ``COLUMN<NUMBER`` or ``COLUMN>NUMBER``.

    Raises:
        InputError: It is none.
    """
    found = _CONSTRAINT.fullmatch(text)
    limit = math.nan
    if found is not None:
        try:
            limit = float(found[3])
        except ValueError:
            found = None
    if found is None or not math.isfinite(limit):
        message = f"expected COLUMN<NUMBER or COLUMN>NUMBER, such as 'e2e_p95_s<0.5'; got {text!r}"
        raise InputError(message, place="--subject-to")
    return Constraint(_column(found[1], "--subject-to"), found[2].startswith("<"), limit)


def _column(name: str, option: str) -> str:
    if name not in SUMMARY_COLUMNS:
        near = unknown_name_message("column", name, SUMMARY_COLUMNS).partition("; valid:")[0]
        raise InputError(f"{near}; valid: columns of summary in specran list columns", place=option)
    return name


def label_text(labels: Mapping[str, Any]) -> str:
    """What a candidate is, for people."""
    return ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in labels.items()) or "as it is"
