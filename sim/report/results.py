"""What a report of a run and a report of a sweep say: their cards, tables and warnings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.compute.model_sizes import find_shape
from sim.compute.roles import RoleSettings
from sim.decoding.protocols.guarantee import guarantee_of
from sim.decoding.protocols.registry import sites_of
from sim.figures.labels import name_of, significant, unit_of, value_label, within_line
from sim.figures.statistics import mean_interval
from sim.report.asked import asked_of_requests, asked_of_sweep
from sim.report.page import write_report
from sim.report.warnings import priced_warnings, run_warnings, sweep_warnings
from sim.results.columns import INCIDENT_COLUMNS
from sim.results.portable import scenario_text, without_folders

if TYPE_CHECKING:
    import pandas as pd

    from sim.scenario.points import Point
    from sim.scenario.schema import Scenario

_CARDS = (
    "e2e_mean_s",
    "e2e_p95_s",
    "ttft_mean_s",
    "tpot_mean_s",
    "tokens_per_s",
    "acceptance_rate",
    "overlap",
    "block_efficiency",
    "uplink_bits_per_token",
    "device_energy_per_token_j",
    "edge_utilisation",
    "uplink_utilisation",
    "uplink_prb_utilisation",
    "slo_attainment",
    "goodput_rps",
    "requests",
    "failed",
    "target_entropy_bits",
    "draft_entropy_bits",
    "tail_mass",
    "perplexity",
    "vocab_size",
)
_CATEGORY_COLUMNS = (
    "category",
    "requests",
    "tokens",
    "acceptance_rate",
    "acceptance_se",
    "overlap",
    "block_efficiency",
    "target_entropy_bits",
    "e2e_mean_s",
)
_REQUEST_COLUMNS = (
    "device",
    "request",
    "issued_s",
    "given_up",
    "slo_met",
    "tokens",
    "rounds",
    "e2e_s",
    "ttft_s",
    "tpot_s",
    "acceptance_rate",
    "uplink_payload_bits",
    "device_energy_j",
)
_NOT_ASKED = ("measured", "drafted_tokens", "tested_positions")
_SWEEP_COLUMNS = (
    "e2e_mean_s",
    "ttft_mean_s",
    "tpot_mean_s",
    "tokens_per_s",
    "acceptance_rate",
    "overlap",
    "tail_mass",
    "target_entropy_bits",
    "perplexity",
    "uplink_bits_per_token",
    "edge_utilisation",
    "slo_attainment",
    "goodput_rps",
)


# Said only of scenarios with objectives, which have one of the others.
_ABOUT_OBJECTIVES = ("slo_attainment", "goodput_rps")
_ATTAINMENTS = ("ttft_attainment", "tpot_attainment", "e2e_attainment")


def report_run(
    folder: Path,
    scenario: Scenario,
    summary: Mapping[str, Any],
    manifest: Mapping[str, Any],
    requests: pd.DataFrame,
    figures: Sequence[Path],
    categories: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """Write the report of one run; ``categories`` are figures by category of prompt, a row each."""
    import pandas as pd

    has_objectives = any(name in summary for name in _ATTAINMENTS)
    cards = [
        {
            "label": name_of(column),
            "value": summary[column],
            "unit": unit_of(column),
            "note": _error_of(summary, column),
        }
        for column in (*_CARDS, *(name for name in INCIDENT_COLUMNS if name != "failed" and summary.get(name)))
        if column in summary and (column not in _ABOUT_OBJECTIVES or has_objectives)
    ]
    return write_report(
        folder,
        scenario.name,
        cards,
        {
            "By category of prompt": pd.DataFrame(
                [{name: row[name] for name in _CATEGORY_COLUMNS} for row in categories]
            ),
            "Requests": requests[
                [name for name in _REQUEST_COLUMNS if name in requests and (name != "slo_met" or has_objectives)]
            ],
        },
        figures,
        scenario_text(scenario),
        manifest,
        run_warnings(summary, manifest),
        asked=asked_of_requests(requests[[column for column in requests if column not in _NOT_ASKED]]),
        subtitle=f"{scenario.protocol.name} over {_link_text(scenario)}, {scenario.devices.count} devices, "
        f"seed {scenario.seed}",
    )


def _link_text(scenario: Scenario) -> str:
    """The link, with the profile of its access where it has one."""
    profile = getattr(scenario.link.settings, "profile", None)
    return scenario.link.name if profile is None else f"{scenario.link.name} ({profile} profile)"


def _error_of(summary: Mapping[str, Any], column: str) -> str:
    """The standard error beside a card's figure, where there is one."""
    error = summary.get("acceptance_se", math.nan)
    return f"± {error:.2g} (standard error)" if column == "acceptance_rate" and math.isfinite(error) else ""


def report_sweep(
    folder: Path,
    scenario: Scenario,
    points: Sequence[Point],
    table: pd.DataFrame,
    failures: Mapping[int, str],
    figures: Sequence[Path],
    manifest: Mapping[str, Any],
) -> Path:
    """Write the report of a sweep."""
    import pandas as pd

    axes = list(points[0].changes)
    known: dict[str, dict[str, None]] = {"proved": {}, "claimed": {}, "lossy": {}}
    for point in points:
        protocol = point.scenario.protocol
        known[guarantee_of(protocol.entry, protocol.dump())][point.variant or protocol.name] = None
    tables = {"Means over replications": means_with_intervals(table, axes)}
    if failures:
        tables["Failed runs"] = pd.DataFrame(
            [
                {**points[index].labels, "seed": str(points[index].scenario.seed), "message": without_folders(text)}
                for index, text in sorted(failures.items())
            ]
        )
    varied = ", ".join(within_line(axis, name_of(axis)) for axis in axes) or "variants"
    return write_report(
        folder,
        scenario.name,
        sweep_cards(table, axes),
        tables,
        figures,
        scenario_text(scenario),
        {**manifest, "lossless": _described(known), "failed": len(failures)},
        [*sweep_warnings(table, axes, known["lossy"], len(failures), known["claimed"]), *_priced(points, table)],
        asked=asked_of_sweep(table, axes),
        subtitle=f"{len(table)} runs over {varied}, {scenario.devices.count} devices, seed {scenario.seed}",
    )


def _priced(points: Sequence[Point], table: pd.DataFrame) -> list[str]:
    """Warnings about models that are priced as others with another vocabulary, each once."""
    if table.empty or "vocab_size" not in table:
        return []
    own = int(table["vocab_size"].min())
    found: dict[str, None] = {}
    for scenario in (kind.scenario for point in points for kind in point.scenario.by_kind()):
        charged = scenario.models.wire_vocab_size or own
        for role, site in sites_of(scenario.protocol.entry, scenario.protocol.settings).items():
            settings = scenario.compute[site.value].settings
            if not isinstance(settings, RoleSettings) or settings.problem_of(role):
                continue
            size = getattr(settings.for_role(role), "model_size", None)
            if size is not None:
                shape = find_shape(size)
                who = f"{site.value}: {role}"
                found |= dict.fromkeys(priced_warnings(who, shape.source, shape.vocab_size, charged))
    return list(found)


def _described(known: Mapping[str, Mapping[str, None]]) -> str:
    """What is known of the variants' texts, or of all alike."""
    found = {what: names for what, names in known.items() if names}
    return next(iter(found)) if len(found) == 1 else "; ".join(f"{what}: {', '.join(n)}" for what, n in found.items())


def means_with_intervals(table: pd.DataFrame, axes: Sequence[str]) -> pd.DataFrame:
    """One row per point: means over replications, the half width of latency's 95 % interval, how many."""
    import pandas as pd

    if table.empty:
        return table
    groups = [column for column in [*axes, "variant"] if column in table and (table[column] != "").any()]
    incidents = [name for name in INCIDENT_COLUMNS if name in table and table[name].any()]
    has_objectives = any(name in table for name in _ATTAINMENTS)
    rows = []
    for key, group in table.groupby(groups, sort=False, dropna=False) if groups else [((), table)]:
        values = key if isinstance(key, tuple) else (key,)
        row = dict(zip(groups, values, strict=True))
        for column in (*_SWEEP_COLUMNS, *incidents):
            if column in group and (column not in _ABOUT_OBJECTIVES or has_objectives):
                mean, half, count = mean_interval(group[column])
                row[column] = mean
                if column == "e2e_mean_s":
                    row["e2e_half_s"] = half
                    row["n"] = count
        rows.append(row)
    return pd.DataFrame(rows)


def sweep_cards(table: pd.DataFrame, axes: Sequence[str]) -> list[dict[str, Any]]:
    """The fastest and slowest point, the range of acceptance, the number of runs."""
    if table.empty:
        return [{"label": "Runs", "value": 0}]
    means = means_with_intervals(table, axes)
    cards: list[dict[str, Any]] = [{"label": "Runs", "value": len(table), "note": f"{len(means)} points"}]
    groups = [column for column in [*axes, "variant"] if column in means]
    for label, column, largest in (
        ("Lowest mean latency", "e2e_mean_s", False),
        ("Highest mean latency", "e2e_mean_s", True),
        ("Highest throughput", "tokens_per_s", True),
        ("Highest acceptance rate α", "acceptance_rate", True),
        ("Least uplink payload", "uplink_bits_per_token", False),
    ):
        if column not in means or means[column].isna().all():
            continue
        place = int(means[column].argmax() if largest else means[column].argmin())
        value = float(means[column].iloc[place])
        note = _where(means, groups, column, place)
        cards.append({"label": label, "value": value, "unit": unit_of(column), "note": note})
    return cards


def _where(means: pd.DataFrame, groups: Sequence[str], column: str, place: int) -> str:
    """The condition of an extreme, in words; keys that do not change it to the digits shown are told as such."""
    best = means.iloc[place]
    told, indifferent = [], []
    for group in groups:
        others = [other for other in groups if other != group]
        same = means[(means[others] == best[others]).all(axis=1)] if others else means
        if group != "variant" and len(same) > 1 and len({significant(float(value)) for value in same[column]}) == 1:
            indifferent.append(f"any {within_line(group, name_of(group))}")
        else:
            told.append(value_label(group, best[group]))
    return ", ".join([*filter(None, told), *indifferent])
