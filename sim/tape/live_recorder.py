"""What a run decodes while it is simulated, put on tape as its requests end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sim.decoding.drivers.protocol_run import Record
from sim.inputs.workload import PlannedRequest
from sim.models.info import ModelInfo
from sim.scenario.schema import Scenario
from sim.tape.key import Addresses, describe
from sim.tape.store import TapeStore


class LiveRecorder:
    """Records the requests of one kind of devices.

    Args:
        store: The tape.
        scenario: Whose protocol, sampling and seed the requests are decoded with.
        models: Metadata of the models that the protocol runs, by role.
        addresses: Of the scenario's requests.
    """

    def __init__(
        self, store: TapeStore, scenario: Scenario, models: Mapping[str, ModelInfo], addresses: Addresses
    ) -> None:
        self._store = store
        self._scenario = scenario
        self._models = models
        self._addresses = addresses

    def keep(self, planned: PlannedRequest, records: Sequence[Record]) -> None:
        """Put a request on tape, unless it is there."""
        key = self._addresses.of(planned)
        if not self._store.has(key):
            self._store.put(key, records, describe(planned, self._scenario, self._models))

    def sync(self) -> None:
        """Have all that was put on tape on disk."""
        self._store.sync()
