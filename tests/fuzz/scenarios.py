"""Mutated scenarios: bundled ones, and one per protocol, link and controller, changed as values or as text."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sim.cli import _main
from sim.compute.registry import COMPUTE
from sim.core.errors import InputError
from sim.decoding.controllers.registry import CONTROLLERS
from sim.decoding.protocols.registry import PROTOCOLS
from sim.links.registry import LINKS
from sim.scenario.loading import bundled_scenarios
from sim.scenario.schema import Scenario
from tests.fuzz.mutate import YAML_BITS, mutate_text, mutate_value
from tests.worlds import FIXED_COMPUTE

# What a tiny run may be no larger than, whatever else was changed.
_LIMITS = {"devices": {"count": 3, "requests": 2}, "workload": {"max_new_tokens": 4}}
_TINY = {
    "devices": {"count": 2, "requests": 1},
    "workload": {"max_new_tokens": 3},
    "compute": FIXED_COMPUTE,
}


@dataclass(frozen=True)
class ScenarioCase:
    """One mutated scenario: its text, and what is done with it."""

    text: str
    runs: bool


def known_keys() -> list[str]:
    """Keys of all parts of a scenario, dotted ones too."""
    entries = [entry for registry in (PROTOCOLS, LINKS, CONTROLLERS, COMPUTE) for entry in registry]
    own = {name for entry in entries for name in entry.settings.model_fields}
    parts = [
        "devices",
        "workload",
        "models",
        "protocol",
        "controller",
        "link",
        "edge",
        "cloud",
        "compute",
        "sweep",
        "seed",
    ]
    return [
        *parts,
        *sorted(own),
        "link.uplink_mbps",
        "protocol.name",
        "axes",
        "zip",
        "variants",
        "replications",
        "keep",
    ]


def bases() -> list[Any]:
    """Scenarios to begin with, as YAML has them."""
    found = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in bundled_scenarios().values()]
    for part, selector, registry in (
        ("protocol", "name", PROTOCOLS),
        ("link", "kind", LINKS),
        ("controller", "name", CONTROLLERS),
    ):
        for entry in registry:
            defaults = {
                name: info.get_default(call_default_factory=True)
                for name, info in entry.settings.model_fields.items()
                if not info.is_required()
            }
            plain = {name: value for name, value in defaults.items() if isinstance(value, int | float | str | bool)}
            found.append({part: {selector: entry.name, **plain}})
    return found


def scenario_case(index: int, seed: int, sources: list[Any], keys: list[str]) -> ScenarioCase:
    """A mutated scenario to be validated."""
    rng = random.Random(f"scenario {seed} {index}")
    source = rng.choice(sources)
    if rng.random() < 0.6:
        return ScenarioCase(_yaml(mutate_value(source, rng, keys)), runs=False)
    return ScenarioCase(mutate_text(_yaml(source), rng, [*YAML_BITS, *keys[:40]]), runs=False)


def run_case(index: int, seed: int, sources: list[Any], keys: list[str]) -> ScenarioCase:
    """A mutated scenario, made small, to be run; most of what validation would refuse is passed over."""
    rng = random.Random(f"run {seed} {index}")
    for _ in range(12):
        value = _made_small(mutate_value({**rng.choice(sources), **_TINY}, rng, keys))
        try:
            Scenario.from_dict(value)
            break
        except InputError:
            continue
        except Exception:  # what should not happen is for the watch to find
            break
    return ScenarioCase(_yaml(value), runs=True)


def _made_small(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    value.pop("sweep", None)
    value["models"] = "embedded"
    for part, limits in _LIMITS.items():
        own = value.get(part)
        if not isinstance(own, dict):
            continue
        for key, limit in limits.items():
            if isinstance(own.get(key), int | float) and not own[key] <= limit:
                own[key] = limit
    value.setdefault("devices", {"count": 1})
    value.setdefault("workload", {"max_new_tokens": 2})
    value.setdefault("compute", FIXED_COMPUTE)
    return value


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=1000)


def check(case: ScenarioCase, folder: Path) -> int:
    """Validate or run a mutated scenario."""
    path = folder / "case.yaml"
    path.write_bytes(case.text.encode("utf-8", "surrogatepass"))
    if case.runs:
        return _main(["run", str(path), "--out", str(folder / "out"), "--json"])
    return _main(["validate", str(path)])
