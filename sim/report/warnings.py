"""What a reader should know before believing a result: pure functions of summaries, tables and manifests."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sim.figures.labels import value_label
from sim.figures.statistics import mean_interval
from sim.results.columns import INCIDENT_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

# Below this share of its capacity the air is hardly contended for; above the other, queues grow with the run.
_IDLE = 0.10
_FULL = 0.95
_BUSY_EDGE = 0.90
# A percentile needs about this many values beyond it to be steady.
_FEWEST_FOR_TAIL = 100
_POOR_FIT = 0.25
# Queues that gain so many requests, and such a share of what came, are worth a word even where chance may explain it.
_FEW_MORE = 8
_MUCH_MORE = 0.1
_UNLIKELY = 0.1
_WIDE_INTERVAL = 0.10
# What instruction-tuned models show on their own answers at temperature 1 and below.
_MAX_CHAT_ENTROPY_BITS = 5.0
_CHAT_TOP_K = 64
_MAX_CHAT_TAIL = 0.10
# Vocabularies of priced and decoding models that differ by more make payload and compute those of different models.
_OTHER_VOCABULARY = 0.10
LOSSY = "lossy protocol: its text does not follow the target model's distribution"
CLAIMED = (
    "protocol claimed to be lossless: it, or its rule, is a user's own, whose proof is not among this package's tests; "
    "specran prove enumerates it"
)


def run_warnings(summary: Mapping[str, Any], manifest: Mapping[str, Any]) -> list[str]:
    """Warnings about one run, most serious first.

    Args:
        summary: Figures by column name.
        manifest: Where the run came from.
    """
    return [
        *_lossy_warning(manifest),
        *incident_warnings(summary),
        *model_notes(manifest),
        *vocabulary_warnings(manifest),
        *manifest.get("workload_notes", ()),
        *unlike_chat_models(summary),
        *whole_rows(summary),
        *_load_warnings(summary),
        *_compute_warnings(summary, manifest),
        *_sample_warnings(summary),
    ]


def _lossy_warning(manifest: Mapping[str, Any]) -> list[str]:
    by_label = {"lossy": [LOSSY], "claimed": [CLAIMED]}
    return by_label.get(str(manifest.get("lossless")), [])


def model_notes(manifest: Mapping[str, Any]) -> list[str]:
    """What is to be known of the models: a context that was cut, vocabularies that differ."""
    notes = (note for info in manifest.get("models", {}).values() for note in info.get("notes", ()))
    return list(dict.fromkeys(notes))


def unlike_chat_models(summary: Mapping[str, Any]) -> list[str]:
    """That the models at hand are far from chat models in what truncation and acceptance depend on."""
    found = []
    entropy, top_k, dropped = (_number(summary, name) for name in ("target_entropy_bits", "row_top_k", "tail_mass"))
    if entropy > _MAX_CHAT_ENTROPY_BITS:
        found.append(
            f"the target's rows have {entropy:.1f} bit of entropy (perplexity {_number(summary, 'perplexity'):.0f}), "
            f"those of chat models 1 to 4 bit: what follows from truncation and acceptance does not carry over to them"
        )
    if top_k >= _CHAT_TOP_K and dropped > _MAX_CHAT_TAIL:
        found.append(
            f"rows cut to {top_k:.0f} entries drop {_percent(dropped)} of the draft's probability; with chat models "
            f"{_CHAT_TOP_K} entries drop less than {_percent(_MAX_CHAT_TAIL)}"
        )
    return found


def whole_rows(summary: Mapping[str, Any]) -> list[str]:
    """That rows are to be cut to more entries than they have, in the models' vocabulary or in that of the wire."""
    top_k, vocab_size = _number(summary, "row_top_k"), _number(summary, "vocab_size")
    wire_vocab_size = _number(summary, "wire_vocab_size")
    found = []
    if top_k > vocab_size:
        found.append(f"the vocabulary of {vocab_size:,.0f} tokens: rows are sent whole")
    if top_k > wire_vocab_size != vocab_size:
        found.append(f"the {wire_vocab_size:,.0f} tokens that messages are charged for: rows are charged whole")
    return [f"protocol.top_k ({top_k:,.0f}) is above {reason}" for reason in found]


def vocabulary_warnings(manifest: Mapping[str, Any]) -> list[str]:
    """That messages are charged as of another vocabulary, and priced models that have yet another one."""
    charged = manifest.get("wire_vocab_size")
    sizes = [info["vocab_size"] for info in manifest.get("models", {}).values() if "vocab_size" in info]
    if charged is None or not sizes:
        return []
    found = []
    if charged != min(sizes):
        found.append(_charged(min(sizes), charged))
    for site, cost_models in manifest.get("compute", {}).items():
        for role, cost_model in cost_models.items():
            shape = cost_model.get("model_size")
            if isinstance(shape, Mapping):
                found += priced_warnings(f"{site}: {role}", shape["source"], shape.get("vocab_size"), charged)
    return found


def priced_warnings(who: str, source: str, vocab_size: int | None, charged: int) -> list[str]:
    """That a model is priced as one whose vocabulary is far from what messages are charged for.

    Args:
        who: Site and role.
        source: The model that it is priced as.
        vocab_size: Tokens of that one's vocabulary, if known.
        charged: Tokens of the vocabulary that messages are charged for.
    """
    if not vocab_size or abs(vocab_size / charged - 1) <= _OTHER_VOCABULARY:
        return []
    return [
        f"{who} is priced as {source} with a vocabulary of {vocab_size:,} tokens, but messages are charged for "
        f"{charged:,}; models.wire_vocab_size: {vocab_size} would charge for the former"
    ]


def _charged(vocab_size: int, wire_vocab_size: int) -> str:
    return (
        f"messages are charged as of a vocabulary of {wire_vocab_size:,} tokens (models.wire_vocab_size); the models "
        f"that decode have {vocab_size:,}, and columns of payload hold what these encoded"
    )


def incident_warnings(summary: Mapping[str, Any]) -> list[str]:
    """That requests were given up, or ended otherwise than by their own site: what latencies then leave out."""
    found = []
    count = {name: int(value) for name in INCIDENT_COLUMNS if (value := _number(summary, name)) > 0}
    asked = count.get("failed", 0) + int(summary.get("requests", 0))
    if "failed" in count:
        unserved, unheard = count.get("unserved_requests", 0), count.get("failed_messages", 0)
        why = f", {unserved} since their site was down and nobody went on with them" if unserved else ""
        why += f"; {unheard} messages found no radio link" if unheard else ""
        found.append(f"{count['failed']} of {asked} requests were given up{why}; latencies are those of the others")
    if "cloud_requests" in count:
        found.append(f"a site failed: the cloud took over {count['cloud_requests']} requests")
    if "draft_alone_requests" in count:
        found.append(
            f"a site failed: {count['draft_alone_requests']} requests were ended by the draft alone, and "
            f"{_number(summary, 'draft_alone_tokens'):.0f} of their tokens follow its distribution"
        )
    return found


def _load_warnings(summary: Mapping[str, Any]) -> list[str]:
    found = overload_warnings(summary)
    for site in ("edge", "cloud"):
        used = _number(summary, f"{site}_utilisation")
        if used >= _BUSY_EDGE:
            found.append(f"{site} {_percent(used)} utilised: latency is set by its queue as much as by the radio")
    for direction in ("uplink", "downlink"):
        used = _share_used(summary, direction)
        if used >= _FULL:
            found.append(f"{direction} {_percent(used)} utilised: its queue grows for as long as requests come in")
    uplink = _share_used(summary, "uplink")
    if uplink < _IDLE:
        found.append(f"offered uplink load is {_percent(uplink)} of capacity: devices hardly contend for the air")
    return found


def overload_warnings(summary: Mapping[str, Any]) -> list[str]:
    """That more came in the window than was served: no latency of such a run is that of a steady state.

    Or that queues grew over a window too short to tell that from chance.
    """
    offered, served = _number(summary, "offered_rps"), _number(summary, "completed_rps")
    ended = _number(summary, "in_flight_end")
    if _number(summary, "overload") > 0:
        return [
            f"overload: offered {offered:.3g} requests/s, capacity {served:.3g}; queues and latencies grow for as long "
            f"as requests come in ({ended:.0f} were under way at the end of the window)"
        ]
    growth, came = _number(summary, "backlog_growth"), offered * _number(summary, "window_s")
    if growth > max(_FEW_MORE, _MUCH_MORE * came) and _number(summary, "backlog_growth_chance") < _UNLIKELY:
        return [
            f"queues grew: {came:.0f} requests came in the window, and {ended:.0f} were under way at its end, "
            f"{growth:.0f} more than at its beginning; it is too short to tell overload from chance, so lengthen "
            "devices.duration_s"
        ]
    return []


def _compute_warnings(summary: Mapping[str, Any], manifest: Mapping[str, Any]) -> list[str]:
    """About models' timings, one warning for all sites that share it; an idle cloud's do not matter."""
    sites_by_text: dict[str, list[str]] = {}
    for site, cost_models in manifest.get("compute", {}).items():
        if site == "cloud" and not _number(summary, "cloud_utilisation") > 0:
            continue
        for role, cost_model in cost_models.items():
            error = cost_model.get("median_relative_error")
            if cost_model.get("kind") == "measured":
                text = f"{role} measured while running, so this result cannot be repeated exactly"
            elif error is not None and error > _POOR_FIT:
                text = f"calibration fits the timings of the {role} to {_percent(error)} only"
            else:
                continue
            sites_by_text.setdefault(text, []).append(site)
    return [f"{' and '.join(sites)}: {text}" for text, sites in sites_by_text.items()]


def _sample_warnings(summary: Mapping[str, Any]) -> list[str]:
    requests = _number(summary, "requests")
    if requests < _FEWEST_FOR_TAIL:
        return [f"only {requests:.0f} requests: the 95th and 99th percentiles are coarse"]
    return []


def sweep_warnings(
    table: pd.DataFrame,
    axes: Sequence[str],
    lossy: Iterable[str] = (),
    num_failed: int = 0,
    claimed: Iterable[str] = (),
) -> list[str]:
    """Warnings about a sweep, most serious first.

    Args:
        table: One row per point and replication.
        axes: The varied keys.
        lossy: Names of the variants or protocols that are lossy.
        num_failed: How many points failed.
        claimed: Names of those that are claimed to be lossless.
    """
    found = []
    if num_failed:
        found.append(f"{num_failed} of {num_failed + len(table)} runs failed and are missing from tables and figures")
    found += [LOSSY.replace("protocol", f"protocol {name}", 1) for name in lossy]
    found += [CLAIMED.replace("protocol", f"protocol {name}", 1) for name in claimed]
    if table.empty:
        return found
    return (
        found
        + _unlike(table)
        + _whole_rows_of_some(table)
        + _charged_notes(table)
        + _replication_warnings(table, axes)
        + _sweep_load_warnings(table)
    )


def _unlike(table: pd.DataFrame) -> list[str]:
    """The same of a sweep, of the run with the flattest rows and of that which cuts off most."""
    names = [name for name in ("target_entropy_bits", "perplexity", "row_top_k", "tail_mass") if name in table]
    rows = [dict(zip(names, row, strict=True)) for row in table[names].itertuples(index=False)]
    flat = [{**row, "tail_mass": math.nan} for row in rows if unlike_chat_models({**row, "tail_mass": math.nan})]
    cut = [row for row in rows if unlike_chat_models({**row, "target_entropy_bits": math.nan})]
    found: list[str] = []
    if flat:
        found += unlike_chat_models(max(flat, key=lambda row: row["target_entropy_bits"]))
    if cut:
        found += unlike_chat_models({**max(cut, key=lambda row: row["tail_mass"]), "target_entropy_bits": math.nan})
    return found


def _whole_rows_of_some(table: pd.DataFrame) -> list[str]:
    """The same of a sweep, of the largest cut."""
    if "row_top_k" not in table or "vocab_size" not in table:
        return []
    cuts = table.reindex(columns=["row_top_k", "vocab_size", "wire_vocab_size"]).drop_duplicates()
    named = ({str(name): value for name, value in cut.items()} for cut in cuts.to_dict("records"))
    return whole_rows(max(filter(whole_rows, named), key=lambda cut: cut["row_top_k"], default={}))


def _charged_notes(table: pd.DataFrame) -> list[str]:
    """That messages of some runs are charged as of another vocabulary than their models have."""
    if "wire_vocab_size" not in table:
        return []
    pairs = table[["vocab_size", "wire_vocab_size"]].drop_duplicates().itertuples(index=False)
    return [_charged(own, wire) for own, wire in pairs if own != wire]


def _replication_warnings(table: pd.DataFrame, axes: Sequence[str]) -> list[str]:
    groups = [column for column in [*axes, "variant"] if column in table]
    if "replication" not in table or table["replication"].nunique() < 2:
        return ["only 1 replication: no interval"]
    if "e2e_mean_s" not in table:
        return []
    widest, where = 0.0, ""
    for key, group in table.groupby(groups, sort=False, dropna=False):
        mean, half, _ = mean_interval(group["e2e_mean_s"])
        if mean > 0 and half / mean > widest:
            values = key if isinstance(key, tuple) else (key,)
            widest = half / mean
            where = ", ".join(
                value_label(name, value) for name, value in zip(groups, values, strict=True) if value != ""
            )
    if widest <= _WIDE_INTERVAL:
        return []
    at = f" (at {where})" if where else ""
    return [f"95 % intervals of mean latency reach ±{_percent(widest)}{at}: more replications would narrow them"]


def _sweep_load_warnings(table: pd.DataFrame) -> list[str]:
    found = []
    runs = len(table)
    if "overload" in table and (over := int((table["overload"] > 0).sum())):
        found.append(f"overload: more requests came than were served in {over} of {runs} runs")
    if "failed" in table and (gave_up := int((table["failed"] > 0).sum())):
        found.append(f"requests were given up in {gave_up} of {runs} runs; latencies are those of the others")
    for column, what, limit in (
        ("edge_utilisation", "edge", _BUSY_EDGE),
        ("cloud_utilisation", "cloud", _BUSY_EDGE),
        ("uplink_utilisation", "uplink", _FULL),
        ("uplink_prb_utilisation", "uplink", _FULL),
        ("downlink_utilisation", "downlink", _FULL),
        ("downlink_prb_utilisation", "downlink", _FULL),
    ):
        if column not in table:
            continue
        busy = int((table[column] >= limit).sum())
        if busy:
            highest = _percent(table[column].max())
            found.append(f"{what} up to {highest} utilised; {_percent(limit)} or more in {busy} of {runs} runs")
    used = [table[name].max() for name in ("uplink_utilisation", "uplink_prb_utilisation") if name in table]
    if used and max(used) < _IDLE:
        highest = _percent(max(used))
        found.append(f"offered uplink load is {highest} of capacity at most: devices hardly contend for the air")
    return found


def _share_used(summary: Mapping[str, Any], direction: str) -> float:
    """What share of the air was used: time of a plain link, PRBs of a cell."""
    used = _number(summary, f"{direction}_utilisation")
    return _number(summary, f"{direction}_prb_utilisation") if math.isnan(used) else used


def _number(values: Mapping[str, Any], name: str) -> float:
    value = values.get(name)
    return float(value) if isinstance(value, int | float) else math.nan


def _percent(fraction: float) -> str:
    return f"{fraction * 100:.0f} %" if fraction >= 0.01 or fraction == 0 else f"{fraction * 100:.1g} %"
