"""What a result depends on, stated once: the addresses of recorded requests, run ids and ``--resume`` all go by it.

Contents count, never paths or names: a scenario has the same identity in another folder, and another one as soon as a
file that it names has changed. What a scenario states but does not use (models of other roles, cost models of sites on
which nothing runs) is left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sim.compute.base import ComputeModel
from sim.core.addresses import digest
from sim.inputs.prompts import SHIPPED, prompts_named
from sim.inputs.versions import decoding_code, simulator_code
from sim.models.fingerprint import file_digest
from sim.models.info import ModelInfo
from sim.scenario.schema import Scenario
from sim.scenario.user_code import user_code_hashes


def needed_models(scenario: Scenario, models: Mapping[str, ModelInfo]) -> dict[str, ModelInfo]:
    """Those models that a scenario's protocol uses; the others cannot matter to its text."""
    return {role: models[role] for role in scenario.protocol.trait("models")}


def decoding_inputs(scenario: Scenario, models: Mapping[str, ModelInfo]) -> dict[str, Any]:
    """All that the decoding of a scenario's requests depends on, besides seed, request and prompt.

    No link, no compute, no neighbours: a tape is replayed under any of them.
    """
    used = needed_models(scenario, models)
    leader = used.get("target") or next(iter(used.values()))
    workload = scenario.workload
    protocol, controller = scenario.protocol.dump(), scenario.controller.dump()
    own = user_code_hashes([protocol, controller])
    return {
        "models": {role: model.fingerprint for role, model in sorted(used.items())},
        "numerics": [scenario.models.dtype, *sorted({model.numerics for model in used.values()})],
        "protocol": with_contents(protocol),
        "controller": with_contents(controller),
        "sampling": [workload.temperature, workload.top_k, workload.top_p],
        "limits": {
            "max_new_tokens": workload.max_new_tokens,
            "eos_ids": sorted(leader.eos_ids) if workload.stop_at_eos else [],
            "vocab_size": min(model.vocab_size for model in used.values()),
        },
        "code": decoding_code(),
        **({"wire_vocab_size": wire} if (wire := scenario.models.wire_vocab_size) is not None else {}),
        **({"draft_temperature": workload.draft_temperature} if _drafts_apart(scenario) else {}),
        **({"user_code_hashes": own} if own else {}),
    }


def _drafts_apart(scenario: Scenario) -> bool:
    """Whether a draft is drawn at another temperature than the target's."""
    workload = scenario.workload
    drafts = {"draft", "target"} <= set(scenario.protocol.trait("models"))
    return drafts and workload.draft_temperature not in (None, workload.temperature)


def with_contents(plain: Any) -> Any:
    """Nested plain values, each file's path replaced by the hash of what is in it."""
    if isinstance(plain, dict):
        return {key: with_contents(value) for key, value in plain.items()}
    if isinstance(plain, list | tuple):
        return [with_contents(value) for value in plain]
    if isinstance(plain, str) and ("/" in plain or "." in plain) and len(plain) < 1024 and "\n" not in plain:
        try:
            if Path(plain).is_file():
                return {"sha256": file_digest(Path(plain))}
        except (OSError, ValueError):
            return plain
    return plain


class RunAddresses:
    """Content addresses of runs; parts that runs share, as the points of a sweep do, are looked at once.

    An address is of the files as they are when it is asked for first.
    """

    def __init__(self) -> None:
        # By the part's own identity; it is kept along, so that no other object can take its place.
        self._parts: dict[tuple[object, ...], tuple[Any, str]] = {}

    def of_kinds(
        self,
        scenario: Scenario,
        parts: Sequence[tuple[Mapping[str, ModelInfo], Mapping[str, Mapping[str, ComputeModel]]]],
    ) -> str:
        """Hash of all that a run's result depends on, of all kinds of its devices.

        Args:
            scenario: What is run.
            parts: Models and cost models of each kind of devices, as ``of`` takes them.
        """
        kinds = scenario.by_kind()
        if not kinds[0].name:
            return self.of(scenario, *parts[0])
        each = [(kind.name, kind.first, self.of(kind.scenario, *own)) for kind, own in zip(kinds, parts, strict=True)]
        devices = with_contents(scenario.devices.model_dump(mode="json"))
        return digest([each, devices, _with_code(scenario.link.dump())])

    def of(
        self,
        scenario: Scenario,
        models: Mapping[str, ModelInfo],
        cost_models: Mapping[str, Mapping[str, ComputeModel]],
    ) -> str:
        """Hash of all that a run's result depends on.

        Args:
            scenario: What is run.
            models: Metadata by role, at least of the models that the protocol uses.
            cost_models: By site and role, at least those of the sites in use.
        """
        used_sites = {site.value for where in scenario.placed().values() for site in where}
        link, workload = scenario.link, scenario.workload
        shared = (scenario.protocol, scenario.controller, workload, scenario.models, models)
        parts = {
            "decoding": self._digest("decoding", shared, lambda: decoding_inputs(scenario, models)),
            "workload": self._digest("workload", (workload, scenario.models), lambda: _workload(scenario)),
            "costs": self._digest("costs", (scenario.protocol, cost_models), lambda: _costs(scenario, cost_models)),
            "link": self._digest("link", (link,), lambda: _with_code(link.dump())),
            "devices": self._digest(
                "devices", (scenario.devices,), lambda: with_contents(scenario.devices.model_dump(mode="json"))
            ),
            "seed": scenario.seed,
            "slo": self._digest("slo", (scenario.slo,), lambda: scenario.slo.model_dump(mode="json")),
            "code": simulator_code(),
        }
        for site in used_sites & {"edge", "cloud"}:
            server = scenario.servers[site]
            parts[site] = self._digest(site, (server,), lambda server=server: _with_code(server.dump()))
        if "cloud" in used_sites:
            backhaul = scenario.cloud
            parts["backhaul"] = self._digest("backhaul", (backhaul,), lambda: backhaul.model_dump(mode="json"))
        return digest(parts)

    def _digest(self, name: str, parts: tuple[Any, ...], plain: Any) -> str:
        place = (name, *(id(part) for part in parts))
        known = self._parts.get(place)
        if known is None:
            known = self._parts[place] = (parts, digest(plain()))
        return known[1]


def _with_code(plain: dict[str, Any]) -> dict[str, Any]:
    own = user_code_hashes(plain)
    return {"keys": with_contents(plain), **({"user_code_hashes": own} if own else {})}


def _workload(scenario: Scenario) -> dict[str, Any]:
    keys = scenario.workload.model_dump(mode="json")
    named = prompts_named(scenario.workload, scenario.models)
    return {**keys, "prompts": with_contents(str(SHIPPED.get(named, named)))}


def _costs(scenario: Scenario, cost_models: Mapping[str, Mapping[str, ComputeModel]]) -> dict[str, Any]:
    """What is assumed of each model at the site where it runs, and the users' own code that prices it."""
    placed = [(role, site.value) for role, where in scenario.placed().items() for site in where]
    assumed: dict[str, list[Any]] = {}
    for role, site in placed:
        assumed.setdefault(role, []).extend([site, cost_models[site][role].describe()])
    used = {site: scenario.compute[site].dump() for _, site in placed}
    return {"assumed": json.loads(json.dumps(assumed, default=str)), **_with_code(used)}
