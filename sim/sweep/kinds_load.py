"""Load of devices of several kinds: one number for all, by which every kind is scaled alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sim.core.errors import InputError
from sim.scenario.kinds import MixedDevices

if TYPE_CHECKING:
    from sim.scenario.kinds import KindSettings
    from sim.scenario.schema import Scenario

COUNT, RATE = "devices.count", "devices.total_rate_hz"


def kinds_of(scenario: Scenario, key: str) -> Sequence[KindSettings]:
    """The kinds that a key stands for together; none where devices are alike, or where it is a key of one kind.

    Raises:
        InputError: A key of devices that is none of a kind's, and not one that all kinds have together.
    """
    if not isinstance(scenario.devices, MixedDevices):
        return ()
    kinds = scenario.devices.kinds
    if key in (COUNT, RATE):
        return kinds
    parts = key.split(".")
    if parts[0] == "devices" and (len(parts) < 2 or parts[1] not in [kind.name for kind in kinds]):
        names = ", ".join(f"devices.{kind.name}.count" for kind in kinds)
        raise InputError(
            f"devices are of several kinds; valid: {COUNT} and {RATE}, which scale all alike, or a key of one kind, "
            f"such as {names}",
            key,
        )
    return ()


def load_of_kinds(kinds: Sequence[KindSettings], key: str) -> float:
    """Devices of all kinds, or requests per second of all.

    Raises:
        InputError: Requests of a kind come without a rate.
    """
    if key == COUNT:
        return sum(kind.count for kind in kinds)
    return math.fsum(_rate_hz(kind) for kind in kinds)


def scaled_kinds(kinds: Sequence[KindSettings], key: str, load: float) -> dict[str, float]:
    """Each kind's own key and value at a load of all.

    Counts are whole: what is left after rounding down goes to the largest remainders, and no kind is without a device.

    Args:
        kinds: The kinds as the scenario has them.
        key: ``devices.count`` or ``devices.total_rate_hz``.
        load: Devices of all kinds, at least one for each, or requests per second of all.
    """
    if key == COUNT:
        return {f"devices.{kind.name}.count": n for kind, n in zip(kinds, _shared_out(kinds, round(load)), strict=True)}
    factor = load / load_of_kinds(kinds, RATE)
    found = {}
    for kind in kinds:
        name = "total_rate_hz" if kind.total_rate_hz is not None else "arrival_rate_hz"
        found[f"devices.{kind.name}.{name}"] = factor * float(getattr(kind, name))
    return found


def _rate_hz(kind: KindSettings) -> float:
    if kind.total_rate_hz is not None:
        return kind.total_rate_hz
    if kind.arrival_rate_hz is None:
        raise InputError(
            f"requests of {kind.name} come without a rate (arrivals: {kind.arrivals}); scale {COUNT} instead", RATE
        )
    return kind.count * kind.arrival_rate_hz


def _shared_out(kinds: Sequence[KindSettings], total: int) -> list[int]:
    whole = sum(kind.count for kind in kinds)
    wanted = [total * kind.count / whole for kind in kinds]
    counts = [max(1, math.floor(value)) for value in wanted]
    by_remainder = sorted(range(len(kinds)), key=lambda place: counts[place] - wanted[place])
    for place in by_remainder[: max(0, total - sum(counts))]:
        counts[place] += 1
    while sum(counts) > total and max(counts) > 1:  # kinds that would have had none took from the largest
        counts[counts.index(max(counts))] -= 1
    return counts
