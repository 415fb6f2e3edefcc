"""What a result depends on, stated once: the addresses of recorded requests, run ids and ``--resume`` all go by it.

Contents count, never paths: a scenario has the same identity in another folder, and another one as soon as a file that
it names has changed. Of a file's name only what says how the file is read counts. What a scenario states but does not
use (models of other roles, cost models of sites on which nothing runs) is left out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from channels.text_files import reading_format
from sim.compute.base import ComputeModel
from sim.core.addresses import digest
from sim.core.errors import InputError
from sim.core.user_code import is_user_name
from sim.inputs.prompts import SHIPPED, prompts_named
from sim.inputs.versions import decoding_code, simulator_code
from sim.models.fingerprint import file_digest
from sim.models.info import ModelInfo
from sim.scenario.devices import RENEWAL_PROCESSES
from sim.scenario.kinds import PARTS
from sim.scenario.schema import Scenario
from sim.scenario.user_code import user_code_hashes

# Keys whose texts may be names of files however they look.
_FILE_KEYS = ("arrivals", "diurnal", "prompts", "uplink_trace", "downlink_trace", "fading_trace")
_NO_FILES = (*RENEWAL_PROCESSES, "closed", "trace")
# Of a folder that a scenario names.
MAX_FILES = 4096


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


def with_contents(plain: Any, is_file: bool = False) -> Any:
    """Nested plain values, each path of a file or folder replaced by the hash of what is in it and how it is read.

    Args:
        plain: The values; texts with a slash or a dot may be paths.
        is_file: Whether other texts may be, too.

    Raises:
        InputError: A folder holds too many files.
    """
    if isinstance(plain, dict):
        return {key: with_contents(value, key in _FILE_KEYS and value not in _NO_FILES) for key, value in plain.items()}
    if isinstance(plain, list | tuple):
        return [with_contents(value, is_file) for value in plain]
    if not isinstance(plain, str) or not (is_file or "/" in plain or "." in plain) or len(plain) >= 1024:
        return plain
    path = Path(plain)
    try:
        if path.is_file():
            return {"sha256": file_digest(path), "format": reading_format(path)}
        # Of a folder's own name nothing counts; texts of dots and slashes alone are no names.
        return {"folder": _files_in(path)} if plain.strip("./") and path.is_dir() else plain
    except (OSError, ValueError):
        return plain


def _files_in(folder: Path) -> dict[str, str]:
    """Hashes of a folder's files by their places in it; hidden ones and compiled code left out."""
    found: dict[str, str] = {}
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # Links among folders may make a circle.
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__pycache__")))
        for path in (Path(place, name) for name in names if not name.startswith(".")):
            if len(found) == MAX_FILES:
                raise InputError(f"{folder} holds over {MAX_FILES} files, all of which would count: name less")
            if path.is_file():
                found[path.relative_to(folder).as_posix()] = file_digest(path)
    return found


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
        devices = scenario.devices.model_dump(mode="json")
        # What is different for a kind counts as part of its own address, but for its places.
        own_parts = [part for part in PARTS if part != "link"]
        devices["kinds"] = [
            {key: value for key, value in kind.items() if key not in own_parts} for kind in devices["kinds"]
        ]
        return digest([each, with_contents(devices), _with_code(scenario.link.dump())])

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
    return {**keys, "prompts": with_contents(str(SHIPPED.get(named, named)), is_file=True)}


def _costs(scenario: Scenario, cost_models: Mapping[str, Mapping[str, ComputeModel]]) -> dict[str, Any]:
    """What prices depend on of each model at the site where it runs, and the users' own code that prices it.

    Built-in cost models say all that they depend on; of users' own ones the keys count, too.
    """
    placed = [(role, site.value) for role, where in scenario.placed().items() for site in where]
    assumed: dict[str, list[Any]] = {}
    for role, site in placed:
        assumed.setdefault(role, []).extend([site, cost_models[site][role].basis()])
    own = {site: scenario.compute[site].dump() for _, site in placed if is_user_name(scenario.compute[site].name)}
    return {"assumed": with_contents(json.loads(json.dumps(assumed, default=str))), **_with_code(own)}
