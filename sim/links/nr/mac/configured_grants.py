"""Configured grants: periodic PRBs that are a device's own (TS 38.321 5.8.2, type 1)."""

from __future__ import annotations

import numpy as np

from sim.links.base import Direction
from sim.links.nr.mac.allocation import ResourceGrid
from sim.links.nr.mac.deps import MacDeps
from sim.links.nr.phy.block import TransportBlock

_RECONFIGURE_DB = 3.0
Turn = list[tuple[int, list[int]]]


class ConfiguredGrants:
    """Which device owns which PRBs in which uplink slot.

    The carrier is split evenly between a cell's devices, or into grants of ``configured_grant_prb``; devices that do
    not fit beside each other take turns, uplink slot by uplink slot. A grant keeps its MCS until it is configured anew:
    at a change of cell, or when a moving device's mean SNR is more than 3 dB off what it was configured for.

    Args:
        parts: Of the uplink.
    """

    def __init__(self, parts: MacDeps) -> None:
        wanted, min_prb = parts.settings.configured_grant_prb, parts.adaptation.min_prb
        if wanted is not None and wanted < min_prb:
            raise ValueError(
                f"configured_grant_prb: got {wanted}; valid: {min_prb} or more, "
                "which the lowest MCS needs for one header"
            )
        self._parts = parts
        self._tables: dict[int, tuple[bytes, list[Turn]]] = {}
        self._mcs: dict[int, tuple[int, int, float]] = {}

    def turn(self, cell: int, slot: int) -> Turn:
        """Devices that own PRBs of an uplink slot, with their PRBs by group."""
        turns = self._turns(cell)
        index = self._parts.carrier.num_data_slots(Direction.UPLINK, slot)
        return turns[index % len(turns)] if turns else []

    def reserve(self, cell: int, slot: int, grid: ResourceGrid) -> list[int]:
        """Take the owned PRBs off a slot's board; returns their owners."""
        turn = self.turn(cell, slot)
        for _, prbs_per_group in turn:
            grid.free = [free - taken for free, taken in zip(grid.free, prbs_per_group, strict=True)]
        grid.num_free = sum(grid.free)
        return [device for device, _ in turn]

    def of(self, block: TransportBlock, slot: int) -> list[int] | None:
        """PRBs that the block's device owns in a slot, if they are as many as the block has."""
        for device, prbs_per_group in self.turn(block.cell, slot):
            if device == block.device:
                return list(prbs_per_group) if sum(prbs_per_group) == block.num_prb else None
        return None

    def _turns(self, cell: int) -> list[Turn]:
        key = self._parts.serving.tobytes()
        held = self._tables.get(cell)
        if held is None or held[0] != key:
            held = self._tables[cell] = (key, self._split(np.flatnonzero(self._parts.serving == cell).tolist()))
        return held[1]

    def _split(self, devices: list[int]) -> list[Turn]:
        carrier, wanted = self._parts.carrier, self._parts.settings.configured_grant_prb
        if not devices:
            return []
        width = min(carrier.num_prb, wanted or max(self._parts.adaptation.min_prb, carrier.num_prb // len(devices)))
        beside = carrier.num_prb // width
        num_turns = -(-len(devices) // beside)
        turns: list[Turn] = [[] for _ in range(num_turns)]
        ends = np.cumsum(carrier.group_sizes)
        for index, device in enumerate(devices):
            first = (index // num_turns) * width
            inside = np.minimum(ends, first + width) - np.maximum(ends - carrier.group_sizes, first)
            turns[index % num_turns].append((device, np.maximum(inside, 0).tolist()))
        return turns

    def mcs_of(self, device: int, prbs_per_group: list[int]) -> int:
        """MCS of a device's grant on its PRBs: that of its last configuration, weights [num_groups]."""
        cell, adaptation = int(self._parts.serving[device]), self._parts.adaptation
        snr_db = adaptation.mean_snr_db(device, sum(prbs_per_group))
        held = self._mcs.get(device)
        if held is None or held[1] != cell or abs(snr_db - held[2]) > _RECONFIGURE_DB:
            held = self._mcs[device] = (adaptation.configured_mcs(device, prbs_per_group), cell, snr_db)
        return held[0]
