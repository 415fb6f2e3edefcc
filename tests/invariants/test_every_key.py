"""Invariant: every key of a scenario changes some output. A control that is parsed and never read fails here.

For each key the schema itself gives another value (another choice, a doubled number); where a key acts only beside
others, or needs a value that no rule can guess, the tables below say so. A key that is added to the schema is tested
without anyone remembering to.
"""

from __future__ import annotations

import types
import typing
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Union

import pytest
from pydantic.fields import FieldInfo

from sim.compute.registry import COMPUTE
from sim.core.errors import RunError
from sim.core.registry import Registry
from sim.core.settings import Settings
from sim.decoding.protocols.registry import PROTOCOLS
from sim.inputs.identity import RunAddresses
from sim.links.registry import LINKS
from sim.runs.world import World
from sim.scenario.overrides import apply_overrides
from sim.scenario.schema import CloudSettings, Scenario
from sim.serving.registry import ENGINES
from tests.invariants import nr_keys, server_keys
from tests.worlds import drawn_inputs, inputs, small_scenario

TRACES = Path(__file__).resolve().parent.parent.parent / "scenarios" / "traces"

_CLOUD = {"protocol.name": "hsd", "protocol.sites": ["device", "edge", "cloud"]}
_BUSY_CLOUD = {**_CLOUD, "devices.think_time_s": 0, "devices.count": 8, "compute.cloud.per_forward_s": 0.05}
_CONFORMAL = {"protocol.set_size": "conformal"}
_ROWS = {"protocol.rule": "recursive_without_replacement", "protocol.draw": "without_replacement"}
_REPEATING = {"workload.max_new_tokens": 60}
_SLOW = {"link.uplink_mbps": 0.002}

# Parts that are chosen by name, whose keys are those of what was chosen.
REGISTRIES: dict[str, Registry[Any]] = {"protocol": PROTOCOLS, "link": LINKS, "edge": ENGINES, "cloud": ENGINES}

_OPEN = {"devices.arrivals": "poisson", "devices.think_time_s": 0, "devices.arrival_rate_hz": 2}
_WINDOW = {"devices.duration_s": 0.5, "devices.requests": None}
_LONG_PROMPTS = {"workload.prompt_tokens": {"mean": 9}}

# Changes under which a key acts at all.
BESIDE: dict[str, dict[str, Any]] = {
    "devices.duration_s": _WINDOW,
    "devices.warmup_s": _WINDOW,
    "devices.in_flight": _WINDOW,
    "devices.arrival_rate_hz": _OPEN,
    "devices.total_rate_hz": {**_OPEN, "devices.arrival_rate_hz": None, "devices.total_rate_hz": 2},
    "devices.arrival_cv": {**_OPEN, "devices.arrivals": "gamma", "devices.arrival_cv": 2},
    "devices.diurnal": {**_OPEN, "devices.diurnal": [1, 4], "devices.diurnal_period_s": 1},
    "devices.diurnal_period_s": {**_OPEN, "devices.diurnal": [1, 4], "devices.diurnal_period_s": 1},
    "workload.prompt_tokens": _LONG_PROMPTS,
    "workload.decoded_prompt_tokens": _LONG_PROMPTS,
    **server_keys.beside("edge", {"devices.think_time_s": 0}),
    **server_keys.beside("cloud", _BUSY_CLOUD),
    "cloud.one_way_delay_s": _CLOUD,
    "cloud.backhaul_mbps": {**_CLOUD, "cloud.backhaul_mbps": 1},
    "protocol.tslt.lattice_levels": {"protocol.values": "lattice"},
    "protocol.tslt.draw": {"protocol.candidates": 2, "protocol.rule": "target_first"},
    "protocol.tslt.rule": {"protocol.candidates": 2},
    "protocol.tslt.index": {"protocol.top_k": 2},
    "protocol.tslt.top_k": {"protocol.top_k": 8},
    "protocol.dsd.lattice_levels": {"protocol.values": "lattice"},
    "protocol.lazy_rows.lattice_levels": {"protocol.values": "lattice"},
    "protocol.pipesd.lattice_levels": {"protocol.values": "lattice"},
    "protocol.pipesd.index": {"protocol.top_k": 2},
    "protocol.outcome_cache.lattice_levels": {"protocol.values": "lattice"},
    "protocol.outcome_cache.index": {"protocol.top_k": 2},
    "protocol.outcome_cache.draw": {"protocol.rule": "target_first"},
    "protocol.lazy_rows.index": {"protocol.top_k": 2},
    "protocol.hsd.lattice_levels": {"protocol.values": "lattice"},
    "protocol.hsd.index": {"protocol.top_k": 2},
    "protocol.hsd.chain": {"protocol.blocks": [2, 2]},
    "protocol.specedge.lattice_levels": {**_ROWS, "protocol.values": "lattice"},
    "protocol.specedge.index": {**_ROWS, "protocol.top_k": 2},
    "protocol.specedge.top_k": _ROWS,
    "protocol.specedge.top_p": _ROWS,
    "protocol.specedge.values": _ROWS,
    "protocol.specedge.rule": {"protocol.draw": "iid", "protocol.candidates": 2},
    "protocol.specedge.draw": {"protocol.candidates": 2},
    "protocol.asym.correction": {"protocol.stages": [2, 4], "devices.requests": 6},
    "protocol.asym_bounded.budget": {"protocol.stages": [2, 4, 8], "protocol.budget": 0.01},
    "protocol.residual.max_messages": {"protocol.max_messages": 1, "protocol.growth": 1},
    "protocol.prompt_lookup.draft_length": _REPEATING,
    "protocol.prompt_lookup.min_ngram": _REPEATING,
    "protocol.prompt_lookup.max_ngram": _REPEATING,
    "protocol.sqs.dropped_mass": _CONFORMAL,
    "protocol.sqs.step": _CONFORMAL,
    "protocol.sqs.threshold": _CONFORMAL,
    "protocol.tk_slt.standalone_tokens": _SLOW,
    "protocol.tk_slt.prior_load": _SLOW,
    "link.shannon.k_factor_db": {"link.fading": "rician"},
    "link.shannon.block_s": {"link.doppler_hz": 50.0},
    "link.trace.downlink_mbps": {"link.downlink_trace": None, "link.downlink_mbps": 0.2},
    **{
        f"link.nr.{key}": {name if "." in name else f"link.{name}": value for name, value in beside.items()}
        for key, beside in nr_keys.BESIDE.items()
    },
}
# Values that no rule can guess.
VALUES: dict[str, Any] = {
    "devices.arrivals": "poisson",
    "devices.warmup_s": 0.2,
    "devices.diurnal": [4, 1],
    "slo.ttft_s": 0.02,
    "slo.tpot_s": 0.002,
    "slo.e2e_s": 0.05,
    "slo.deadline_s": 0.2,
    "workload.prompt_tokens": {"mean": 5},
    "workload.output_tokens": {"mean": 5},
    "workload.decoded_prompt_tokens": 4,
    "workload.system_prompt_tokens": 4,
    "workload.turns": 2,
    "workload.uplink_attachment_bytes": 2000,
    "workload.downlink_attachment_bytes": 2000,
    "workload.distinct_requests": 1,
    "models.wire_vocab_size": 1000,
    "workload.top_k": 3,
    "workload.top_p": 0.5,
    "workload.temperature": 0.5,
    "workload.draft_temperature": 0.5,
    **server_keys.values("edge"),
    **server_keys.values("cloud"),
    "protocol.tslt.top_p": 0.6,
    "protocol.outcome_cache.top_p": 0.6,
    "protocol.outcome_cache.top_k": 2,
    "protocol.outcome_cache.index": "bitmap",
    "protocol.outcome_cache.rule": "target_first",
    "protocol.outcome_cache.draw": "top_k",
    "protocol.outcome_cache.budget": 0,
    "protocol.outcome_cache.base": {"name": "dssd"},
    "protocol.outcome_cache.prior_acceptance": 0.1,
    "protocol.feature_draft.acceptance": [0.2],
    "protocol.hat.prompt_chunk_tokens": 1,
    "protocol.pipesd.top_p": 0.6,
    "protocol.pipesd.top_k": 2,
    "protocol.pipesd.index": "bitmap",
    "protocol.pipesd.cuts": "stop_and_wait",
    "protocol.pipesd.draft_token_s": 1e-6,
    "protocol.pipesd.part_s": 0.1,
    "protocol.pipesd.token_upload_s": 1.0,
    "protocol.pipesd.token_threshold": 0.5,
    "protocol.pipesd.sequence_threshold": 0.3,
    "protocol.picospec.lattice_levels": 255,
    "protocol.picospec_exact.lattice_levels": 255,
    "protocol.picospec.down_top_k": 2,
    "protocol.lazy_rows.top_p": 0.6,
    "protocol.lazy_rows.top_k": 2,
    "protocol.lazy_rows.index": "bitmap",
    "protocol.tslt.top_k": 2,
    "protocol.tslt.candidates": 2,
    "protocol.tslt.draw": "top_k",
    "protocol.tslt.rule": "target_first",
    "protocol.tslt.index": "bitmap",
    "protocol.hsd.top_k": 3,
    "protocol.hsd.top_p": 0.6,
    "protocol.hsd.index": "bitmap",
    "protocol.hsd.blocks": [1, 3],
    "protocol.hsd.chain": ["draft", "target"],
    "protocol.hsd.sites": ["device", "edge", "cloud"],
    "protocol.specedge.top_k": 3,
    "protocol.specedge.top_p": 0.6,
    "protocol.specedge.index": "bitmap",
    "protocol.specedge.rule": "recursive",
    "protocol.specedge.draw": "iid",
    "protocol.asym.lattice_levels": 255,
    "protocol.asym_bounded.lattice_levels": 255,
    "protocol.dssd.lattice_levels": 255,
    "protocol.dssd_bounded.lattice_levels": 255,
    "protocol.residual.lattice_levels": 255,
    "protocol.asym.stages": [2, 4],
    "protocol.asym_bounded.stages": [2, 4],
    "protocol.asym_bounded.budget": 0.5,
    "protocol.dssd_bounded.down_top_k": 3,
    "protocol.prompt_lookup.max_ngram": 1,
    "protocol.prompt_lookup.min_ngram": 2,
    "protocol.sqs.top_k": 4,
    "protocol.sqs.dropped_mass": 0.5,
    "protocol.sqs.step": 0.2,
    "protocol.sqs.threshold": 0.3,
    "protocol.u_hlm.threshold": 0.6,
    "protocol.cu_hlm.threshold": 0.6,
    "protocol.u_hlm_importance.threshold": 0.6,
    "protocol.u_hlm_importance.min_importance": 2.0,
    "protocol.tk_slt.top_k": 4,
    "protocol.tk_slt.draft_length": 3,
    "protocol.tk_slt.max_draft_length": 1,
    "protocol.tk_slt.prior_acceptance": 0.2,
    "protocol.tk_slt.standalone_tokens": 2,
    "protocol.tk_slt.prior_load": 2.0,
    "link.shannon.efficiency": 0.5,
    "link.trace.uplink_trace": str(TRACES / "driving_uplink.csv"),
    "link.trace.downlink_trace": str(TRACES / "pedestrian_uplink.mahimahi"),
    "link.trace.downlink_mbps": 0.1,
    "link.trace.start": "beginning",
    "link.trace.sharing": "dedicated",
    **{f"link.nr.{key}": value for key, value in nr_keys.VALUES.items()},
}
ALSO: dict[str, dict[str, Any]] = {
    "devices.arrivals": {"devices.arrival_rate_hz": 3.0, "devices.think_time_s": 0},
    "protocol.tslt.top_p": {"protocol.top_k": None},
    "protocol.hsd.chain": {"protocol.sites": ["device", "edge"], "protocol.blocks": [2]},
}
# Keys whose output is not the simulation of table-driven models; the test named holds them.
ELSEWHERE: dict[str, str] = {
    "name": "tests/cli: it names the result folder",
    "sweep": "tests/scenario and tests/sweep",
    "devices.trace_speedup": "tests/world/test_steady_load.py",
    "devices.priority": "tests/world/test_kinds.py",
    "devices.os_memory_share": "tests/world/test_device_memory.py",
    "workload.prompts": "tests/world/test_workload.py",
    "workload.traffic": "tests/inputs/test_requests.py",
    "workload.max_prompt_tokens": "tests/world/test_workload.py",
    "workload.chat_template": "tests/world/test_prompts.py",
    "workload.stop_at_eos": "tests/world/test_workload.py",
    "models.draft": "tests/world/test_workload.py",
    "models.target": "tests/world/test_workload.py",
    "models.middle": "tests/world/test_workload.py",
    "models.device": "tests/models",
    "models.draft_vocabulary": "tests/models/test_cross_vocabulary.py",
    "models.dtype": "tests/models",
    **{
        f"{site}.{engine}.{key}": f"tests/nodes/{test}.py"
        for site in ("edge", "cloud")
        for engine in ("continuous", "fcfs")
        for key, test in (("ran_sharing", "engine/test_ran_sharing"), ("sites", "test_sites"))
    },
    "edge.continuous.policy": "tests/serving",
    "link.nr.kpm_period_s": "tests/links/nr/test_kpm.py",
    "link.nr.poll_pdus": "tests/links/nr/test_acknowledged.py",
    "link.nr.poll_bytes": "tests/links/nr/test_acknowledged.py",
    "link.nr.record_pcap": "tests/links/nr/test_pcap.py",
    "cloud.continuous.policy": "tests/serving",
}
BASE: dict[str, dict[str, Any]] = {
    "link.fixed": {"kind": "fixed", "uplink_mbps": 0.2, "downlink_mbps": 0.5, "one_way_delay_s": 0.004},
    "link.shannon": {"kind": "shannon", "uplink_bandwidth_mhz": 0.05, "downlink_bandwidth_mhz": 0.05},
    "link.trace": {
        "kind": "trace",
        "uplink_trace": str(TRACES / "pedestrian_uplink.mahimahi"),
        "downlink_trace": str(TRACES / "driving_uplink.csv"),
        "uplink_scale": 0.05,
    },
    "link.nr": nr_keys.BASE,
}
# Further changes of the base scenario of a named part.
LOAD: dict[str, dict[str, Any]] = {"link.nr": nr_keys.WORKLOAD}


NAMED = ("protocol", "controller", "link", "compute", "edge", "cloud")


def keys_of(schema: type[Settings], prefix: str) -> dict[str, FieldInfo]:
    """Leaf keys of a schema by dotted name."""
    found: dict[str, FieldInfo] = {}
    for name, info in schema.model_fields.items():
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, Settings):
            found |= keys_of(inner, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = info
    return found


def all_keys() -> dict[str, FieldInfo]:
    """Every key that a scenario may have; those of named parts carry the name."""
    # Named parts have keys of their own below.
    keys = {key: info for key, info in keys_of(Scenario, "").items() if key.partition(".")[0] not in NAMED}
    for part, registry in REGISTRIES.items():
        for entry in registry:
            keys |= keys_of(entry.settings, f"{part}.{entry.name}.")
    # The server's own keys stand beside these.
    way = {key: info for key, info in keys_of(CloudSettings, "cloud.").items() if key != "cloud.server"}
    return keys | way


def another(info: FieldInfo, current: Any) -> Any:
    """A value of the key's type that is not the current one."""
    choices = _literals(info.annotation)
    if choices:
        return next(choice for choice in choices if choice != current)
    if isinstance(current, bool):
        return not current
    if isinstance(current, int | float):
        return type(current)(current * 2 if current else 1)
    raise AssertionError(f"say in VALUES what {info.annotation} may be other than {current!r}")


def _literals(annotation: Any) -> list[Any]:
    origin = typing.get_origin(annotation)
    if origin is Literal:
        return list(typing.get_args(annotation))
    if origin in (Union, types.UnionType):
        return [choice for part in typing.get_args(annotation) for choice in _literals(part)]
    return []


def split(key: str) -> tuple[str, str | None, str]:
    """Part, name of the chosen entry, and key in the scenario."""
    part, _, rest = key.partition(".")
    name, dot, inner = rest.partition(".")
    if part in REGISTRIES and dot:
        return part, name, f"{part}.{inner}"
    return part, None, key


def base_scenario(key: str) -> Scenario:
    """A scenario in which the key acts."""
    part, name, _ = split(key)
    keys = small_scenario().dump()
    keys["devices"]["count"] = 3
    if name is not None:
        selector = {"protocol": "name", "link": "kind"}.get(part, "engine")
        keys[part] = BASE.get(f"{part}.{name}", {selector: name})
    return Scenario.from_dict(apply_overrides(keys, {**LOAD.get(f"{part}.{name}", {}), **BESIDE.get(key, {})}))


# Keys that act where requests are drawn rather than listed.
DRAWN = ("workload.prompt_tokens", "workload.output_tokens", "workload.decoded_prompt_tokens")
DRAWN += ("workload.distinct_requests", "workload.system_prompt_tokens", "workload.turns")
DRAWN += ("workload.uplink_attachment_bytes", "workload.downlink_attachment_bytes")


def address(scenario: Scenario) -> str:
    """What a run's results are found by."""
    given = inputs(scenario)
    return RunAddresses().of(scenario, given.models_info, given.cost_models)


@lru_cache(maxsize=256)
def outcome(scenario: Scenario, drawn: bool = False) -> str:
    """All that a run puts out: tables, figures and timeline, or the message that stops it."""
    drawn = drawn or scenario.devices.duration_s is not None
    world = World(scenario, drawn_inputs(scenario) if drawn else inputs(scenario))
    try:
        output = world.run()
    except RunError as error:
        return f"stopped: {error}"
    return repr((output.requests, output.rounds, output.link, output.figures, world.link.timeline()))


TESTED = sorted(key for key in all_keys() if key not in ELSEWHERE)


@pytest.mark.parametrize("key", TESTED)
def test_every_key_changes_some_output(key: str, tmp_path: Path):
    base = base_scenario(key)
    _, _, path = split(key)
    current: Any = base.dump()
    for part in path.split("."):
        current = current.get(part) if isinstance(current, dict) else None
    value = VALUES.get(key) if key in VALUES else another(all_keys()[key], current)
    value = value(tmp_path) if callable(value) else value
    changed = Scenario.from_dict(apply_overrides(base.dump(), {path: value, **ALSO.get(key, {})}))
    assert address(changed) != address(base)
    drawn = key in DRAWN
    told = outcome(base, drawn)
    assert not told.startswith("stopped"), f"the base scenario of {key} does not run: {told}"
    # Whether a queue forms or a block fails just where the key acts depends on the seed: some keys need a second try.
    differs = outcome(changed, drawn) != told or any(
        outcome(changed.replace("seed", seed), drawn) != outcome(base.replace("seed", seed), drawn)
        for seed in (6, 7)
        if key != "seed"
    )
    assert differs, f"{path}: {current!r} -> {value!r} changes nothing"


def test_the_exceptions_are_keys():
    for key in (*ELSEWHERE, *BESIDE, *VALUES):
        assert key in all_keys() or key.startswith("protocol."), f"{key} is no key any more"
    assert split("cloud.one_way_delay_s") == ("cloud", None, "cloud.one_way_delay_s")
    assert split("edge.fcfs.max_batch") == ("edge", "fcfs", "edge.max_batch")


@pytest.mark.parametrize("kind", ["fixed", "roofline"])
def test_every_key_of_compute_changes_its_price(kind: str):
    from sim.compute.base import WorkSize

    entry = COMPUTE.find(kind)
    beside: dict[str, Any] = {"roofline": {"hardware": "rtx-4090", "model_size": "1B", "num_processors": 2}}.get(
        kind, {}
    )
    values: dict[str, Any] = {"hardware": "h100", "model_size": "7B", "arithmetic": "int8"}
    values |= {"weights": "fp8", "runtime": "ideal"}
    batches = [[WorkSize(1, 400, 1)], [WorkSize(5, 800, 5)] * 4, [WorkSize(2000, 2000, 1)] * 3]
    default = {"per_forward_s": 0.1, "per_token_s": 0.01} if kind == "fixed" else beside
    base = entry.settings.model_validate(default)

    def prices(settings: Any) -> list[Any]:
        model = entry.make(settings, None)
        return [model.price(batch) for batch in batches]

    for name, info in entry.settings.model_fields.items():
        current = getattr(base, name)
        value = values.get(name) or (another(info, current) if current is not None else 0.31)
        changed = entry.settings.model_validate({**default, name: value})
        assert prices(changed) != prices(base), f"{kind}.{name}: {current!r} -> {value!r} changes nothing"
