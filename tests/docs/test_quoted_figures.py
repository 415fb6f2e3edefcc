"""Figures that pages and captions quote are those of the reference tables: none is left behind by a new one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy import stats

from sim import reference

ROOT = Path(__file__).parents[2]
README, FIRST = "README.md", "docs/start/first_figure.md"
MODELS, SCHEMES, EDGE = "docs/concepts/models.md", "docs/concepts/schemes.md", "docs/concepts/edge.md"
LATENCY = "token_latency_s"


@cache
def table(name: str) -> pd.DataFrame:
    return pd.read_csv(reference.FOLDER / f"{name}.csv")


def means(name: str, y: str, *by: str) -> dict[Any, float]:
    """Means over the replications, by one column or by a tuple of them."""
    found: dict[Any, float] = table(name).groupby(list(by) if len(by) > 1 else by[0])[y].mean().to_dict()
    return found


def least(found: dict[Any, float], at: float) -> Any:
    """Of a table by two columns the first one's value with the least mean, where the second is as given."""
    return min((one for one, other in found if other == at), key=lambda one: found[one, at])


@cache
def page(name: str) -> str:
    """A page of the manual, or the captions of a scenario's figures, in one line."""
    if name.endswith(".md"):
        return " ".join((ROOT / name).read_text(encoding="utf-8").split())
    return " ".join(one.caption for one in (*reference.REFERENCES, *reference.PICTURES) if one.name == name)


def share(value: float, digits: int = 2) -> str:
    """A share as the pages write it: .50."""
    return f"{value:.{digits}f}".removeprefix("0")


def more(value: float, than: float) -> int:
    """By how many per cent."""
    return round(100 * (value / than - 1))


def quickstart() -> list[tuple[str, str]]:
    e2e = means("quickstart", "e2e_mean_s", "link.bandwidth_mhz", "variant")
    accepted = means("quickstart", "acceptance_rate", "variant")
    bits = means("quickstart", "uplink_bits_per_token", "variant")
    full = table("quickstart").query("variant == 'full rows'")
    short = sorted(e2e[width, rows] for width in (20.0, 100.0) for rows in ("top-8", "top-64", "top-512"))
    alone, slower = e2e[20.0, "edge only"], more(e2e[20.0, "top-64"], e2e[20.0, "edge only"])
    assert min(e2e.values()) == alone
    best = share(accepted["top-64"])
    tail = table("quickstart").query("variant == 'top-64'")["tail_mass"].mean()
    return [
        (README, f"Full rows take {e2e[20.0, 'full rows']:.0f} s at 20 MHz and {e2e[100.0, 'full rows']:.0f} s at 100"),
        (README, f"rows cut to 8 to 512 entries {short[0]:.1f} to {short[-1]:.1f} s at any width"),
        (README, f'"edge only", the target alone, {alone:.1f} s: with a draft of which {best} is accepted'),
        (FIRST, f"of this draft {best} is accepted, and the L4 that verifies for eight devices is {slower} % faster"),
        (MODELS, f"fastest at every bandwidth, by {slower} %"),
        (MODELS, f"{full['target_entropy_bits'].mean():.1f} bit | | draft's entropy"),
        (MODELS, f"{full['draft_entropy_bits'].mean():.1f} bit | | draft's mass outside"),
        (MODELS, f"{share(tail)} | | acceptance with full rows"),
        (MODELS, f"{share(accepted['full rows'])} | | acceptance with rows cut to 64"),
        (MODELS, f"{best} | (`quickstart`"),
        (MODELS, f"and {bits['full rows'] / bits['top-64']:.0f} times with 49,152"),
        (MODELS, f"and {e2e[20.0, 'full rows'] / e2e[20.0, 'top-64']:.1f} times as long with SmolLM2's"),
        ("quickstart_latency", f"fastest, by {slower} %: of this draft {best} is accepted"),
        ("quickstart_rows", f"a factor of {round(bits['full rows'] / bits['top-64'], -1):.0f} in payload"),
    ]


def break_even_ms(variant: str) -> float:
    """One-way delay at which a variant takes as long as the target alone, between the delays that were run."""
    found = means("round_trip", LATENCY, "variant", "link.one_way_delay_s")
    delays = sorted(table("round_trip")["link.one_way_delay_s"].unique())
    gaps = [found[variant, delay] - found["edge only", delay] for delay in delays]
    last = max(index for index, gap in enumerate(gaps) if gap < 0)
    part = -gaps[last] / (gaps[last + 1] - gaps[last])
    return float(1000 * (delays[last] + part * (delays[last + 1] - delays[last])))


def delays_and_lengths() -> list[tuple[str, str]]:
    four, eight = break_even_ms("gamma 4"), break_even_ms("gamma 8")
    accepted = means("round_trip", "acceptance_rate", "variant")["gamma 4"]
    lengths = means("draft_length", LATENCY, "variant", "link.uplink_mbps")
    fixed = {key: value for key, value in lengths.items() if key[0].startswith("gamma")}
    rates = sorted(table("draft_length")["link.uplink_mbps"].unique())
    best = {rate: least(fixed, rate) for rate in rates}
    pays = [rate for rate in rates if lengths[best[rate], rate] < lengths["target alone", rate]]
    gain = max(-more(lengths[best[rate], rate], lengths["target alone", rate]) for rate in rates)
    assert (best[rates[0]], best[rates[-1]]) == ("gamma 1", "gamma 4")
    return [
        (MODELS, f"and up to {four:.0f} ms with SmolLM2's (`round_trip`)"),
        (MODELS, f"of the latter to four, and those of the latter pay from {pays[0]:g} Mbit/s on only"),
        ("round_trip", f"Of this draft {share(accepted)} is accepted"),
        ("round_trip", f"a one-way delay of {four:.0f} ms, with drafts of eight tokens {eight:.0f} ms"),
        ("draft_length", f"the target alone from {pays[0]:g} Mbit/s on, by {gain} % at most"),
    ]


def rows_and_candidates() -> list[tuple[str, str]]:
    by_k = means("latency_vs_k", LATENCY, "protocol.top_k", "link.uplink_mbps")
    assert [least(by_k, rate) for rate in (0.2, 1.0, 5.0, 20.0)] == [8, 32, 32, 32]
    by_count = means("candidates", LATENCY, "protocol.candidates", "link.uplink_mbps")
    assert [least(by_count, rate) for rate in (0.1, 0.5, 2.0, 10.0)] == [1, 4, 6, 6]
    hidden = means("hidden_states", LATENCY, "variant", "link.downlink_mbps")
    extra = [
        more(hidden[f"{n} of 4096", 50.0], hidden["no hidden states", 50.0]) for n in ("three layers", "one layer")
    ]
    return [
        ("latency_vs_k", "Eight entries are best at 0.2 Mbit/s and 32 at the other rates"),
        ("candidates", "Four to six candidates are best from 0.5 Mbit/s on"),
        ("hidden_states", f"at 50 Mbit/s they still cost {extra[0]} and {extra[1]} %"),
    ]


def many_devices() -> list[tuple[str, str]]:
    accepted = means("hundred_devices", "acceptance_rate", "variant")
    e2e = means("hundred_devices", "e2e_mean_s", "variant")
    series = ", ".join(share(accepted[f"top-{k}"]) for k in (64, 512, 2048))
    gained = share(accepted["top-2048"] - accepted["top-64"])
    rows = table("serving_load").query("variant == 'dssd'")["downlink_bits_per_token"].mean()
    attained = means("serving_load", "slo_attainment", "variant", "devices.total_rate_hz")
    enough = [key for key, value in attained.items() if value >= 0.95]
    held = {scheme: max(rate for one, rate in enough if one == scheme) for scheme in ("edge only", "tslt")}
    per_token = means("batching", "tpot_mean_s", "variant", "devices.count")
    alone, sled, wisp, dip = (
        "{:.0f}, {:.0f} and {:.0f} ms".format(*(1000 * per_token[way, count] for count in (2, 4, 8)))
        for way in ("central (target alone)", "SLED-like", "WISP", "DiP-SD")
    )
    assert e2e["edge only"] < e2e["top-2048"] / 2
    return [
        (MODELS, f"gain less ({series})"),
        (MODELS, f"those of 512 take {more(e2e['top-512'], e2e['top-64'])} % more (`hundred_devices`)"),
        (MODELS, f"{round(rows / 1000, -1):.0f} kbit per token in all"),
        (MODELS, f"TSLT serves {held['tslt']:g} a second"),
        ("hundred_devices", f"for {gained} more acceptance than those of 64"),
        ("serving_load", f"up to {held['edge only']:g} a second with the target alone and {held['tslt']:g} with TSLT"),
        (SCHEMES, f"a token takes {alone} of the target alone"),
        (SCHEMES, f"SLED-like drafts of four tokens {sled}, with WISP {wisp}"),
        (SCHEMES, f"which plans shorter drafts for more devices, {dip}"),
    ]


def radio() -> list[tuple[str, str]]:
    sleep = means("drx", LATENCY, "variant", "link.drx_cycle_s")
    longest = [more(sleep[way, 0.32], sleep[way, 0.02]) for way in ("asleep after 100 ms", "asleep at once")]
    public = means("public_network", LATENCY, "variant", "protocol.draft_length")
    costs = [more(public["commercial", n], public["lab", n]) for n in (4, 8)]
    antennas = means("mimo", LATENCY, "variant", "link.bandwidth_mhz")
    saved = [
        -more(antennas[f"{number} receive antennas", width], antennas["1 antenna", width])
        for number in (2, 4)
        for width in (10.0, 20.0, 40.0)
    ]
    speed = means("mobility", LATENCY, "variant", "link.speed_kmh")
    assert longest[1] > 300
    assert antennas["4 receive antennas, 2 layers", 10.0] < antennas["1 antenna", 20.0]
    assert abs(more(speed["top-512", 120.0], speed["top-512", 3.0])) <= 1
    return [
        ("drx", f"the longest cycle takes {longest[0]} % more time per token than the shortest"),
        ("public_network", f"cost {costs[0]} % at drafts of four tokens and {costs[1]} % at eight"),
        ("mimo", f"receive antennas alone save {min(saved)} to {max(saved)} %"),
    ]


def with_interval(changes: pd.Series[float]) -> str:
    """Mean and half of the 95 % interval, as the pages write them."""
    half = stats.t.ppf(0.975, len(changes) - 1) * changes.std() / len(changes) ** 0.5
    digits = 0 if abs(changes.mean()) > 10 else 1
    return f"{abs(changes.mean()):.{digits}f} ± {half:.{digits}f}"


def edge() -> list[tuple[str, str]]:
    runs = table("handovers").pivot_table(
        index=["edge.sites.xn_mbps", "replication"], columns="variant", values="e2e_mean_s"
    )
    changes = 100 * (runs.div(runs["anchor"], axis=0) - 1)
    moved = [with_interval(changes.loc[rate]["move keys and values"]) for rate in (300.0, 3000.0, 30000.0)]
    anew = with_interval(changes.loc[300.0]["compute anew"])
    day = means("day_at_shared_gpu", "tokens_per_s", "variant", "edge.ran_sharing.day_begins_s")
    first, people = ([day[way, 3600.0 * hour] for hour in (4, 20)] for way in ("layer 1 first", "requests alone"))
    moves = means("orchestrators", "tokens_per_s", "variant")
    late = means("orchestrators", "layer1_late_per_1e5", "variant")
    held = means("kv_pressure", "slo_attainment", "edge.memory_share")
    assert late["by PRB load"] == 0
    return [
        (EDGE, f"moving them takes {moved[0]} % longer at 300 Mbit/s"),
        (
            EDGE,
            f"{moved[1]} % longer at 3 Gbit/s and {moved[2]} % less at 30 Gbit/s; computing anew takes {anew} % less",
        ),
        (EDGE, f"both together get {first[0]:.0f} tokens/s at 4 o'clock and {first[1]:.0f} at 20"),
        (EDGE, f"people alone get {people[0]:.0f} and {people[1]:.0f}"),
        (EDGE, f"by predicted PRB load {moves['by PRB load']:.0f} tokens/s are left and no slot is late"),
        (EDGE, f"a timetable leaves {moves['by time of day']:.0f} with {late['by time of day']:.0f} ±"),
        (
            EDGE,
            f"steps by SLO deficit leave {moves['by SLO deficit']:.0f} with {round(late['by SLO deficit'], -2):,.0f}",
        ),
        ("kv_pressure", f"{100 * held[0.9]:.0f} % meet their objectives with .9 of the memory"),
        ("kv_pressure", f"{100 * held[0.8]:.0f} % with .8, {100 * held[0.7]:.0f} % with .7"),
    ]


PAGES = (quickstart, delays_and_lengths, rows_and_candidates, many_devices, radio, edge)


@pytest.mark.parametrize("quotes", PAGES)
def test_quoted_figures_are_those_of_the_tables(quotes: Callable[[], list[tuple[str, str]]]) -> None:
    stale = [f"{name}: ...{text}..." for name, text in quotes() if text not in page(name)]
    assert not stale, "the reference tables say otherwise:\n" + "\n".join(stale)


def test_the_gallery_holds_the_captions_of_today() -> None:
    assert (reference.FOLDER / "README.md").read_text(encoding="utf-8") == reference.readme(reference.FOLDER)
