"""Loading scenarios: what is right loads and round-trips; what is wrong gets one message with file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sim.cli import _main
from sim.core.errors import InputError
from sim.scenario import Scenario, load_scenario
from sim.scenario.loading import bundled_scenarios
from sim.scenario.points import expand


def write(tmp_path: Path, text: str) -> Path:
    """A scenario file."""
    path = tmp_path / "case.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", bundled_scenarios())
def test_bundled_scenarios_load_and_open_with_two_lines_that_say_what_they_show(name: str):
    path = bundled_scenarios()[name]
    first, second = path.read_text().splitlines()[:2]
    assert first.startswith("# ") and second.startswith("# ")
    scenario = load_scenario(name)
    assert Scenario.from_dict(yaml.safe_load(scenario.to_yaml())) == scenario
    assert expand(scenario)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("seed: 1\nlink: {kind: fixed, uplink_mbsp: 3}\n", 2, "did you mean 'uplink_mbps'"),
        ("seed: 1\nprotocol:\n  name: tslt\n  top_kk: 3\n", 4, "did you mean 'top_k'"),
        ("protocol: {name: tslr}\n", 1, "did you mean 'tslt'"),
        ("\n\ndevices: {count: 0}\n", 3, "greater than or equal to 1"),
        ("devices:\n  count: many\n", 2, "valid integer"),
        ("link:\n  kind: fixed\n  uplink_mbps: -2\n", 3, "greater than"),
        ("link:\n  kind: fixed\n  uplink_mbps: 5 MHz\n", 3, "valid number"),
        ("link: {kind: carrier_pigeon}\n", 1, "unknown link"),
        (
            "link:\n  uplink_mbps: 5\n  knid: fixed\n",
            3,
            "unknown key 'knid' (did you mean 'kind'?): a link must be named",
        ),
        ("protocol:\n  nmae: tslt\n", 2, "unknown key 'nmae' (did you mean 'name'?): a protocol must be named"),
        ("compute:\n  edge:\n    knd: fixed\n", 3, "unknown key 'knd' (did you mean 'kind'?)"),
        ("link:\n  uplink_mbps: 5\n  rate: 3\n", 3, "unknown key 'rate', and a link must be named by 'kind'"),
        ("link:\n  uplink_mbps: 5\n", 1, "a link must be named by 'kind'; valid: fixed"),
        ("link:\n  kind: 5\n", 2, "expected the name of a link, got 5; valid: fixed"),
        ("sed: 3\n", 1, "did you mean 'seed'"),
        ("compute: {edge: calibrate}\n", 1, "did you mean 'calibrated'"),
        ("compute: {eadge: calibrated}\n", 1, "unknown site"),
        ("protocol: {name: tslt, top_k: 4, top_p: 0.5}\n", 1, "not both"),
        ("protocol: {name: tslt, candidates: [2, 2], draft_length: 3}\n", 1, "2 depths"),
        ("devices: {arrivals: poisson}\n", 1, "arrival_rate_hz"),
        ("workload: {temperature: -1}\n", 1, "greater than or equal to 0"),
        ("sweep: {axes: {link.uplink_mbps: []}}\n", 1, "empty"),
        ("sweep: {axes: {link.uplink_mbps: 5}}\n", 1, "list of values or a range"),
        ("sweep: {precision: many}\n", 1, "fraction"),
        ("sweep: {zip: {a: [1], b: [1, 2]}}\n", 1, "equal lengths"),
        ("seed: 1\nseed: 2\n", 2, "given twice"),
        ("- 1\n", 1, "mapping of keys"),
        ("", 1, "mapping of keys"),
        ("a: [1\nb: }\n", 2, "not YAML"),
        ("a: !!python/object/apply:os.system ['true']\n", 1, "not YAML"),
    ],
)
def test_wrong_input_names_file_line_and_what_was_expected(tmp_path: Path, text: str, line: int, says: str):
    path = write(tmp_path, text)
    with pytest.raises(InputError) as caught:
        load_scenario(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:{line}:")
    assert says in message
    assert "\n" not in message


def test_missing_file_names_the_bundled_ones():
    with pytest.raises(InputError, match="did you mean 'quickstart'"):
        load_scenario("quickstrat")


def test_a_change_is_blamed_on_the_option(tmp_path: Path):
    with pytest.raises(InputError, match=r"--set link\.uplink_mbps"):
        load_scenario("quickstart", {"link.uplink_mbps": -1})


def test_replace_leaves_the_original_alone():
    scenario = load_scenario("quickstart")
    changed = scenario.replace("link.transport_delay_s", 0.25)
    assert changed.link.settings.transport_delay_s == 0.25
    assert scenario.link.settings.transport_delay_s != 0.25
    with pytest.raises(InputError, match="unknown key"):
        scenario.replace("link.nonsense", 1)


def test_renaming_a_protocol_keeps_the_keys_that_both_have():
    scenario = load_scenario("quickstart", {"protocol.draft_length": 7, "protocol.name": "dsd"})
    assert scenario.protocol.name == "dsd"
    assert scenario.protocol.settings.draft_length == 7


def test_one_model_of_a_set_can_be_changed():
    models = load_scenario("quickstart", {"models": "smollm2", "models.draft": "embedded/draft"}).models
    assert (models.draft, models.target) == ("embedded/draft", "smollm2/target")


def test_a_scenario_without_models_needs_no_weights_to_be_validated(tmp_path, monkeypatch, capsys):
    """It means the real pair; without weights and network a run says how to go without, and takes nothing else."""
    monkeypatch.setenv("SPECRAN_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("SPECRAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    path = write(tmp_path, "devices: {requests: 1}\nlink: fixed\ncompute: {device: fixed, edge: fixed}\n")
    assert _main(["validate", str(path)]) == 0
    capsys.readouterr()
    assert _main(["run", str(path), "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert "cannot fetch smollm2/target" in told and "--set models=embedded" in told
    assert not (tmp_path / "out").exists()


def test_relative_paths_are_relative_to_the_scenario(tmp_path: Path):
    (tmp_path / "mine.jsonl").write_text('{"text": "def f"}\n')
    path = write(tmp_path, "workload: {prompts: mine.jsonl}\n")
    assert load_scenario(path).workload.prompts == str(tmp_path / "mine.jsonl")


def test_files_on_an_axis_are_relative_to_the_scenario(tmp_path: Path):
    (tmp_path / "mine.jsonl").write_text('{"text": "def f"}\n')
    path = write(tmp_path, "sweep: {workload.prompts: [mine.jsonl, embedded]}\n")
    prompts = [point.scenario.workload.prompts for point in expand(load_scenario(path))]
    assert prompts == [str(tmp_path / "mine.jsonl"), "embedded"]


def test_axes_may_stand_in_the_sweep_itself(tmp_path: Path):
    short = load_scenario(write(tmp_path, "sweep: {link.uplink_mbps: [1, 2], protocol.top_k: [8, 64]}\n"))
    whole = load_scenario(write(tmp_path, "sweep: {axes: {link.uplink_mbps: [1, 2], protocol.top_k: [8, 64]}}\n"))
    assert short == whole
    changes = {"protocol.top_k": {"from": 1, "to": 4, "points": 3, "scale": "log"}}
    path = write(tmp_path, "sweep: {link.uplink_mbps: [1, 2], protocol.top_k: [8, 64]}\n")
    varied = load_scenario(path, axes=changes)
    assert varied.sweep.axes == {"link.uplink_mbps": [1, 2], "protocol.top_k": [1, 2, 4]}
    assert all(isinstance(value, int) for value in varied.sweep.axes["protocol.top_k"])


def test_zipped_axes_may_be_ranges_and_hold_a_value_twice():
    zipped = {"link.uplink_mbps": {"from": 1, "to": 3, "points": 3}, "link.downlink_mbps": [10, 10, 20]}
    points = expand(Scenario.from_dict({"sweep": {"zip": zipped}}))
    assert [list(point.changes.values()) for point in points] == [[1, 10], [2, 10], [3, 20]]


def test_a_part_is_changed_before_what_is_in_it():
    """In whatever order the axes stand: the key within would be lost with the part that held it."""
    for keys in (("link.uplink_mbps", "link"), ("link", "link.uplink_mbps")):
        axes = {key: {"link": [{"kind": "fixed"}], "link.uplink_mbps": [3, 7]}[key] for key in keys}
        points = expand(Scenario.from_dict({"sweep": {"axes": axes}}))
        assert [point.scenario.link.settings.uplink_mbps for point in points] == [3, 7]


def test_values_on_the_command_line_may_be_lists():
    from sim.scenario.overrides import parse_axes

    texts = ["protocol.candidates=[2, 1],[2, 2]", "edge.max_batch=[1, 2]", "cloud.max_batch=1,2"]
    assert parse_axes(texts) == {
        "protocol.candidates": [[2, 1], [2, 2]],
        "edge.max_batch": [1, 2],
        "cloud.max_batch": [1, 2],
    }


def test_points_are_the_product_and_share_their_seeds():
    scenario = Scenario.from_dict(
        {
            "sweep": {
                "axes": {"link.uplink_mbps": {"from": 1, "to": 100, "points": 3, "scale": "log"}},
                "zip": {"protocol.top_k": [8, 64], "protocol.draft_length": [2, 5]},
                "variants": {"a": {}, "b": {"protocol.values": "log8"}},
                "replications": 2,
            }
        }
    )
    points = expand(scenario)
    assert len(points) == 3 * 2 * 2 * 2
    assert [point.index for point in points] == list(range(len(points)))
    assert len({repr(point.scenario.dump()) for point in points}) == len(points)
    assert {point.scenario.seed for point in points if point.replication == 0} == {scenario.seed}
    assert len({point.scenario.seed for point in points if point.replication == 1}) == 1
    assert sorted({point.changes["link.uplink_mbps"] for point in points}) == [1, 10, 100]


def test_an_unknown_axis_is_refused_before_anything_runs():
    scenario = Scenario.from_dict({"sweep": {"axes": {"link.uplink_mpbs": [1, 2]}}})
    with pytest.raises(InputError, match="did you mean 'uplink_mbps'"):
        expand(scenario)


def test_another_protocol_takes_along_what_was_set_and_not_the_old_ones_defaults():
    """A row format that nobody asked for is not the new scheme's: it keeps its own, from YAML and from a dump alike."""
    scenario = Scenario.from_dict({"protocol": {"name": "tslt", "draft_length": 6, "top_k": 64}})
    for base in (scenario, Scenario.from_dict(scenario.dump())):
        split = base.replace("protocol.name", "dssd").dump()["protocol"]
        assert (split["draft_length"], split["values"], split["lattice_levels"]) == (6, "lattice", 65535)
        sparse = base.replace("protocol.name", "sqs").dump()["protocol"]
        assert (sparse["draft_length"], sparse["top_k"], sparse["lattice_levels"]) == (6, 64, 255)
    chosen = Scenario.from_dict({"protocol": {"name": "tslt", "values": "log8"}})
    assert chosen.replace("protocol.name", "dsd").dump()["protocol"]["values"] == "log8"
