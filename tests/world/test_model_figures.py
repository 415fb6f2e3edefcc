"""Figures of the models in summaries: ratios over tokens, a standard error that counts texts, warnings that follow."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sim.report.warnings import run_warnings, sweep_warnings, unlike_chat_models
from sim.results.ratio import RatioOfSums
from sim.results.summary import SummaryBuilder, SummaryByKind
from sim.results.tables import RunTables
from sim.runs.world import World
from tests.worlds import inputs, planned_requests, recorded_inputs, small_scenario


def summary_of(**changes: Any) -> tuple[dict[str, Any], World]:
    scenario = small_scenario(**changes)
    builder = SummaryBuilder()
    world = World(scenario, recorded_inputs(scenario), RunTables(on_request=builder.add))
    return builder.summary(world.run()), world


def test_means_of_rows_are_weighted_by_tokens_and_by_tested_positions():
    summary, world = summary_of()
    rounds = pd.DataFrame(world.tables.rounds.rows)
    for column, weight in (
        ("target_entropy_bits", "tokens"),
        ("draft_entropy_bits", "tested_positions"),
        ("overlap", "tested_positions"),
    ):
        known = rounds.dropna(subset=column)
        assert summary[column] == pytest.approx(np.average(known[column], weights=known[weight])), column
    bits = np.average(rounds["surprisal_bits"], weights=rounds["tokens"])
    assert summary["perplexity"] == pytest.approx(2**bits)
    assert summary["vocab_size"] == summary["wire_vocab_size"] == 16
    assert summary["row_top_k"] == 6


def test_bits_charged_have_columns_of_their_own_where_they_are_not_the_payloads():
    summary, world = summary_of()
    requests = world.tables.requests.rows
    for direction in ("uplink", "downlink"):
        assert f"{direction}_charged_bits_per_token" not in summary
        assert [row[f"{direction}_charged_bits"] for row in requests] == [
            row[f"{direction}_payload_bits"] for row in requests
        ]
    wider, world = summary_of(models={"wire_vocab_size": 1000})
    requests = world.tables.requests.rows
    for direction in ("uplink", "downlink"):
        charged = sum(row[f"{direction}_charged_bits"] for row in requests)
        assert charged > sum(row[f"{direction}_payload_bits"] for row in requests)
        assert wider[f"{direction}_charged_bits_per_token"] == pytest.approx(charged / wider["tokens"])


def test_figures_by_category_are_those_of_its_requests():
    scenario = small_scenario(devices={"count": 3, "requests": 4})
    names = ("code", "maths", "")
    planned = [
        dataclasses.replace(one, category=names[number % 3]) for number, one in enumerate(planned_requests(scenario))
    ]
    ready = dataclasses.replace(inputs(scenario), planned=planned)
    builder = SummaryByKind([""])
    output = World(scenario, ready, RunTables(on_request=builder.add)).run()
    code, maths = builder.by_category(output)
    assert (code["category"], maths["category"]) == ("code", "maths")
    requests = pd.DataFrame(output.requests)
    for row in (code, maths):
        own = requests[requests["category"] == row["category"]]
        assert row["requests"] == len(own) == 4
        assert row["tokens"] == own["tokens"].sum()
        assert row["acceptance_rate"] == own["accepted_tokens"].sum() / own["tested_positions"].sum()
        assert row["acceptance_se"] > 0


def test_one_category_needs_no_table_of_its_own():
    scenario = small_scenario()
    builder = SummaryByKind([""])
    output = World(scenario, recorded_inputs(scenario), RunTables(on_request=builder.add)).run()
    assert builder.by_category(output) == []


def test_a_greedy_target_is_sure_of_its_text():
    summary, _ = summary_of(workload={"max_new_tokens": 12, "temperature": 0}, protocol={"name": "edge_only"})
    assert summary["target_entropy_bits"] == pytest.approx(0, abs=1e-12)
    assert summary["perplexity"] == pytest.approx(1)
    assert math.isnan(summary["acceptance_se"])
    assert "row_top_k" not in summary


def test_the_standard_error_is_that_of_the_ratio_estimator():
    generator = np.random.default_rng(3)
    t = generator.integers(5, 60, 40)
    a = generator.binomial(t, generator.beta(6, 4, 40))
    one, repeated = RatioOfSums(), RatioOfSums()
    for number, (accepted, tested) in enumerate(zip(a.tolist(), t.tolist(), strict=True)):
        one.add(accepted, tested)
        for _ in range(3):  # three requests that replay one recording are one text
            repeated.add(accepted, tested, recording=number)
    ratio = a.sum() / t.sum()
    expected = np.sqrt(40 * np.var(a - ratio * t, ddof=1)) / t.sum()
    assert one.standard_error() == pytest.approx(expected, rel=1e-12)
    assert repeated.standard_error() == pytest.approx(expected, rel=1e-12)


def test_the_standard_error_covers_the_truth():
    """Within two of them in 95 % of samples, where positions of a text depend on each other; one in 10^9 fails."""
    generator = np.random.default_rng(4)
    inside = 0
    for _ in range(1000):
        rates = generator.beta(6, 4, 60)
        t = np.full(60, 30)
        sums = RatioOfSums()
        for accepted in generator.binomial(t, rates).tolist():
            sums.add(accepted, 30)
        inside += abs(sums._a / sums._t - 0.6) < 2 * sums.standard_error()
    assert 900 < inside < 985


def test_models_unlike_chat_models_are_warned_about():
    chat = {"target_entropy_bits": 3.2, "perplexity": 9.0, "row_top_k": 64, "tail_mass": 0.076}
    assert unlike_chat_models(chat) == []
    assert unlike_chat_models({**chat, "row_top_k": 8, "tail_mass": 0.19}) == []
    flat = {"target_entropy_bits": 7.3, "perplexity": 43.0, "row_top_k": 64, "tail_mass": 0.36}
    entropy, tail = unlike_chat_models(flat)
    assert "7.3 bit" in entropy
    assert "perplexity 43" in entropy
    assert "64 entries drop 36 %" in tail
    assert [entropy, tail] == run_warnings({**flat, "requests": 500}, {})
    (whole,) = set(run_warnings({**chat, "row_top_k": 9000, "vocab_size": 8192, "requests": 500}, {}))
    assert whole == "protocol.top_k (9,000) is above the vocabulary of 8,192 tokens: rows are sent whole"
    some = pd.DataFrame([{**chat, "vocab_size": 8192}, {**chat, "row_top_k": 9000, "vocab_size": 8192}])
    assert whole in sweep_warnings(some, []) and whole not in sweep_warnings(some[:1], [])
    table = pd.DataFrame([{**chat, "e2e_mean_s": 1.0}, {**flat, "e2e_mean_s": 1.0}])
    assert [entropy, tail] == sweep_warnings(table, [])[:2]
    assert sweep_warnings(table[:1], [])[0].startswith("only 1 replication")
