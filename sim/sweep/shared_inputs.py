"""What points of a sweep have in common that differ in link and server only: prepared once, sent to workers once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.core.addresses import canonical
from sim.inputs.identity import RunAddresses
from sim.runs.inputs import SimulationInputs
from sim.runs.prepare import bare_inputs, keys_of, must_be_live
from sim.scenario.points import Point
from sim.scenario.schema import Scenario
from sim.sweep.work import SharedInputs, entries_of
from sim.tape.store import TapeStore

# Parts of a scenario that requests, their text and its prices are made from.
_PARTS = ("seed", "devices", "workload", "models", "protocol", "controller", "compute")


@dataclass
class PreparedInputs:
    """Inputs that points share.

    Attributes:
        scenario: That of the first of the points.
        inputs: Requests, models' metadata, cost models; no models and no tape.
        is_live: Whether the points decode while they are simulated.
        keys: Addresses of the requests on tape.
        packed: As workers take it; empty until it is asked for.
        packed_id: Hash of it.
    """

    scenario: Scenario
    inputs: SimulationInputs
    is_live: bool
    keys: list[str]
    packed: bytes = b""
    packed_id: str = ""

    def pack(self, store: TapeStore, shares_files: bool) -> None:
        """Make what workers are sent.

        Args:
            store: Where the requests are on tape.
            shares_files: Whether the workers can read it themselves.

        Raises:
            InputError: A cost model that cannot be sent to another process.
            RunError: A request is not on tape.
        """
        if self.packed:
            return
        entries = None if self.is_live or shares_files else entries_of(store, self.keys)
        folder: Path | None = None if self.is_live else store.folder
        self.packed = SharedInputs(self.inputs, folder, entries).pack()
        self.packed_id = hashlib.sha256(self.packed).hexdigest()


class Preparation:
    """Prepares the points of one sweep."""

    def __init__(self) -> None:
        self._addresses = RunAddresses()
        # Those of objects hold the scenario along, so that the objects stay the ones they are.
        self._by_scenario: dict[int, tuple[Scenario, PreparedInputs]] = {}
        self._by_objects: dict[tuple[Any, ...], PreparedInputs] = {}
        self._by_content: dict[str, PreparedInputs] = {}

    def of(self, scenario: Scenario) -> PreparedInputs:
        """What a point shares with others.

        Raises:
            InputError: Something that it names cannot be used.
        """
        asked = self._by_scenario.get(id(scenario))
        if asked is None:
            asked = self._by_scenario[id(scenario)] = scenario, self._of_objects(scenario)
        return asked[1]

    def _of_objects(self, scenario: Scenario) -> PreparedInputs:
        placed = tuple((role, *where) for role, where in scenario.placed().items())
        objects = (scenario.seed, placed, *(id(getattr(scenario, part)) for part in _PARTS[1:]))
        known = self._by_objects.get(objects)
        if known is None:
            plain = scenario.dump()
            content = canonical([placed, *(plain[part] for part in _PARTS)])
            known = self._by_content.get(content)
            if known is None:
                known = self._by_content[content] = _prepare(scenario)
            self._by_objects[objects] = known
        return known

    def address(self, point: Point) -> str:
        """Content address of a point's run."""
        return self._addresses.of_kinds(point.scenario, self.of(point.scenario).inputs.parts)


def _prepare(scenario: Scenario) -> PreparedInputs:
    inputs = bare_inputs(scenario)
    return PreparedInputs(scenario, inputs, must_be_live(scenario), keys_of(scenario, inputs))
