"""One identity: what a result depends on changes its address, whatever it is; what it does not depend on does not.

The keys come from the schema itself, so that one that is added is tested without anyone remembering to.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic.fields import FieldInfo

from sim.compute.registry import COMPUTE
from sim.compute.roles import make_cost_model
from sim.core.addresses import digest
from sim.core.errors import InputError
from sim.decoding.controllers.registry import CONTROLLERS
from sim.decoding.protocols.registry import PROTOCOLS
from sim.inputs import identity, versions
from sim.inputs.identity import RunAddresses, decoding_inputs, with_contents
from sim.inputs.scenario_models import model_info_of
from sim.inputs.tokenised_requests import planned_requests
from sim.models.info import ModelInfo
from sim.runs.run import run
from sim.scenario.overrides import apply_overrides
from sim.scenario.schema import Scenario
from sim.sweep.run import sweep
from sim.tape.key import Addresses
from tests.invariants import test_every_key as keys
from tests.worlds import FIXED_COMPUTE, parts_for_controller, small_scenario, table_models

MODELS = {role: replace(ModelInfo.of(model), eos_ids=frozenset({2})) for role, model in table_models().items()}
# What decoding depends on besides the keys of protocol and controller.
DECODING = {
    "seed",
    "workload.max_new_tokens",
    "workload.stop_at_eos",
    "workload.temperature",
    "workload.draft_temperature",
    "workload.top_k",
    "workload.top_p",
    "models.dtype",
    "models.wire_vocab_size",
}
# What no figure of a run depends on: names of results and models (of these the contents count), how to load models.
NOT_IN_A_RUN = {"name", "sweep", "models.draft", "models.target", "models.middle", "models.device"} | {
    "models.draft_vocabulary"
}
VALUES: dict[str, Any] = {
    **keys.VALUES,
    "name": "other",
    "sweep": {"replications": 2},
    "workload.prompts": "other.jsonl",
    "workload.max_prompt_tokens": 7,
    "models.draft": "other/draft",
    "models.target": "other/target",
    "models.middle": "other/middle",
    "models.device": "cuda",
    "models.draft_vocabulary": "shared_tokens",
    "devices.os_memory_share": 0.5,
    "edge.continuous.policy": "priority",
    "cloud.continuous.policy": "priority",
    "link.nr.kpm_period_s": 0.01,
    "link.nr.poll_pdus": 4,
    "link.nr.poll_bytes": 25_000,
    **{f"edge.{engine}.ran_sharing": {"mode": "mig"} for engine in ("fcfs", "continuous")},
    **{f"edge.{engine}.sites": {"placement": "central"} for engine in ("fcfs", "continuous")},
}
# Refused wherever they are set, since layer 1 lies at the edge.
REFUSED = {f"cloud.{engine}.{key}" for engine in ("fcfs", "continuous") for key in ("ran_sharing", "sites")}

# Keys that change no output of small worlds, and another one that has a base scenario in which both are in use.
BASES = {"cloud.continuous.policy": "cloud.continuous.memory_share"}
ALSO_IN_BASE: dict[str, dict[str, Any]] = {
    "models.target": {"workload.prompts": "chat"},  # which otherwise go by the target's name
    "devices.trace_speedup": {"devices.arrivals": "arrivals.csv", "devices.think_time_s": 0},
    **{f"edge.{engine}.ran_sharing": {"link": {"kind": "nr"}} for engine in ("fcfs", "continuous")},
    **{f"link.nr.{key}": {"link.rlc_feedback": "status"} for key in ("poll_pdus", "poll_bytes")},
}
CONTROLLER_VALUES: dict[tuple[str, str], Any] = {
    ("confidence", "max_draft_length"): 3,
    ("ucb_specstop", "draft_lengths"): [1, 2],
    ("ucb_specstop", "top_k"): [2, 4],
    ("ucb_specstop", "candidates"): [1, 2],
}


def tape_key(scenario: Scenario, models: dict[str, ModelInfo] | None = None) -> str:
    """What all requests of a scenario share of their addresses, and the seed."""
    return digest([decoding_inputs(scenario, models or MODELS), scenario.seed])


def address(scenario: Scenario, models: dict[str, ModelInfo] | None = None) -> str:
    """The address of a scenario's run."""
    models = models or MODELS
    costs = {
        site: {
            role: make_cost_model(choice.entry, choice.settings, role, model, site) for role, model in models.items()
        }
        for site, choice in scenario.compute.items()
    }
    return RunAddresses().of(scenario, models, costs)


def changed_at(key: str, base: Scenario, path: str, info: FieldInfo, tmp_path: Path) -> Scenario:
    """The scenario with another value of a key."""
    current: Any = base.dump()
    for part in path.split("."):
        current = current.get(part) if isinstance(current, dict) else None
    value = VALUES[key] if key in VALUES else keys.another(info, current)
    value = value(tmp_path) if callable(value) else value
    return Scenario.from_dict(apply_overrides(base.dump(), {path: value, **keys.ALSO.get(key, {})}))


@pytest.mark.parametrize("key", sorted(set(keys.all_keys()) - REFUSED))
def test_a_key_changes_the_address_of_what_depends_on_it_and_of_nothing_else(key: str, tmp_path: Path):
    base = keys.base_scenario(BASES.get(key, key))
    if key in ALSO_IN_BASE:
        base = Scenario.from_dict(apply_overrides(base.dump(), ALSO_IN_BASE[key]))
    part, _, path = keys.split(key)
    changed = changed_at(key, base, path, keys.all_keys()[key], tmp_path)
    decodes = key in DECODING or part == "protocol"
    assert (tape_key(changed) != tape_key(base)) is decodes
    assert (address(changed) != address(base)) is (key not in NOT_IN_A_RUN)


def controller_keys() -> list[tuple[str, str]]:
    """Names of controllers and of their keys."""
    return [(entry.name, name) for entry in CONTROLLERS for name in entry.settings.model_fields]


def with_controller(plain: dict[str, Any]) -> Scenario:
    """A scenario under a controller, of the first protocol that it goes with."""
    around = parts_for_controller(plain)
    for protocol in PROTOCOLS.names():
        try:
            return Scenario.from_dict({**small_scenario(**around).dump(), "protocol": protocol, "controller": plain})
        except InputError:
            continue
    raise AssertionError(f"no protocol goes with {plain}")


@pytest.mark.parametrize(("name", "key"), controller_keys())
def test_every_key_of_a_controller_changes_both_addresses(name: str, key: str):
    base = with_controller({"name": name})
    settings = base.controller.settings
    value = CONTROLLER_VALUES.get((name, key))
    if value is None:
        value = keys.another(type(settings).model_fields[key], getattr(settings, key))
        value = value / 3 if isinstance(value, float) else value
    changed = with_controller({**base.controller.dump(), key: value})
    assert tape_key(changed) != tape_key(base) and address(changed) != address(base)


def test_what_is_stated_and_not_used_changes_nothing():
    base = small_scenario()
    for change in (
        {"compute.cloud.kind": "calibrated"},
        {"compute.cloud.per_token_s": 1.0},
        {"cloud.one_way_delay_s": 3.0},
        {"models.middle": "some/other"},
    ):
        changed = Scenario.from_dict(apply_overrides(base.dump(), change))
        assert tape_key(changed) == tape_key(base), change
        costs = {
            site: {
                role: make_cost_model(COMPUTE.find("fixed"), base.compute["device"].settings, role, None, site)
                for role in MODELS
            }
            for site in ("device", "edge")
        }
        addresses = RunAddresses()
        assert addresses.of(changed, MODELS, costs) == addresses.of(base, MODELS, costs), change
    others = {**MODELS, "middle": replace(MODELS["middle"], fingerprint="other", eos_ids=frozenset({9}))}
    assert tape_key(base, others) == tape_key(base) and address(base, others) == address(base)


@pytest.mark.parametrize("role", ["draft", "target"])
def test_models_count_by_content_and_by_what_computes_them(role: str):
    base = small_scenario()
    for field, value, counts in (
        ("fingerprint", "other", True),
        ("numerics", "torch 9", True),
        ("name", "elsewhere", False),
        ("num_parameters", 7, False),
    ):
        others = {**MODELS, role: replace(MODELS[role], **{field: value})}
        assert (tape_key(base, others) != tape_key(base)) is counts
        if field != "num_parameters":
            assert (address(base, others) != address(base)) is counts


def test_only_ids_that_can_end_a_text_count():
    base = small_scenario()
    endless = base.replace("workload.stop_at_eos", False)
    target = {**MODELS, "target": replace(MODELS["target"], eos_ids=frozenset({2, 5}))}
    draft = {**MODELS, "draft": replace(MODELS["draft"], eos_ids=frozenset({2, 5}))}
    assert tape_key(base, target) != tape_key(base)
    assert tape_key(base, draft) == tape_key(base)
    assert tape_key(endless, target) == tape_key(endless)


@pytest.mark.parametrize("place", ["decoding/core/rows.py", "models/llama_fast.py", "inputs/workload.py"])
def test_code_that_decodes_counts(place: str, tmp_path: Path, monkeypatch):
    package = versions.PACKAGE
    copied = tmp_path / "sim"
    for folder in ("decoding", "models", "inputs"):
        shutil.copytree(package / folder, copied / folder, ignore=shutil.ignore_patterns("embedded", "__pycache__"))
    monkeypatch.setattr(versions, "PACKAGE", copied)
    before = versions.decoding_code.__wrapped__()
    assert before == versions.decoding_code.__wrapped__()
    with (copied / place).open("a") as file:
        file.write("\n")
    assert versions.decoding_code.__wrapped__() != before


def test_both_addresses_hold_the_code_that_they_depend_on(monkeypatch):
    base = small_scenario()
    recorded, ran = tape_key(base), address(base)
    with monkeypatch.context() as patch:
        patch.setattr(identity, "decoding_code", lambda: "other decoding")
        assert tape_key(base) != recorded
    with monkeypatch.context() as patch:
        patch.setattr(identity, "simulator_code", lambda: "other simulator")
        assert address(base) != ran
        assert tape_key(base) == recorded


def test_files_count_by_content_not_by_path(tmp_path: Path):
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "trace.csv").write_text("time_s,mbps\n0,5\n1,3\n")
    here, there = (small_scenario(link=_trace(tmp_path / folder / "trace.csv")) for folder in ("here", "there"))
    assert address(here) == address(there)
    (tmp_path / "there" / "trace.csv").write_text("time_s,mbps\n0,5\n1,4\n")
    assert address(here) != address(there)
    assert with_contents({"a": ["no/such.csv", "text", 1.5]}) == {"a": ["no/such.csv", "text", 1.5]}


def _trace(path: Path) -> dict[str, Any]:
    return {"kind": "trace", "uplink_trace": str(path), "downlink_mbps": 20}


@pytest.mark.usefixtures("no_pictures", "cache")
@pytest.mark.parametrize("part", ["trace", "arrivals", "prompts"])
def test_nothing_is_resumed_from_a_file_that_has_changed_since(tiny_keys: dict, tmp_path: Path, part: str):
    path = tmp_path / ("named.jsonl" if part == "prompts" else "named.csv")
    text = {
        "trace": "time_s,mbps\n0,{0}\n1,{0}\n",
        "arrivals": "time_s\n0\n0.1\n0.2\n{0}\n",
        "prompts": '{{"ids": [{0}, 4, 5]}}\n',
    }[part]
    match part:
        case "trace":
            tiny_keys["link"] = _trace(path)
        case "arrivals":
            tiny_keys["devices"]["arrivals"] = str(path)
        case "prompts":
            tiny_keys["workload"]["prompts"] = str(path)
    tiny_keys["sweep"] = {"axes": {"protocol.top_k": [2, 6]}}
    scenario = Scenario.from_dict(tiny_keys)
    path.write_text(text.format(4))
    first = sweep(scenario, tmp_path / "out", jobs=1)
    assert sweep(scenario, tmp_path / "out", jobs=1, resume=True).resumed == 2
    path.write_text(text.format(9))
    second = sweep(scenario, tmp_path / "out", jobs=1, resume=True)
    assert second.resumed == 0 and second.folder != first.folder
    assert set(second.table["run_id"]).isdisjoint(first.table["run_id"])


@pytest.mark.usefixtures("cache")
def test_edited_stop_tokens_are_not_replayed_over(tiny_keys: dict, tiny_pair: Path, tmp_path: Path):
    """As vllm-project/vllm#4180: the repair of a checkpoint is a longer eos_token_id in generation_config.json."""
    models = tmp_path / "models"
    shutil.copytree(tiny_pair, models)
    tiny_keys.pop("sweep")
    tiny_keys["models"] |= {"draft": str(models / "draft"), "target": str(models / "target")}
    tiny_keys["workload"] |= {"stop_at_eos": True, "max_new_tokens": 24}
    scenario = Scenario.from_dict(tiny_keys)
    before = run(scenario, tmp_path / "out")
    path = models / "target" / "generation_config.json"
    config = json.loads(path.read_text())
    common = int(before.requests["tokens"].sum())
    config["eos_token_id"] = list(range(2, 60))
    # At the same time, as a copy that keeps times has it.
    times = path.stat()
    path.write_text(json.dumps(config))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    after = run(scenario, tmp_path / "out")
    assert after.folder != before.folder
    assert int(after.requests["tokens"].sum()) < common
    live = run(scenario, live=True)
    assert after.summary == pytest.approx(live.summary, nan_ok=True)


@pytest.mark.usefixtures("no_pictures", "cache")
def test_another_chat_template_is_another_run(tiny_keys: dict, tiny_pair: Path, tmp_path: Path):
    models = tmp_path / "models"
    shutil.copytree(tiny_pair, models)
    tiny_keys["models"] |= {"draft": str(models / "draft"), "target": str(models / "target")}
    prompts = tmp_path / "chats.jsonl"
    prompts.write_text('{"messages": [{"role": "user", "content": "w5 w6"}]}\n')
    tiny_keys["workload"]["prompts"] = str(prompts)
    tiny_keys["sweep"] = {"axes": {"protocol.top_k": [2, 6]}}
    found = []
    for text in ("{{ messages[0].content }}", "w7 {{ messages[0].content }} w8"):
        (models / "target" / "chat_template.jinja").write_text(text)
        done = sweep(Scenario.from_dict(tiny_keys), tmp_path / "out", jobs=1, resume=True)
        assert done.resumed == 0
        found.append(done.table)
    assert set(found[0]["run_id"]).isdisjoint(found[1]["run_id"])
    assert found[0]["e2e_mean_s"].tolist() != found[1]["e2e_mean_s"].tolist()


@pytest.mark.usefixtures("cache")
def test_a_scenario_has_the_same_address_in_another_folder(tiny_keys: dict, tiny_pair: Path, tmp_path: Path):
    from sim.scenario.loading import load_scenario

    folders = []
    for name in ("one", "other"):
        shutil.copytree(tiny_pair, tmp_path / name)
        own = {**tiny_keys, "name": name, "models": {"draft": "./draft", "target": "./target", "device": "cpu"}}
        own["workload"] = {**tiny_keys["workload"], "prompts": "prompts.jsonl"}
        own.pop("sweep")
        (tmp_path / name / "case.yaml").write_text(json.dumps(own))
        folders.append(run(load_scenario(tmp_path / name / "case.yaml"), tmp_path / "out").folder)
    one, other = folders
    assert one.name == other.name
    for name in ("summary.json", "requests.parquet", "rounds.parquet"):
        assert (one / name).read_bytes() == (other / name).read_bytes()
    for path in (one / "manifest.json", one / "report.html", one / "scenario.yaml"):
        assert str(tmp_path) not in path.read_text()
    # What is written can be run from where it lies.
    again = load_scenario(one / "scenario.yaml")
    assert model_info_of(again) == model_info_of(load_scenario(tmp_path / "one" / "case.yaml"))
    assert Addresses(again, model_info_of(again)).of(planned_requests(again)[0])


def test_the_compute_of_a_run_is_that_of_sites_in_use():
    assert set(FIXED_COMPUTE) == {"device", "edge", "cloud"}
    base = small_scenario()
    assert address(base) != address(base.replace("compute.edge.per_token_s", 0.5))
    assert address(base) == address(base.replace("compute.cloud.per_token_s", 0.5))
