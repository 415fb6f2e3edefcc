"""Files that a scenario names count by what is in them and how they are read; where they lie and their names do not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from sim.cli.output import answer_folder
from sim.compute.roofline import RooflineSettings, price_model
from sim.core.errors import InputError
from sim.inputs.identity import with_contents
from sim.runs.run import run
from sim.scenario.loading import load_scenario
from sim.scenario.schema import Scenario
from sim.sweep.run import SweepResult, sweep
from tests.tape.test_identity import address, tape_key
from tests.worlds import FIXED_COMPUTE, small_scenario

_ROWS = "time_s,mbps\n0,5\n1,3\n"


def naming(key: str, path: Path | str) -> Scenario:
    """A scenario that names a file under a key."""
    if key == "link":
        return small_scenario(link={"kind": "trace", "uplink_trace": str(path), "downlink_mbps": 20})
    if key == "arrivals":
        return small_scenario(devices={"count": 3, "arrivals": str(path)})
    return small_scenario(workload={"max_new_tokens": 12, "prompts": str(path)})


@pytest.mark.parametrize("key", ["prompts", "arrivals", "link"])
def test_how_a_file_is_read_counts_and_its_name_does_not(tmp_path: Path, key: str):
    def of(name: str) -> str:
        (tmp_path / name).write_text(_ROWS)
        return address(naming(key, tmp_path / name))

    rows, lines, other = of("x.csv"), of("x.jsonl"), of("x.txt")
    assert len({rows, lines, other, of("x.json")}) == 4
    assert rows == of("renamed.CSV") and other == of("Other name.trace") == of("no_suffix")
    assert lines == of("x.JSONL") == of("x.ndjson") == of("x.NdJson")


@pytest.mark.usefixtures("no_pictures", "cache")
def test_what_was_read_in_one_way_does_not_stand_for_what_is_read_in_another(tiny_keys: dict, tmp_path: Path):
    def done(name: str) -> SweepResult:
        (tmp_path / name).write_text('{"text": "w5 w6 w7"}\n')
        tiny_keys["sweep"] = {"axes": {"workload.prompts": [str(tmp_path / name)]}}
        return sweep(Scenario.from_dict(tiny_keys), tmp_path / "out", jobs=1, resume=True)

    assert not done("same.jsonl").resumed
    assert done("renamed.jsonl").resumed
    with pytest.raises(InputError, match=r"name it \.jsonl"):
        done("same.txt")


@pytest.mark.parametrize("key", ["prompts", "arrivals", "link"])
def test_a_name_without_dots_and_slashes_is_that_of_a_file_too(tmp_path: Path, monkeypatch, key: str):
    monkeypatch.chdir(tmp_path)
    Path("data").write_text(_ROWS)
    before = address(naming(key, "data"))
    assert before == address(naming(key, tmp_path / "data"))
    Path("data").write_text(f"{_ROWS}2,4\n")
    assert address(naming(key, "data")) != before


def test_a_word_of_a_scenario_is_no_file(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = address(small_scenario())
    for word in ("closed", "fixed", "tslt", "embedded", "chat"):
        Path(word).write_text("1")
    assert address(small_scenario()) == before


def test_an_answer_lies_in_the_folder_of_what_was_asked_of_these_files(tmp_path: Path):
    def of(path: Path, count: int = 3) -> str:
        return answer_folder(tmp_path / "out", naming("link", path), "capacity", {"count": count}).name

    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(_ROWS)
    before = of(tmp_path / "a.csv")
    assert before == of(tmp_path / "b.csv") != of(tmp_path / "a.csv", 4)
    (tmp_path / "a.csv").write_text(f"{_ROWS}2,4\n")
    assert of(tmp_path / "a.csv") != before


def test_a_link_to_a_file_is_the_file(tmp_path: Path):
    (tmp_path / "real.csv").write_text(_ROWS)
    (tmp_path / "link.csv").symlink_to("real.csv")
    before = address(naming("link", tmp_path / "link.csv"))
    assert before == address(naming("link", tmp_path / "real.csv"))
    (tmp_path / "real.csv").write_text(f"{_ROWS}2,4\n")
    assert address(naming("link", tmp_path / "link.csv")) != before


def test_a_folder_is_the_files_in_it(tmp_path: Path, monkeypatch):
    for folder in ("one", "other"):
        (tmp_path / folder / "inner").mkdir(parents=True)
        (tmp_path / folder / "inner" / "a.txt").write_text("1")
    one, other = ({"own": str(tmp_path / folder)} for folder in ("one", "other"))
    before = with_contents(one)
    assert before == with_contents(other)
    (tmp_path / "one" / "inner" / "a.txt").write_text("2")
    assert with_contents(one) != before
    (tmp_path / "other" / "b.txt").write_text("1")
    assert with_contents(other) != before
    (tmp_path / "circle").mkdir()
    for name in ("a", "b"):
        (tmp_path / "circle" / name).symlink_to(tmp_path / "circle", target_is_directory=True)
    (tmp_path / "circle" / "link").symlink_to(tmp_path / "one", target_is_directory=True)
    assert set(with_contents(str(tmp_path / "circle"))["folder"]) == {"link/inner/a.txt"}
    monkeypatch.chdir(tmp_path)
    assert with_contents(["/", ".", ".."]) == ["/", ".", ".."]
    monkeypatch.setattr("sim.inputs.identity.MAX_FILES", 1)
    with pytest.raises(Exception, match="other holds over 1 files, all of which would count: name less"):
        with_contents(other)


def priced_at_the_edge(**keys: Any) -> Scenario:
    """A scenario whose target is priced by a roofline."""
    edge = {"kind": "roofline", "hardware": "h100", **keys}
    return small_scenario(compute={**FIXED_COMPUTE, "edge": edge})


def config_in(folder: Path, layers: int = 4, name: str = "config.json") -> Path:
    """A model's configuration."""
    folder.mkdir(exist_ok=True)
    sizes = {"num_hidden_layers": layers, "hidden_size": 64, "num_attention_heads": 4, "vocab_size": 512}
    (folder / name).write_text(json.dumps({"model_type": "llama", "intermediate_size": 128, **sizes}))
    return folder / name


def test_the_configuration_that_prices_a_model_counts_by_content(tmp_path: Path):
    here = config_in(tmp_path / "here")
    there = config_in(tmp_path / "there", name="renamed.json")
    sizes: list[Any] = [str(here), str(here.parent), str(there), {"target": str(there)}]
    addresses = {address(priced_at_the_edge(model_size=size)) for size in sizes}
    assert len(addresses) == 1
    config_in(tmp_path / "here", layers=5)
    assert address(priced_at_the_edge(model_size=str(here))) not in addresses
    assert address(priced_at_the_edge(model_size=str(here.parent))) not in addresses
    described = price_model(RooflineSettings(hardware="h100", model_size=str(here))).describe()
    assert str(tmp_path) not in json.dumps(described) and "here/config.json" in json.dumps(described)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hardware", "a100"),
        ("model_size", "7B"),
        ("runtime", "ideal"),
        ("weights", "fp8"),
        ("bytes_per_weight", 1.0),
        ("bytes_per_cached_value", 1.0),
        ("arithmetic", "fp8"),
        ("num_processors", 2),
        ("compute_efficiency", 0.1),
        ("bandwidth_efficiency", 0.1),
        ("kv_efficiency", 0.1),
        ("overhead_s", 0.5),
        ("layer_s", 0.5),
        ("sequence_s", 0.5),
        ("all_reduce_s", 0.5),
        ("power_w", 7.0),
    ],
)
def test_every_key_of_the_roofline_changes_the_address(key: str, value: Any):
    assert key in RooflineSettings.model_fields
    base = {"model_size": "8B"}
    assert address(priced_at_the_edge(**{**base, key: value})) != address(priced_at_the_edge(**base))


def test_timings_count_by_content(tmp_path: Path):
    def of(path: Path) -> str:
        return address(small_scenario(compute={**FIXED_COMPUTE, "edge": {"kind": "table", "file": str(path)}}))

    rows = [f"{new},{context},1,{1 + new / 10 + context / 100}" for new in (1, 4, 16) for context in (50, 200)]
    text = "\n".join(["new_tokens,context_tokens,batch,ms", *rows])
    for name in ("a.csv", "b.txt"):
        (tmp_path / name).write_text(text)
    assert of(tmp_path / "a.csv") == of(tmp_path / "b.txt")
    (tmp_path / "b.txt").write_text(f"{text}\n32,200,1,9")
    assert of(tmp_path / "a.csv") != of(tmp_path / "b.txt")


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("kinds", [False, True])
def test_a_copy_of_everything_is_the_same_run_and_says_nothing_of_its_folder(
    tiny_keys: dict, tiny_pair: Path, tmp_path: Path, kinds: bool
):
    own = {**tiny_keys, "models": {"draft": "./draft", "target": "./target", "device": "cpu"}}
    own["workload"] = {**tiny_keys["workload"], "prompts": "prompts.jsonl"}
    own["compute"] = {
        "device": {"kind": "roofline", "hardware": "jetson-orin-nano"},
        "edge": {"kind": "roofline", "hardware": "h100", "model_size": {"target": "./size.json"}},
    }
    if kinds:
        alike = {"count": 1, "requests": 1}
        own["devices"] = [{"name": "a", **alike}, {"name": "b", **alike, "models": {"draft": "./second"}}]
    own.pop("sweep")
    folders = []
    for name in ("one", "other"):
        shutil.copytree(tiny_pair, tmp_path / name)
        shutil.copytree(tiny_pair / "draft", tmp_path / name / "second")
        config_in(tmp_path / name, name="size.json")
        # Of a model's folder only what is read counts.
        (tmp_path / name / "second" / "notes.txt").write_text(name)
        (tmp_path / name / "case.yaml").write_text(json.dumps(own))
        folders.append(run(load_scenario(tmp_path / name / "case.yaml"), tmp_path / "out" / name).folder)
    one, other = folders
    assert one.name == other.name
    for name in ("summary.json", "requests.parquet", "rounds.parquet"):
        assert (one / name).read_bytes() == (other / name).read_bytes()
    for path in (one / "manifest.json", one / "report.html", one / "scenario.yaml", one / "summary.json"):
        assert str(tmp_path) not in path.read_text()
    assert tape_key(load_scenario(one / "scenario.yaml")) == tape_key(load_scenario(tmp_path / "one" / "case.yaml"))


@pytest.mark.usefixtures("cache")
def test_names_of_one_size_are_points_of_their_own(tiny_keys: dict, tmp_path: Path):
    """As any two values that come to the same: rows of their own, though they are one run."""
    config = config_in(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    tiny_keys["compute"] = {**tiny_keys["compute"], "edge": {"kind": "roofline", "hardware": "h100"}}
    sizes = [str(config), str(tmp_path / "b")]
    tiny_keys["sweep"] = {"axes": {"compute.edge.model_size": sizes}}
    done = sweep(Scenario.from_dict(tiny_keys), tmp_path / "out", jobs=1)
    assert len(done.table) == 2 and len(set(done.table["run_id"])) == 1
    for path in done.folder.iterdir():
        if path.suffix in (".csv", ".json", ".html", ".yaml"):
            assert str(tmp_path) not in path.read_text(), path.name
