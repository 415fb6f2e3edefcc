"""``specran advise``: which protocol and settings to take."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from sim.cli.output import ProgressBars, answer_folder, only_results_on_stdout, print_json, print_table, say
from sim.cli.run import say_notes, say_user_code
from sim.cli.terminal import print_lines
from sim.scenario.loading import load_scenario, locate_errors
from sim.scenario.overrides import changes_of

if TYPE_CHECKING:
    from sim.sweep.advice.question import Question
    from sim.sweep.cluster import Cluster


def advise_command(
    name: str,
    question: Question,
    over: list[str],
    set_: list[str],
    seed: int | None,
    with_sensitivity: bool,
    jobs: int | None,
    cluster: Cluster | None,
    out: Path,
    as_json: bool,
) -> None:
    """Search, print the recommendation, and draw the front."""
    from sim.results.folder import write_json
    from sim.sweep.advice.advise import advise, draw_front

    changes = changes_of(set_, seed)
    with only_results_on_stdout():
        scenario = load_scenario(name, changes)
        say_user_code()
        say_notes([scenario])
        with locate_errors(name, changes), ProgressBars() as progress:
            advice = advise(
                scenario,
                question,
                over,
                out,
                with_sensitivity=with_sensitivity,
                jobs=jobs,
                scheduler=cluster,
                progress=progress,
            )
    asked = {**asdict(question), "over": over, "with_sensitivity": with_sensitivity}
    folder = answer_folder(out, scenario, f"advice-{question.metric}", asked)
    table, described = advice.table(), advice.as_dict()
    table.to_csv(folder / "candidates.csv", index=False)
    write_json(described, folder / "advice.json")
    draw_front(advice, folder)
    if as_json:
        print_json({**described, "folder": str(folder)})
    else:
        shown = table[table["on_front"] == 1].sort_values(question.metric, ascending=not question.more_is_better)
        columns = [column for column in shown.columns if column not in ("on_front", "failure")]
        columns = [column for column in columns if shown[column].notna().any()]
        rows = shown[columns].astype(object).where(shown[columns].notna(), "").to_numpy().tolist()
        print_table(f"{scenario.name}: Pareto front of {len(table)} candidates", columns, rows)
        print_lines(["", *advice.sentences])
    say(f"runs:    {advice.found.runs} to find the best, {advice.runs - advice.found.runs} for front and conditions")
    say(f"files:   {folder}")
