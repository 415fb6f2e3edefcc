"""Figures over many schemes: who is best and who is not told apart, best draft lengths, chains as planned."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sim.decoding.analysis.hierarchy import HopCosts, chain_token_s
from sim.decoding.theory import expected_tokens
from sim.figures import hierarchy, lengths, who_wins
from sim.figures.who_wins import FAMILIES, ordered_schemes, slowdowns, spread_out

RATES = (0.1, 1.0, 10.0)


def scheme_table() -> pd.DataFrame:
    """Gumbel is best at the lowest rate; DSSD elsewhere, where residual differs from it by noise alone."""
    latencies = {
        "edge only": (0.065, 0.065, 0.065),
        "colocated": (0.030, 0.030, 0.030),
        "DSSD": (0.200, 0.040, 0.035),
        "residual": (0.055, 0.040, 0.0351),
        "Gumbel": (0.050, 0.045, 0.045),
    }
    rows = []
    for variant, values in latencies.items():
        for rate, value in zip(RATES, values, strict=True):
            for replication in range(4):
                # All schemes share a replication's noise; residual has some of its own.
                shared = 0.004 * (replication - 1.5)
                own = 0.0005 * (-1) ** replication if variant == "residual" else 0.0
                point = {"variant": variant, "link.uplink_mbps": rate, "replication": replication}
                rows.append({**point, "token_latency_s": value + shared + own})
    return pd.DataFrame(rows)


def test_winners_are_told_apart_by_paired_differences():
    table = scheme_table()
    schemes = ordered_schemes(table)
    assert schemes == ["edge only", "colocated", "DSSD", "residual", "Gumbel"]
    ratios, tied = slowdowns(table, schemes)
    assert ratios[schemes.index("Gumbel"), 0] == 1.0
    assert ratios[schemes.index("DSSD")] == pytest.approx([4.0, 1.0, 1.0])
    assert ratios[schemes.index("colocated")] == pytest.approx([0.6, 0.75, 30 / 35])
    # The shared noise is far larger than the 0.1 ms between DSSD and residual; noise of its own hides it.
    assert tied[schemes.index("residual")].tolist() == [False, True, True]
    assert tied[schemes.index("Gumbel")].tolist() == [True, False, False]
    assert not tied[schemes.index("colocated")].any()


def test_every_lossless_scheme_has_a_family_and_a_variant():
    from sim.decoding.protocols.registry import PROTOCOLS
    from sim.scenario.loading import load_scenario

    scenario = load_scenario("who_wins")
    assert scenario.sweep is not None
    variants = scenario.sweep.variants
    assert set(variants) == {scheme for _, members in FAMILIES.values() for scheme in members}
    shown = {changes.get("protocol.name", scenario.protocol.name) for changes in variants.values()}
    # Those with a draft model, and the yardstick: how often prompt lookup hits is a matter of prompts, not of the link.
    drafting = {entry.name for entry in PROTOCOLS if entry.traits["lossless"] and "draft" in entry.traits["models"]}
    # Those with a figure of their own: a chain of models, what overlaps with the air, hidden states.
    elsewhere = {"hsd", "hat", "feature_draft"}
    overlap = load_scenario("overlap")
    assert overlap.sweep is not None
    elsewhere |= {changes.get("protocol.name", overlap.protocol.name) for changes in overlap.sweep.variants.values()}
    assert "edge_only" in shown
    assert drafting - elsewhere <= shown <= drafting | {"edge_only"}


def test_every_scheme_that_drafts_is_in_the_table_of_all():
    """Chains of models have a figure of their own, as have drafters that need hidden states; the draft alone none."""
    from sim.decoding.protocols.registry import PROTOCOLS
    from sim.scenario.loading import load_scenario

    scenario = load_scenario("overlap")
    assert scenario.sweep is not None
    shown = {changes.get("protocol.name", scenario.protocol.name) for changes in scenario.sweep.variants.values()}
    assert shown == {entry.name for entry in PROTOCOLS} - {"hsd", "feature_draft", "device_only"}


def test_the_picture_names_every_scheme_twice_and_refuses_strangers():
    table = scheme_table()
    above, below = who_wins.who_wins(table, []).axes
    for panel in (above, below):
        assert {text.get_text() for text in panel.texts} >= set(ordered_schemes(table))
    with pytest.raises(ValueError, match="'mine' is in no family"):
        who_wins.who_wins(table.replace({"variant": {"DSSD": "mine"}}), [])


def test_labels_are_spread_and_stay_near():
    places = [0.0, 0.1, 0.15, 3.0, 2.95, 9.0]
    moved = spread_out(places, 0.5)
    assert (np.diff(np.sort(moved)) >= 0.5 - 1e-12).all()
    assert np.argsort(moved, kind="stable").tolist() == np.argsort(places, kind="stable").tolist()
    assert moved[5] == 9.0
    assert np.mean(moved[:3]) == pytest.approx(np.mean(places[:3]))


ALPHA, DRAFT_S, VERIFY_S, DELAYS_S, BITS = 0.7, 0.005, 0.06, 0.04, 3000.0


def length_table() -> pd.DataFrame:
    """Latencies as the closed form has them, with noise that all lengths share."""
    rows = []
    for rate in (0.05, 0.5, 5.0):
        for length in (0, 1, 2, 4, 8):
            per_round = expected_tokens(ALPHA, length)
            delays_s = DELAYS_S if length else 0.0
            token_s = (length * (DRAFT_S + BITS / (rate * 1e6)) + delays_s + VERIFY_S) / per_round
            for replication in range(3):
                point = {"variant": f"gamma {length}" if length else "target alone", "link.uplink_mbps": rate}
                point |= {"replication": replication, "requests": 1, "tokens": 100, "block_efficiency": per_round}
                point |= {"token_latency_s": token_s + 0.001 * replication, "drafted_per_round": float(length)}
                rounds = 100 / per_round
                point |= {"acceptance_rate": ALPHA, "uplink_payload_bits": rounds * length * BITS}
                point |= {"draft_compute_mean_s": rounds * length * DRAFT_S, "transport_mean_s": rounds * delays_s}
                rows.append({**point, "verify_compute_mean_s": rounds * VERIFY_S})
    return pd.DataFrame(rows)


def test_best_lengths_are_those_of_the_closed_form():
    table = length_table()
    low, best, high = lengths.best_fixed_lengths(table)
    assert best.tolist() == [0, 4, 4]
    assert (low <= best).all()
    assert (best <= high).all()
    closed = lengths.closed_form_lengths(table)
    assert closed[0] == 0
    assert 2 <= closed[1] <= closed[2] <= 8
    above, below = lengths.draft_length(table.assign(variant=table["variant"]), []).axes
    assert {text.get_text() for text in above.texts} == {"1", "2", "4", "8", "target\nalone"}
    assert below.get_ylabel() == "Drafted tokens per round"


def chain_table(blocks: dict[str, tuple[int, ...]]) -> tuple[pd.DataFrame, hierarchy.Measured]:
    """Columns of a sweep whose every round is what the closed form expects of it."""
    costs, acceptance = np.array([0.004, 0.006, 0.08]), np.array([[1, 0.75, 0.6], [0, 1, 0.7], [0, 0, 1.0]])
    true = hierarchy.Measured(costs, acceptance, air_round_s=0.01, air_token_s=0.002)
    rows = []
    for delay_s in (0.0, 0.05):
        for variant, chain in hierarchy.CHAINS.items():
            count = blocks[variant][-1]
            alpha = acceptance[chain[-2], 2]
            per_round, rounds = expected_tokens(alpha, count), 100 / expected_tokens(alpha, count)
            hops = HopCosts(*true.hops(delay_s))
            point = {"cloud.one_way_delay_s": delay_s, "variant": variant, "replication": 0, "requests": 1}
            point |= {"tokens": 100, "block_efficiency": per_round, "drafted_per_round": count}
            point |= {"acceptance_rate": alpha, "inner_acceptance_rate": 0.75 if len(chain) == 3 else np.nan}
            point |= {"token_latency_s": chain_token_s(costs, acceptance, chain, blocks[variant], hops)}
            point |= {"draft_compute_mean_s": rounds * count * 0.004 if chain[0] == 0 else 0.0}
            middle_s = rounds * count * 0.006 if chain[0] == 1 else 0.0
            point |= {"verify_compute_mean_s": rounds * 0.08 + middle_s, "downlink_air_mean_s": 0.0}
            point |= {"transport_mean_s": rounds * (0.01 + 2 * delay_s), "uplink_air_mean_s": rounds * count * 0.002}
            rows.append(point)
        rows.append({**rows[-1], "variant": "32B at the edge", "token_latency_s": 0.08})
    return pd.DataFrame(rows), true


def test_a_hierarchy_is_measured_and_planned_from_its_own_table():
    blocks = {variant: hierarchy.blocks_of(variant) for variant in hierarchy.CHAINS}
    table, true = chain_table(blocks)
    found = hierarchy.measure(table)
    assert found.forward_s == pytest.approx(true.forward_s)
    assert found.air_round_s == pytest.approx(true.air_round_s)
    assert found.air_token_s == pytest.approx(true.air_token_s)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert found.acceptance[i, j] == pytest.approx(true.acceptance[i, j])
    (panel,) = hierarchy.hierarchy(table, []).axes
    curves = {line.get_label(): line.get_ydata() for line in panel.lines}
    planned = np.asarray(curves["best plan"])
    simulated = [np.asarray(curves[variant]) for variant in hierarchy.CHAINS]
    assert all((planned <= line + 1e-12).all() for line in simulated)
