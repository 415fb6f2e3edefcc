"""``advise``: from a scenario and a question to a recommendation, its runner-up, and where it would change."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.runs.prepare import Progress, no_progress
from sim.scenario.schema import Scenario
from sim.sweep.advice.question import Question, label_text
from sim.sweep.advice.search import Candidate, Found, Runner, search
from sim.sweep.advice.sensitivity import Condition, sensitivity
from sim.sweep.advice.space import Space
from sim.sweep.cluster import Cluster
from sim.sweep.precision import half_width

if TYPE_CHECKING:
    import pandas as pd

# Candidates that are compared with the recommended one under other conditions.
_MAX_OTHERS = 3
# Columns of a legend's line, and the range from which on an axis is logarithmic.
_LEGEND_WIDTH, _WIDE = 60, 8


@dataclass
class Advice:
    """What is recommended, and why.

    Attributes:
        question: What was asked.
        found: The search.
        conditions: Who is best under other conditions.
        sentences: The recommendation, the runner-up, and where it would change.
        runs: Runs in all, those under other conditions included.
    """

    question: Question
    found: Found
    conditions: list[Condition]
    sentences: list[str]
    runs: int

    def table(self) -> pd.DataFrame:
        """All candidates, a row each: values of keys, means and half widths of 95 % intervals."""
        import pandas as pd

        rows = []
        for one in self.found.candidates:
            row: dict[str, Any] = {"candidate": one.name, **one.proposal.labels, "replications": len(one.rows)}
            if one.rows:
                means = one.means()
                for metric in self.question.metrics:
                    row |= {metric: means[metric], f"{metric}_half": one.half(metric)}
            rows.append({**row, "on_front": int(one.name in self.found.front), "failure": one.failure})
        return pd.DataFrame(rows)

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        found, front = self.found, set(self.found.front)
        return {
            "question": asdict(self.question),
            "best": self._described(found.best),
            "runner_up": None if found.runner_up is None else self._described(found.runner_up),
            "keeps_constraints": found.is_feasible,
            "front": [self._described(one) for one in found.candidates if one.name in front],
            "conditions": [asdict(one) for one in self.conditions],
            "candidates": len(found.candidates),
            "runs_of_the_search": found.runs,
            "runs": self.runs,
            "sentences": self.sentences,
        }

    def _described(self, one: Candidate) -> dict[str, Any]:
        means = one.means()
        values = {name: {"mean": means[name], "half_width": one.half(name)} for name in self.question.metrics}
        return {
            "name": one.name,
            "keys": one.proposal.labels,
            "changes": one.proposal.changes,
            "replications": len(one.rows),
        } | values


def advise(
    scenario: Scenario,
    question: Question,
    over: Sequence[str],
    out: Path | str = "results",
    *,
    with_sensitivity: bool = True,
    jobs: int | None = None,
    scheduler: Cluster | str | None = None,
    progress: Progress = no_progress,
) -> Advice:
    """Recommend values of keys for a scenario.

    Optuna's tree-structured Parzen estimator proposes candidates over the spaces of the keys; each is run once, and of
    each rung a third is kept and given twice the replications. Replication r has the same seed for all candidates.

    Args:
        scenario: What is advised on.
        question: What is asked.
        over: Keys that are searched, as :class:`Space` takes them.
        out: Folder of results; finished runs are kept there and found again.
        with_sensitivity: Whether the best ones are also run under other conditions.
        jobs: Worker processes, all cores by default.
        scheduler: A Dask scheduler to run on instead, or its address.
        progress: Called with what is going on.

    Raises:
        InputError: A key is none, or has no bounds to search within.
        RunError: Nothing could be run.
    """
    space = Space(scenario, over)
    runner = Runner(scenario, question.metrics, Path(out), jobs, scheduler, progress)
    found = search(question, space, runner)
    conditions: list[Condition] = []
    others = _others(found, question)
    if with_sensitivity and others:
        conditions = sensitivity(question, scenario, found.best, others, runner)
    sentences = _sentences(question, found, conditions if with_sensitivity and others else None)
    if not others:
        sentences.append("No other candidate could be run, so there is nothing to compare it with.")
    return Advice(question, found, conditions, sentences, runner.runs)


def _others(found: Found, question: Question) -> list[Candidate]:
    """The runner-up, and others that were run to the end."""
    first = [] if found.runner_up is None else [found.runner_up]
    ended = [one for one in found.candidates if len(one.rows) >= question.replications]
    ended.sort(key=lambda one: question.loss(one.means()[question.metric]))
    rest = [one for one in ended if one is not found.best and one not in first]
    return [*first, *rest][:_MAX_OTHERS]


def _sentences(question: Question, found: Found, conditions: Sequence[Condition] | None) -> list[str]:
    best, metric = found.best, question.metric
    means = best.means()
    holds = "".join(
        f"; {one.metric} is {_value(means[one.metric], best.half(one.metric))} (asked: {one})"
        for one in question.constraints
    )
    count = f"{len(best.rows)} replications" if len(best.rows) > 1 else "one run"
    value = _value(means[metric], best.half(metric))
    verb = "Take" if found.is_feasible else "No candidate keeps the constraints; the nearest to them is"
    sentences = [f"{verb} {label_text(best.proposal.labels)}: {metric} is {value} (95 %, {count}){holds}."]
    if found.runner_up is not None:
        sentences.append(_runner_up(question, best, found.runner_up))
    if conditions is not None:
        sentences.append(_changes({one.name: one for one in (best, *found.candidates)}, conditions))
    return sentences


def _runner_up(question: Question, best: Candidate, other: Candidate) -> str:
    metric = question.metric
    name, means = label_text(other.proposal.labels), other.means()
    differences = [b[metric] - a[metric] for a, b in zip(best.rows, other.rows, strict=False)]
    mean = math.fsum(differences) / len(differences)
    difference = _value(abs(mean), half_width(differences))
    broken = [str(one) for one in question.constraints if one.violation(means[one.metric]) > 0]
    text = f"The runner-up is {name} with {_value(means[metric], other.half(metric))}"
    if broken:
        return f"{text}, which breaks {' and '.join(broken)}."
    apart = "" if abs(mean) > half_width(differences) else ", which does not separate them"
    return f"{text}, a paired difference of {difference} {'more' if mean >= 0 else 'less'}{apart}."


def _changes(candidates: dict[str, Candidate], conditions: Sequence[Condition]) -> str:
    """Where another candidate is better, where it may be, and where none is."""
    if not conditions:
        return "Nothing of uplink, load or hardware could be changed here."
    own = next(iter(candidates), "")
    changed = [_condition_text(candidates, one) for one in conditions if one.changes]
    maybe = [_condition_text(candidates, one) for one in conditions if not one.changes and one.best not in ("", own)]
    stays = [f"{one.key} {_number(one.value)}" for one in conditions if not one.changes and one.best == own]
    parts = [f"It would change with {'; '.join(changed)}."] if changed else []
    parts += [f"It may change, within the intervals, with {'; '.join(maybe)}."] if maybe else []
    parts += [f"The advice stays the same with {', '.join(stays)}."] if stays else []
    return " ".join(parts) or "No candidate could be run under other conditions."


def _condition_text(candidates: dict[str, Candidate], one: Condition) -> str:
    name = label_text(candidates[one.best].proposal.labels)
    values = f"{_number(one.value_of_best)} instead of {_number(one.value_of_advice)}"
    return f"{one.key} {_number(one.value)} ({name}, {values})"


def _number(value: Any, digits: int = 3) -> str:
    """With so many digits that count, and without an exponent as far as people read numbers."""
    return f"{float(f'{value:.{digits}g}'):g}" if isinstance(value, float) else str(value)


def _value(mean: float, half: float) -> str:
    return f"{_number(mean)} ± {_number(half, 2)}" if math.isfinite(half) else _number(mean)


def draw_front(advice: Advice, folder: Path, style: str = "one_column") -> Sequence[Path]:
    """Draw all candidates, the front with its intervals, the limits, and the recommendation."""
    from sim.figures.drawing import set_scales
    from sim.figures.labels import label_of
    from sim.figures.style import new_figure, save_all, styled

    question, found = advice.question, advice.found
    x, y = question.against, question.metric
    means = [one.means() for one in found.candidates if one.rows]
    means = [own for own in means if math.isfinite(own[x]) and math.isfinite(own[y])]
    with styled():
        figure = new_figure(style, 2.8)
        axes = figure.add_subplot()
        hollow: dict[str, Any] = {"ls": "", "mfc": "none"}
        tried = "tried, most with fewer replications"
        axes.plot([m[x] for m in means], [m[y] for m in means], marker="o", ms=3, mec="0.5", label=tried, **hollow)
        _draw_intervals(axes, [one for one in found.candidates if one.name in found.front], x, y)
        marked = (("recommended", found.best, "*", 11), ("runner-up", found.runner_up, "s", 7))
        for name, candidate, marker, size in marked:
            if candidate is not None:
                own = candidate.means()
                label = textwrap.fill(f"{name}: {label_text(candidate.proposal.labels)}", _LEGEND_WIDTH)
                axes.plot([own[x]], [own[y]], marker=marker, ms=size, mec="#D55E00", label=label, **hollow)
        xs, ys = ([own[name] for own in means] for name in (x, y))
        set_scales(axes, xs, ys, _is_wide(xs), _is_wide(ys))
        for one in question.constraints:
            if one.metric in (x, y):
                draw = axes.axvline if one.metric == x else axes.axhline
                draw(one.limit, color="0.4", lw=0.8, ls=":", label=f"asked: {one}")
        axes.set_xlabel(label_of(x))
        axes.set_ylabel(label_of(y))
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), fontsize=6, borderaxespad=0.2)
        return save_all(figure, folder, "front")


def _draw_intervals(axes: Any, front: Sequence[Candidate], x: str, y: str) -> None:
    """The front from left to right, with the intervals of both columns."""
    ordered = sorted(front, key=lambda one: one.means()[x])
    values = [one.means() for one in ordered]
    errors = ([_finite(one.half(name)) for one in ordered] for name in (x, y))
    xerr, yerr = errors
    looks: dict[str, Any] = {"marker": "o", "ms": 3, "capsize": 2, "color": "#0072B2", "lw": 1.0}
    label = "front, 95 % intervals"
    axes.errorbar([v[x] for v in values], [v[y] for v in values], xerr=xerr, yerr=yerr, label=label, **looks)


def _is_wide(values: Sequence[float]) -> bool:
    return bool(values) and min(values) > 0 and max(values) > _WIDE * min(values)


def _finite(half: float) -> float:
    return half if math.isfinite(half) else 0.0
