"""The advisor finds what exhaustive search finds, with a tenth of its runs; it keeps constraints and names mistakes."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest

from sim.cli import _main
from sim.core.errors import InputError, RunError
from sim.decoding.protocols.registry import PROTOCOLS, ChainSettings, TreeSettings
from sim.scenario.loading import load_scenario
from sim.scenario.points import expand
from sim.scenario.schema import Scenario
from sim.sweep.advice import search as module
from sim.sweep.advice.advise import Advice, advise, draw_front
from sim.sweep.advice.question import Question, make_question, parse_constraint
from sim.sweep.advice.search import Runner, search
from sim.sweep.advice.space import Space
from sim.sweep.advice.values import values_of_field
from tests.worlds import small_scenario

METRIC, ENERGY = "e2e_mean_s", "device_energy_per_token_j"
RATE = "link.uplink_mbps"
ROOT = Path(__file__).resolve().parents[2]


def recorded_grid(monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """All runs of ``who_wins`` as they lie beside its figure; candidates are looked up there instead of being run."""
    table = pd.read_csv(ROOT / "results" / "reference" / "who_wins.csv")
    rows_of = dict(iter(table.groupby(["variant", RATE])))
    sweep = load_scenario("who_wins").sweep
    assert sweep is not None
    schemes = sweep.variants

    def looked_up(one: Scenario, out: Path, **_: Any) -> tuple[pd.DataFrame, list[str]]:
        assert one.sweep is not None
        found = []
        for name, changes in one.sweep.variants.items():
            own = {key: value for key, value in changes.items() if not key.startswith("link.")}
            scheme = next(scheme for scheme, keys in schemes.items() if keys == own)
            rows = rows_of[scheme, changes[RATE]].sort_values("replication").head(one.sweep.replications)
            found.append(rows.assign(variant=name))
        return pd.concat(found), []

    monkeypatch.setattr(module, "evaluate", looked_up)
    return table


@pytest.mark.parametrize("without", ["", "colocated"])
def test_the_best_of_who_wins_is_found_within_2_percent_at_a_tenth_of_its_runs(
    monkeypatch: pytest.MonkeyPatch, without: str
):
    # Over 20 seeds each it was found 20 times; the seed of the scenario is one of them.
    table = recorded_grid(monkeypatch)
    grid = load_scenario("who_wins")
    assert grid.sweep is not None and len(table) == len(expand(grid)) == 1144
    schemes = [name for name in grid.sweep.variants if name != without]
    question = make_question("token_latency_s", None, [], "uplink_bits_per_token", trials=50, replications=8)
    over = [f"variant={','.join(schemes)}", RATE]
    found = search(question, Space(grid, over), Runner(grid, question.metrics, Path(), 1, None))
    means = table[table["variant"].isin(schemes)].groupby(["variant", RATE])["token_latency_s"].mean()
    labels = found.best.proposal.labels
    assert means[labels["variant"], labels[RATE]] <= 1.02 * means.min()
    assert found.runs <= len(table) / 10
    # An axis that is varied with others brings them along.
    assert found.best.proposal.changes["link.downlink_mbps"] == 5 * labels[RATE]


def small() -> Scenario:
    protocol = {"name": "tslt", "top_k": 64}
    return Scenario.from_dict({"name": "asked", "models": "embedded", "protocol": protocol, "link": {"kind": "fixed"}})


def known_world(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Runs whose latency is least at a draft length of 7, with the same noise for all; energy falls with the length."""
    ran: list[tuple[str, int]] = []

    def evaluated(one: Scenario, out: Path, **_: Any) -> tuple[pd.DataFrame, list[str]]:
        assert one.sweep is not None
        rows = []
        for point in expand(one):
            length: int = getattr(point.scenario.protocol.settings, "draft_length", 0)
            penalty = 0.0 if point.scenario.protocol.name == "tslt" else 1.0
            latency = 1 + penalty + math.log(max(length, 1) / 7) ** 2 + 0.1 * point.replication
            rows.append({"variant": point.variant, "replication": point.replication, METRIC: latency})
            rows[-1] |= {ENERGY: 10.0 / max(length, 1)}
            ran.append((point.variant, point.replication))
        return pd.DataFrame(rows), []

    monkeypatch.setattr(module, "evaluate", evaluated)
    return ran


def ask(over: list[str], *constraints: str, trials: int = 20, **changes: Any) -> Advice:
    question = make_question(METRIC, None, constraints, None, trials, 4)
    return advise(small(), question, over, with_sensitivity=False, **changes)


def test_a_known_optimum_is_found_within_bounds_and_with_few_full_runs(monkeypatch: pytest.MonkeyPatch):
    ran = known_world(monkeypatch)
    advice = ask(["draft_length"])
    assert abs(advice.found.best.proposal.labels["draft_length"] - 7) <= 1
    assert all(1 <= one.proposal.labels["draft_length"] <= 64 for one in advice.found.candidates)
    full = [one for one in advice.found.candidates if len(one.rows) == 4]
    assert 2 <= len(full) < len(advice.found.candidates) / 2
    assert advice.found.runs <= 2.5 * len(advice.found.candidates) and len({name for name, _ in ran}) <= 20
    again = ask(["draft_length"])
    assert again.as_dict() == advice.as_dict()


def test_a_constraint_is_kept_and_told(monkeypatch: pytest.MonkeyPatch):
    known_world(monkeypatch)
    # At most 1 J per token means 10 tokens a draft and more: away from the free optimum, whose energy is 1.4.
    advice = ask(["draft_length"], f"{ENERGY}<1")
    assert 10 <= advice.found.best.proposal.labels["draft_length"] <= 12 and advice.found.is_feasible
    assert f"asked: {ENERGY} <= 1" in advice.sentences[0]
    # The front goes from the optimum to the least energy, and nothing on it is beaten.
    values = {one.name: one.means() for one in advice.found.candidates if one.name in advice.found.front}
    assert len(values) > 1
    for own in values.values():
        assert not any(o[METRIC] < own[METRIC] and o[ENERGY] < own[ENERGY] for o in values.values())
    nothing = ask(["draft_length"], f"{ENERGY}<0.01")
    assert not nothing.found.is_feasible and nothing.sentences[0].startswith("No candidate keeps the constraints")
    assert nothing.found.best.proposal.labels["draft_length"] > 40


def test_protocols_controllers_and_their_keys_are_searched_where_they_fit(monkeypatch: pytest.MonkeyPatch):
    known_world(monkeypatch)
    advice = ask(["protocol=tslt,dssd,edge_only", "draft_length,candidates,controller"], trials=30)
    best = advice.found.best.proposal.labels
    assert best["protocol"] == "tslt" and abs(best["draft_length"] - 7) <= 3
    assert advice.found.runner_up is not None and advice.found.runner_up.proposal.labels["protocol"] != "tslt"
    assert "The runner-up is protocol" in advice.sentences[1]
    seen: dict[str, set[str]] = {}
    for one in advice.found.candidates:
        seen.setdefault(one.proposal.labels["protocol"], set()).update(one.proposal.labels)
    assert seen["edge_only"] == {"protocol", "controller"} and "candidates" not in seen["dssd"]
    assert "candidates" in seen["tslt"]


def test_all_lossless_protocols_are_tried_where_none_is_named():
    names = {option.label for option in Space(small(), ["protocol"])._options["protocol"]}
    lossless = {entry.name for entry in PROTOCOLS if entry.traits["lossless"] and ":" not in entry.name}
    assert {"tslt", "dsd", "edge_only"} <= names <= lossless


def test_values_are_those_of_the_settings_classes():
    length = values_of_field(ChainSettings, "draft_length")
    assert length is not None and (length.low, length.high, length.is_whole) == (1, 64, True)
    assert values_of_field(TreeSettings, "candidates") is None
    candidates = values_of_field(TreeSettings, "candidates", limit=8)
    assert candidates is not None and (candidates.low, candidates.high) == (1, 8)
    settings = {name: PROTOCOLS.find(name).settings for name in ("tk_slt", "tslt", "u_hlm", "dssd_bounded")}
    auto = values_of_field(settings["tk_slt"], "draft_length")
    assert auto is not None and auto.choices == ("auto",) and auto.high == 64
    cut = values_of_field(settings["tslt"], "top_k", limit=1000)
    assert cut is not None and cut.choices == (None,) and cut.high == 1000
    share = values_of_field(settings["tslt"], "top_p")
    assert share is not None and 0 < share.low < 0.01 and share.high == 1
    trial = optuna.trial.FixedTrial({"x?": 1, "x": 5})
    assert cut.suggest(trial, "x") == 5  # type: ignore[arg-type]


def test_candidates_that_cannot_run_are_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def evaluated(one: Scenario, out: Path, **_: Any) -> tuple[pd.DataFrame, list[str]]:
        assert one.sweep is not None
        for changes in one.sweep.variants.values():
            if changes["protocol.draft_length"] > 4:
                raise InputError("too long")
        rows = [{"variant": name, "replication": 0, METRIC: 1.0, ENERGY: 1.0} for name in one.sweep.variants]
        return pd.DataFrame(rows), []

    monkeypatch.setattr(module, "evaluate", evaluated)
    question = Question(METRIC, against=ENERGY, trials=12, replications=1)
    found = search(question, Space(small(), ["draft_length"]), Runner(small(), question.metrics, tmp_path, 1, None))
    failed = [one for one in found.candidates if one.failure]
    assert failed and all(one.failure == "too long" for one in failed) and not found.best.failure
    with pytest.raises(RunError, match="none of 1 candidates could be run: too long"):
        question = Question(METRIC, against=ENERGY, trials=1, replications=1)
        search(question, Space(small(), ["draft_length=9"]), Runner(small(), question.metrics, tmp_path, 1, None))


def test_other_conditions_change_the_advice(tmp_path: Path):
    # Four drafts that are accepted save four forward passes of 0.2 s. Their rows are 0.52 Mbit, 0.26 s at 2 Mbit/s and
    # 1.05 s at a quarter of it.
    keys = {
        "name": "turns",
        "devices": {"count": 1, "requests": 1},
        "workload": {"max_new_tokens": 10},
        "models": {"draft": "embedded/target", "target": "embedded/target"},
        "link": {"kind": "fixed", "uplink_mbps": 2},
        "compute": {
            "device": {"kind": "fixed", "per_forward_s": 0.0001},
            "edge": {"kind": "fixed", "per_forward_s": 0.2},
        },
    }
    question = make_question(METRIC, None, [], None, trials=2, replications=3)
    advice = advise(Scenario.from_dict(keys), question, ["protocol=dsd,edge_only"], tmp_path, jobs=1)
    assert advice.found.best.proposal.labels["protocol"] == "dsd"
    changed = {one.value for one in advice.conditions if one.about == "uplink" and one.changes}
    kept = {one.value for one in advice.conditions if one.about == "uplink" and one.best == advice.found.best.name}
    assert changed == {0.5} and max(kept) == 8 and "It would change with link.uplink_mbps" in advice.sentences[2]
    assert {one.about for one in advice.conditions} == {"uplink", "load"} and advice.runs > advice.found.runs
    assert [path.name for path in draw_front(advice, tmp_path)] == ["front.png", "front.pdf", "front.svg"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--minimise", "e2e_p95"], r"--minimise unknown column 'e2e_p95' \(did you mean 'e2e_p95_s'\?\)"),
        (["--minimise", METRIC, "--maximise", METRIC], "give one of --minimise COLUMN and --maximise COLUMN"),
        (["--minimise", METRIC, "--subject-to", "e2e_p95_s"], "--subject-to expected COLUMN<NUMBER"),
        (["--minimise", METRIC, "--subject-to", "nothing<1"], "--subject-to unknown column 'nothing'"),
        (["--minimise", METRIC, "--over", "topk"], r"--over unknown key 'topk' \(did you mean 'top_k'\?\)"),
        (["--minimise", METRIC, "--over", "link.uplink"], "--over link.uplink: unknown key 'uplink'"),
        (["--minimise", METRIC, "--over", "compute.edge.hardware"], "no bounds to search within"),
        (["--minimise", METRIC, "--over", "blocks"], "'blocks' belongs to hsd, none of which is tried"),
        (["--minimise", METRIC, "--over", "draft_length=0,4"], r"--over protocol\.draft_length: .* equal to 1, got 0"),
        (["--minimise", METRIC, "--over", "phones.draft_length=2,4"], "--over phones: unknown key 'phones'"),
        (["--minimise", METRIC, "--over", "protocol=tsl"], "unknown protocol 'tsl'"),
    ],
)
def test_a_bad_question_is_one_message(options: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    over = [] if "--over" in options else ["--over", "top_k"]
    assert _main(["advise", "quickstart", *options, *over]) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and re.search(message, errors), errors


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ("draft_length=0,4", "input should be greater than or equal to 1, got 0"),
        ("hardware=l4,h1000", "unknown hardware 'h1000'"),
        ("temperature=-1,1", "input should be greater than or equal to 0, got -1"),
    ],
)
def test_values_out_of_bounds_of_a_kinds_key_are_refused(over: str, message: str):
    compute = {"kind": "roofline", "model_size": "160M", "hardware": "l4"}
    kinds = [{"name": "phones", "compute": compute}, {"name": "others"}]
    scenario = small_scenario(devices=kinds, models="embedded")
    part = {"draft_length": "protocol", "hardware": "compute", "temperature": "workload"}[over.partition("=")[0]]
    with pytest.raises(InputError, match=message) as caught:
        Space(scenario, [f"devices.phones.{part}.{over}"])
    assert str(caught.value).startswith(f"--over devices.phones.{part}.{over.partition('=')[0]}: ")


def test_bounds_of_a_kinds_key_are_those_of_its_part():
    space = Space(
        small_scenario(devices=[{"name": "phones"}], models="embedded"), ["devices.phones.protocol.draft_length"]
    )
    proposal = space.propose(optuna.trial.FixedTrial({"devices.phones.protocol.draft_length": 3}))
    assert proposal is not None and proposal.changes == {"devices.phones.protocol.draft_length": 3}


def test_constraints_are_read():
    assert parse_constraint("e2e_p95_s <= 0.5").violation(1.0) == 1.0
    assert parse_constraint("tokens_per_s>10").violation(5.0) == 0.5
    assert parse_constraint("tokens_per_s>10").violation(math.nan) == math.inf


def test_the_command_writes_and_prints_the_advice(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "asked.yaml"
    keys = {"devices": {"requests": 1}, "workload": {"max_new_tokens": 2}, "compute": {"edge": {"kind": "fixed"}}}
    keys["compute"]["device"] = {"kind": "fixed", "per_forward_s": 0.001}
    file.write_text(Scenario.from_dict({**small().dump(), **keys}).to_yaml(), encoding="utf-8")
    options = ["--minimise", METRIC, "--over", "draft_length=1,2", "--trials", "2", "--replications", "2"]
    out = ["--out", str(tmp_path), "--jobs", "1", "--no-sensitivity"]
    assert _main(["advise", str(file), *options, *out, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    folder = Path(told["folder"])
    assert {"advice.json", "candidates.csv", "front.png"} <= {path.name for path in folder.iterdir()}
    assert told["best"]["keys"].keys() == {"draft_length"} and len(told["sentences"]) == 2
    assert not any("e-" in text or "e+" in text for text in told["sentences"])
    assert _main(["advise", str(file), *options, *out]) == 0
    assert "Pareto front of 2 candidates" in capsys.readouterr().out
