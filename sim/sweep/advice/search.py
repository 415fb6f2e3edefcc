"""The search: Optuna proposes, replications are halved away, and all candidates see the same random numbers."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.core.addresses import canonical
from sim.core.errors import InputError, RunError
from sim.runs.prepare import Progress, no_progress
from sim.scenario.overrides import apply_overrides
from sim.scenario.schema import Scenario
from sim.sweep.advice.question import Question
from sim.sweep.advice.space import Proposal, Space
from sim.sweep.cluster import Cluster
from sim.sweep.precision import half_width
from sim.sweep.run import evaluate

if TYPE_CHECKING:
    import optuna

# Of the candidates of one rung, one in so many is kept for the next, which has twice the replications.
_KEEP_ONE_IN = 3
# Candidates that Optuna proposes at once, after the first guesses.
_BATCH = 4
# Of those on the front that are not in the last rung, how many are given all replications.
_MAX_FRONT = 4
# Proposals for each candidate that is wanted, before the space counts as used up.
_MAX_PROPOSALS = 5


@dataclass
class Candidate:
    """One setting, and what its runs gave.

    Attributes:
        name: Of its variant.
        proposal: What it sets.
        rows: Columns of each replication that was run, by column.
        failure: Why it cannot be run; empty if it can.
    """

    name: str
    proposal: Proposal
    rows: list[dict[str, float]] = field(default_factory=list)
    failure: str = ""

    def means(self, replications: int | None = None) -> dict[str, float]:
        """Means by column over the first replications, or over all of them."""
        rows = self.rows[:replications]
        return {name: math.fsum(row[name] for row in rows) / len(rows) for name in rows[0]}

    def half(self, metric: str) -> float:
        """Half of the 95 % interval of a mean; infinite for one replication."""
        return half_width([row[metric] for row in self.rows])


@dataclass
class Found:
    """What a search found.

    Attributes:
        best: The best candidate that keeps the constraints.
        runner_up: The best one of another value of the first key, or the second best if there is none.
        candidates: All that were tried, in the order in which they were proposed.
        front: Names of those that no other beats in both columns, all with all replications.
        runs: Runs in which the best one was found; those that complete the front come on top.
        is_feasible: Whether the best one keeps the constraints.
    """

    best: Candidate
    runner_up: Candidate | None
    candidates: list[Candidate]
    front: list[str]
    runs: int
    is_feasible: bool


class Runner:
    """Runs candidates, each with the same seeds, and keeps count.

    Args:
        scenario: What is changed.
        metrics: Columns that are wanted.
        out: Folder of results; finished runs are kept there and found again.
        jobs: Worker processes.
        scheduler: A Dask scheduler to run on instead.
        progress: Called with what is going on.
    """

    def __init__(
        self,
        scenario: Scenario,
        metrics: Sequence[str],
        out: Path,
        jobs: int | None,
        scheduler: Cluster | str | None,
        progress: Progress = no_progress,
    ) -> None:
        self.scenario = scenario
        self.base = {key: part for key, part in scenario.dump().items() if key != "sweep"}
        self.metrics = metrics
        self.runs = 0
        self._how: dict[str, Any] = {"out": out, "jobs": jobs, "scheduler": scheduler, "progress": progress}

    def run(self, candidates: Sequence[Candidate], replications: int) -> None:
        """Bring candidates up to so many replications; what cannot be run says why."""
        missing = [one for one in candidates if len(one.rows) < replications and not one.failure]
        if not missing:
            return
        try:
            self._run(missing, replications)
        except InputError as error:
            if len(missing) == 1:
                missing[0].failure = str(error)
                return
            for one in missing:
                self.run([one], replications)

    def _run(self, candidates: Sequence[Candidate], replications: int) -> None:
        variants = {one.name: one.proposal.changes for one in candidates}
        sweep = {"variants": variants, "replications": replications, "keep": "summary"}
        table, failed = evaluate(Scenario.from_dict({**self.base, "sweep": sweep}), **self._how)
        for metric in self.metrics:
            if metric not in table and len(table):
                raise RunError(f"runs of this scenario have no {metric}; see specran list columns")
        for one in candidates:
            rows = table[table["variant"] == one.name].sort_values("replication") if len(table) else table
            if len(rows) < replications:
                one.failure = failed[0] if failed else "did not end"
                continue
            self.runs += replications - len(one.rows)
            found = rows[list(self.metrics)].astype(float).to_dict("records")
            one.rows = [{str(name): float(value) for name, value in row.items()} for row in found]


def order_of(question: Question, candidate: Candidate, replications: int) -> tuple[bool, float]:
    """What candidates are sorted by: those that keep the constraints first, the best of them before the others."""
    means = candidate.means(replications)
    violation, loss = question.violation(means), question.loss(means[question.metric])
    if violation > 0 or math.isnan(loss):
        return True, violation if violation > 0 else math.inf
    return False, loss


def search(question: Question, space: Space, runner: Runner) -> Found:
    """Search a space.

    Raises:
        RunError: No candidate could be run.
    """
    candidates = _propose_all(question, space, runner)
    usable = [one for one in candidates if one.rows]
    if not usable:
        reason = next((one.failure for one in candidates if one.failure), "its keys fit in no combination")
        raise RunError(f"none of {len(candidates)} candidates could be run: {reason}")
    replications, left = 1, usable
    while replications < question.replications:
        ordered = sorted(left, key=lambda one: order_of(question, one, replications))
        left = _kept(ordered, space.keys[0])
        replications = min(2 * replications, question.replications)
        runner.run(left, replications)
        left = [one for one in left if len(one.rows) >= replications]
    ordered = sorted(left, key=lambda one: order_of(question, one, replications))
    runs, best = runner.runs, ordered[0]
    front = _front(question, usable, runner)
    is_feasible = not order_of(question, best, replications)[0]
    return Found(best, _another(ordered, space.keys[0]), candidates, front, runs, is_feasible)


def _kept(ordered: Sequence[Candidate], key: str) -> list[Candidate]:
    """The best of a rung, with the best of another value of the first key among them."""
    kept = list(ordered[: max(2, -(-len(ordered) // _KEEP_ONE_IN))])
    other = _another(ordered, key)
    return kept if other is None or other in kept else [*kept, other]


def _another(ordered: Sequence[Candidate], key: str) -> Candidate | None:
    """The best candidate with another value of a key than the first one has, else the second one."""
    own = ordered[0].proposal.labels.get(key)
    others = [one for one in ordered[1:] if one.proposal.labels.get(key) != own]
    return next(iter([*others, *ordered[1:]]), None)


def front_of(question: Question, candidates: Sequence[Candidate], replications: int | None = None) -> list[Candidate]:
    """Candidates that no other one equals or beats in the metric and in the column that it is held against."""
    from sim.figures.pareto import pareto_front

    means = [one.means(replications) for one in candidates]
    x, y = [own[question.against] for own in means], [own[question.metric] for own in means]
    on_front = pareto_front(x, y, question.more_against_is_better, question.more_is_better)
    return [one for one, is_on in zip(candidates, on_front, strict=True) if is_on]


def _front(question: Question, usable: Sequence[Candidate], runner: Runner) -> list[str]:
    """The front of what was run with all replications, after some more candidates were given them."""
    likely = [one for one in front_of(question, usable, 1) if len(one.rows) < question.replications]
    step = max(1, -(-len(likely) // _MAX_FRONT))
    runner.run(sorted(likely, key=lambda one: one.rows[0][question.against])[::step], question.replications)
    return [one.name for one in front_of(question, [one for one in usable if len(one.rows) >= question.replications])]


def _propose_all(question: Question, space: Space, runner: Runner) -> list[Candidate]:
    """Run every candidate that Optuna proposes once; each result on the first replication's seed goes back to it."""
    study = _new_study(runner.scenario.seed)
    guesses = space.first_guesses()[: question.trials]
    for guess in guesses:
        study.enqueue_trial(guess)
    known: dict[str, Candidate] = {}
    proposed = 0
    while len(known) < question.trials and proposed < _MAX_PROPOSALS * question.trials:
        wanted = question.trials - len(known)
        trials = [study.ask() for _ in range(min(wanted, len(guesses) if not proposed and guesses else _BATCH))]
        proposed += len(trials)
        batch = [_candidate(space, trial, known) for trial in trials]
        runner.run([one for one in batch if one is not None], 1)
        for trial, one in zip(trials, batch, strict=True):
            _report_trial(study, trial, question, one)
    return list(known.values())


def _candidate(space: Space, trial: optuna.Trial, known: dict[str, Candidate]) -> Candidate | None:
    proposal = space.propose(trial)
    if proposal is None:
        return None
    # Keys that change nothing make no other candidate.
    place = canonical(Scenario.from_dict(apply_overrides(space.base, proposal.changes)).dump())
    return known.setdefault(place, Candidate(f"candidate-{len(known):03d}", proposal))


def _report_trial(study: optuna.Study, trial: optuna.Trial, question: Question, candidate: Candidate | None) -> None:
    import optuna

    means: Mapping[str, float] = candidate.means(1) if candidate is not None and candidate.rows else {}
    if not means or any(math.isnan(means[name]) for name in (question.metric, *_bounded(question))):
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        return
    for number, one in enumerate(question.constraints):
        trial.set_constraint(str(number), one.violation(means[one.metric]))
    study.tell(trial, question.loss(means[question.metric]))


def _bounded(question: Question) -> list[str]:
    return [one.metric for one in question.constraints]


def _new_study(seed: int) -> optuna.Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(
            seed=seed % (1 << 32), multivariate=True, group=True, n_startup_trials=_BATCH
        )
    return optuna.create_study(sampler=sampler)
