"""The committed figures and tables in ``results/reference``: one line each here, all made by ``make figures``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from sim.core.errors import InputError, RunError, unknown_name_message
from sim.figures import (
    comparisons,
    hierarchy,
    lengths,
    load,
    overlap,
    shared_gpu,
    sites,
    sleep,
    sweep_figures,
    tk_slt,
    who_wins,
)
from sim.figures.cell import cell_figure
from sim.figures.plot import plot
from sim.figures.style import save_all
from sim.reference_tapes import make_tapes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from sim.links.nr import NrLink

FOLDER = Path("results/reference")
_RESULTS = Path("results")

# Draws a figure from a sweep's table and its axes.
Draw = Callable[..., "Figure | None"]


@dataclass(frozen=True)
class Reference:
    """One committed figure.

    Attributes:
        name: Of its files.
        scenario: Whose sweep it is drawn from.
        draw: How.
        caption: What it shows, in one sentence.
        table: Whether it is drawn from the summaries of all devices or from those of each kind.
    """

    name: str
    scenario: str
    draw: Draw
    caption: str
    table: Literal["sweep", "kinds"] = "sweep"


def plotted(x: str | None, y: str, by: str | None = None, facet: str | None = None, kind: str = "line") -> Draw:
    """A figure as ``specran plot`` draws it."""
    return lambda table, axes: plot([table], x, y, by=by, facet=facet, kind=kind)  # noqa: ARG005


REFERENCES = (
    Reference(
        "quickstart_latency",
        "quickstart",
        sweep_figures.latency,
        "Rows cut to 8, 64 or 512 entries need no bandwidth to speak of; full rows of 49,152 tokens are slowest even "
        "on 100 MHz, and the target alone is fastest, by 4 %: of this draft .50 is accepted.",
    ),
    Reference(
        "quickstart_breakdown",
        "quickstart",
        sweep_figures.breakdown,
        "Full rows wait for the air on every carrier; short rows wait for verification and their turn at the server.",
    ),
    Reference(
        "quickstart_rows",
        "quickstart",
        sweep_figures.rows,
        "Truncation to 64 tokens saves a factor of 460 in payload and takes no acceptance that is seen here.",
    ),
    Reference(
        "who_wins",
        "who_wins",
        who_wins.who_wins,
        "Ids that are matched with the target's own draws lead up to 5 Mbit/s, short rows (SQS) from 10 on; short rows "
        "overtake the target alone at 0.05 to 0.2 Mbit/s, full rows never; a lone user with both models at the edge "
        "needs none of them.",
    ),
    Reference(
        "latency_vs_k",
        "latency_vs_k",
        comparisons.latency_of("protocol.top_k", "link.uplink_mbps", mark_best=True),
        "Eight entries are best at 0.2 Mbit/s and 32 at the other rates; longer rows gain no acceptance, only bits.",
    ),
    Reference(
        "candidates",
        "candidates",
        comparisons.latency_of("protocol.candidates", "link.uplink_mbps", mark_best=True),
        "Four to six candidates are best from 0.5 Mbit/s on; at 0.1 Mbit/s each one costs more than it gains.",
    ),
    Reference(
        "round_trip",
        "round_trip",
        comparisons.round_trip,
        "Of this draft .57 is accepted: distributed speculation pays up to a one-way delay of 33 ms, with drafts of "
        "eight tokens 31 ms, as the closed form at measured rates predicts (dotted).",
    ),
    Reference(
        "payload_frontier",
        "payload_frontier",
        comparisons.payload_frontier,
        "Split verification has the acceptance of full rows for a ten-thousandth of their uplink bits, and pays "
        "downlink.",
    ),
    Reference(
        "draft_length",
        "draft_length",
        lengths.draft_length,
        "At 20 ms each way and .53 of the draft accepted drafts beat the target alone from 1 Mbit/s on, by 8 % at most "
        "with a fixed length; the best grows from one token to four, and controllers that see the rate follow.",
    ),
    Reference(
        "tk_slt_table",
        "tk_slt_table",
        tk_slt.speedup,
        "Under a greedy target three entries a row win and full rows cannot pay; under a sampled one 320 entries win "
        "(lines: the closed form at the acceptance measured).",
    ),
    Reference(
        "overlap",
        "overlap",
        overlap.overlap,
        "At a round trip of 5 ms both models at the edge, match and short rows (SQS) are fastest; at 50 ms the first "
        "win, and match, SQS and prompt lookup still beat the target alone by 6 to 9 %; at 500 ms only what drafts at "
        "the edge does; full rows pay at 100 Mbit/s and 5 ms (bold: within 3 % of the best).",
    ),
    Reference(
        "overlap_costs",
        "overlap",
        overlap.costs,
        "An accepted token costs 2 to 3 Mbit in full rows up, 3 to 12 kbit in cut ones, 2 kbit where rows are lazy and "
        "140 to 360 bit as ids and scalars, some of which bring 1.5 Mbit of rows down; nearly all joules are the "
        "edge's, most where a guess is seldom right.",
    ),
    Reference(
        "batching",
        "batching",
        comparisons.capacity_of("devices.count", "tpot_mean_s", [0.04 + 0.005 * step for step in range(9)]),
        "With a draft of which .5 to .6 is accepted all four serve the 8 devices tried within 60 ms per output token; "
        "within 45 ms DiP-SD holds 6.5 in the mean, SLED-like drafts and WISP 5, the target alone 4.",
    ),
    Reference(
        "hidden_states",
        "hidden_states",
        comparisons.latency_of("link.downlink_mbps"),
        "A payload model: hidden states of three layers need 7 Mbit/s down before drafting pays at all, those of one "
        "layer a third of that, and at 50 Mbit/s they still cost 15 and 5 %.",
    ),
    Reference(
        "hierarchy",
        "hierarchy",
        hierarchy.hierarchy,
        "A middle model helps most by drafting alone at the edge; between device and cloud it pays on slow backhauls.",
    ),
    Reference(
        "background_load",
        "background_load",
        sweep_figures.throughput,
        "Uploads of files take the uplink from long rows of the same class; in a class of their own they keep it.",
    ),
    Reference(
        "cell_edge",
        "cell_edge",
        sweep_figures.latency,
        "Towards the cell's edge long rows lose first; ids alone do not notice it.",
    ),
    Reference(
        "mobility",
        "mobility",
        comparisons.latency_of("link.speed_kmh"),
        "At speed full rows pay for outdated channel reports, 5 to 7 % at 120 km/h; rows of 512 entries do not.",
    ),
    Reference(
        "drive",
        "drive",
        plotted("link.speed_kmh", "handovers_per_device_minute", by="variant"),
        "Offset and trigger time halve the handovers of a drive through 19 sites; requests take as long (not shown).",
    ),
    Reference(
        "mimo",
        "mimo",
        sweep_figures.latency,
        "Two layers on 10 MHz are faster than one antenna on 20 MHz; receive antennas alone save 8 to 14 %.",
    ),
    Reference(
        "schedulers",
        "schedulers",
        sweep_figures.breakdown,
        "Under long rows the scheduler decides how long a draft waits for the uplink.",
    ),
    Reference(
        "drx",
        "drx",
        sleep.latency_and_modem_energy("link.drx_cycle_s"),
        "Staying awake for 100 ms after a grant, the longest cycle takes 53 % more time per token than the shortest "
        "and 60 % less of the modem's energy; asleep at once, tokens take over four times as long; released to "
        "inactive, energy hardly depends on the cycle.",
    ),
    Reference(
        "public_network",
        "public_network",
        sleep.latency_and_modem_energy("protocol.draft_length"),
        "In the mean a public network's settings cost 12 % at drafts of four tokens and 53 % at eight, more than half"
        " of it by sleep, which saves a third of the modem's energy.",
    ),
    Reference(
        "configured_grants",
        "configured_grants",
        comparisons.latency_of("link.sr_period_slots"),
        "Configured grants free latency of the period of scheduling requests, which at 80 slots costs ids and rows of"
        " 64 entries 2 to 4 %.",
    ),
    Reference(
        "fdd_tdd",
        "fdd_tdd",
        comparisons.parts_by("link.tdd_pattern", ("top-4096", "ids only")),
        "Rows of 4,096 entries need the uplink slots that DDDSU does not have; ids do not notice the slot pattern.",
    ),
    Reference(
        "hundred_devices",
        "hundred_devices",
        sweep_figures.breakdown,
        "A hundred devices share 20 MHz: rows of 2,048 entries are half air time, for .06 more acceptance than those "
        "of 64; the target alone on an H100 takes less than half of the time that any draft takes.",
    ),
    Reference(
        "thousand_devices",
        "thousand_devices",
        sweep_figures.breakdown,
        "A thousand devices in 100 MHz wait twice as long for access as in the edge's queue; small rows take next to "
        "no air time.",
    ),
    Reference(
        "chunked_prefill",
        "chunked_prefill",
        sweep_figures.breakdown,
        "A prompt that is computed whole holds up the verifications beside it: in chunks of 512 requests end a ninth "
        "sooner; in chunks of 256 prompts themselves wait, and nothing is gained.",
    ),
    Reference(
        "serving_load",
        "serving_load",
        load.over_load(
            "devices.total_rate_hz",
            {"ttft_p95_s": "TTFT, 95 % (s)", "slo_attainment": "Attainment", "goodput_rps": "Goodput (1/s)"},
        ),
        "On one L4 at least 19 of 20 requests meet their objectives up to 8 a second with the target alone and 16 "
        "with TSLT; the rows of DSSD, 710 kbit per token, fill a downlink of 200 Mbit/s at 12, and with both models "
        "at the edge tokens come too slowly.",
    ),
    Reference(
        "kv_pressure",
        "kv_pressure",
        load.over_load(
            "edge.memory_share",
            {"ttft_mean_s": "Mean TTFT (s)", "edge_kv_share_mean": "Used KV blocks", "goodput_rps": "Goodput (1/s)"},
            by=None,
        ),
        "The less memory an L4 leaves for keys and values, the longer prompts wait for blocks: of half a request a "
        "second 96 % meet their objectives with .9 of the memory, 87 % with .8, 40 % with .7; with .65 more come than "
        "are served.",
    ),
    Reference(
        "phones_and_jetsons",
        "phones_and_jetsons",
        load.over_load(
            "devices.phones.count",
            {"ttft_mean_s": "Mean TTFT (s)", "tpot_mean_s": "TPOT (s)", "slo_attainment": "Attainment"},
            by="kind",
            x_label="Phones in the cell",
        ),
        "Jetsons ask four times as often, wait for their own earlier requests and miss their tighter objectives more "
        "often; six times as many phones beside them change neither kind's latency by more than 7 %.",
        table="kinds",
    ),
    Reference(
        "seven_cells",
        "seven_cells",
        sweep_figures.breakdown,
        "Neighbours that really transmit lengthen the uplink's air time ten-fold; a constant 6 dB by a quarter.",
    ),
    Reference(
        "shared_gpu",
        "shared_gpu",
        shared_gpu.shared_gpu,
        "With layer 1 first a GPU holds as many cells as one of its own, and the model gets what they leave; by "
        "weights it holds three beside the simulated one, by slices two, and turns of 2 ms are late even without any "
        "(modelled; the threshold of a GPU of its own is fitted to a published one).",
    ),
    Reference(
        "day_at_shared_gpu",
        "day_at_shared_gpu",
        shared_gpu.day_at_shared_gpu,
        "With layer 1 first the night leaves most to work that can wait, at least energy per token; slices that follow"
        " the load leave more than those cut for the busiest hour (hours measured elsewhere, the rest modelled).",
    ),
    Reference(
        "orchestrators",
        "orchestrators",
        shared_gpu.orchestrators,
        "Slices that follow predicted load leave as many tokens as those moved by a timetable, without a late slot; "
        "a rule that waits for misses finds the limit by missing it (hours measured elsewhere, the rest modelled).",
    ),
    Reference(
        "handovers",
        "handovers",
        sites.handovers,
        "Keys and values that move over 300 Mbit/s between sites make requests last four times as long as with an "
        "anchor, at 3 Gbit/s 5 % longer and at 30 Gbit/s 2 % less; text that is computed anew takes 1 % less at any "
        "rate.",
    ),
    Reference(
        "site_failure",
        "site_failure",
        sites.site_failure,
        "While the site is down the cloud gives every answer, which doubles the 95th percentile of the latency; the "
        "draft alone stays fast where the failure is soon known, with half of all tokens by its own law; with nobody "
        "to go on more than half of the requests are given up.",
    ),
)


@dataclass(frozen=True)
class Picture:
    """One committed picture of a run.

    Attributes:
        name: Of its files, and for the command line.
        scenario: What is run.
        changes: Values by dotted key.
        draw: How, from the run.
        caption: What it shows, in one sentence.
    """

    name: str
    scenario: str
    changes: Mapping[str, Any]
    draw: Callable[[Any], Figure]
    caption: str


# A day passes in an hour: what a queue of seconds does is the same, and there is a twenty-fourth of it to simulate.
_DAY_S = 3600.0

PICTURES = (
    Picture(
        "cell",
        "quickstart",
        {"protocol.name": "dsd", "link.record_slots": True},
        lambda run: cell_figure(cast("NrLink", run.link), num_slots=50),
        "Eight devices with full rows share the uplink slots of DDDSU: each PRB group goes to whom it carries best.",
    ),
    Picture(
        "azure_day",
        "azure_day",
        {"devices.duration_s": _DAY_S, "devices.diurnal_period_s": _DAY_S},
        lambda run: load.day(run.requests, run.output.tables.servers.frame(), _DAY_S),
        "A day of Azure's conversations at 24 times its speed: for 95 % of the requests one L4 begins to answer within "
        "1 to 2.5 s, in the afternoon within 4 to 10 s, when its key-value memory fills up.",
    ),
)


def make(scenario_names: Sequence[str] = (), folder: Path = FOLDER, results: Path = _RESULTS) -> list[Path]:
    """Run the sweeps that are not finished yet, draw their figures, and write the folder's README.

    Args:
        scenario_names: Which scenarios and pictures; all if empty.
        folder: Where figures and tables go.
        results: Where the sweeps lie; what is finished there is not run again.

    Returns:
        The figures' files.

    Raises:
        InputError: A name that no reference is drawn from.
        RunError: Points of a sweep failed.
    """
    scenarios = list(dict.fromkeys(reference.scenario for reference in REFERENCES))
    pictures = {picture.name: picture for picture in PICTURES}
    known = [*scenarios, *pictures]
    for name in scenario_names:
        if name not in known:
            raise InputError(unknown_name_message("scenario of a reference", name, known))
    written: list[Path] = []
    for scenario_name in scenario_names or known:
        if scenario_name in pictures:
            written += _pictured(pictures[scenario_name], folder)
            continue
        tables, axes = swept_tables(scenario_name, results)
        folder.mkdir(parents=True, exist_ok=True)
        for reference in REFERENCES:
            if reference.scenario == scenario_name:
                tables[reference.table].to_csv(folder / f"{scenario_name}.csv", index=False)
                written += _draw(reference, tables[reference.table], axes, folder)
    (folder / "README.md").write_text(readme(folder), encoding="utf-8")
    return written


def _pictured(picture: Picture, folder: Path) -> list[Path]:
    from sim.figures.style import styled
    from sim.runs.run import run
    from sim.scenario.loading import load_scenario

    result = run(load_scenario(picture.scenario, picture.changes))
    with styled():
        return save_all(picture.draw(result), folder, picture.name, formats=("png", "pdf"))


def swept_tables(scenario_name: str, results: Path) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """The tables of a scenario's sweep, run now, of all devices and of each kind, and the columns of its axes."""
    import pandas as pd

    from sim.cli.output import ProgressBars
    from sim.scenario.loading import load_scenario
    from sim.sweep.run import sweep

    with ProgressBars() as progress:
        result = sweep(load_scenario(scenario_name), results, resume=True, progress=progress)
    if result.failed:
        raise RunError(f"{scenario_name}: {len(result.failed)} runs failed, the first: {result.failed[0]}")
    kinds = result.folder / "kinds.csv"
    tables = {"sweep": result.table} | ({"kinds": pd.read_csv(kinds)} if kinds.is_file() else {})
    return tables, result.axes


def _draw(reference: Reference, table: pd.DataFrame, axes: Sequence[str], folder: Path) -> list[Path]:
    figure = reference.draw(table, axes)
    if figure is None:
        raise RunError(f"{reference.name}: the sweep of {reference.scenario} has nothing for this figure")
    return save_all(figure, folder, reference.name, formats=("png", "pdf"))


def readme(folder: Path) -> str:
    """The text of the folder's README: every figure that lies there, with its caption and where it comes from."""
    sections = [
        f"## {reference.name}\n\n"
        f"![{reference.caption}]({reference.name}.png)\n\n"
        f"{reference.caption}\n\n"
        f"`specran sweep {reference.scenario}` · [{reference.scenario}.csv]({reference.scenario}.csv) · "
        f"[{reference.name}.pdf]({reference.name}.pdf)\n"
        for reference in REFERENCES
        if (folder / f"{reference.name}.png").exists()
    ]
    sections += [
        f"## {picture.name}\n\n"
        f"![{picture.caption}]({picture.name}.png)\n\n"
        f"{picture.caption}\n\n"
        f"`specran run {picture.scenario} {_as_options(picture.changes)}` · [{picture.name}.pdf]({picture.name}.pdf)\n"
        for picture in PICTURES
        if (folder / f"{picture.name}.png").exists()
    ]
    return (
        "# Reference results\n\n"
        "Made by `make figures`; bands and bars are 95 % confidence intervals over replications (Student's t).\n"
        "Compute times are those of the host that made them unless a scenario names hardware, so seconds differ by\n"
        "host.\n\n" + "\n".join(sections)
    )


def _as_options(changes: Mapping[str, Any]) -> str:
    return " ".join(f"--set {key}={str(value).lower()}" for key, value in changes.items())


def main(arguments: Sequence[str]) -> int:
    """Make the figures of the named scenarios, or all, or after ``tapes`` the tapes; exit code as ``specran``'s."""
    try:
        if arguments[:1] == ["tapes"]:
            print(make_tapes(arguments[1:]))
            return 0
        for path in make(arguments):
            print(path)
    except (InputError, RunError) as error:
        print(f"figures: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
