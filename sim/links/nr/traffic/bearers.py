"""Who has which flows: the protocols' devices, users beside them, and the logical channels of each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice
from typing import NamedTuple

from channels.nr.five_qi import five_qi
from sim.links.base import Direction
from sim.links.nr.rlc.logical_channels import LogicalChannel
from sim.links.nr.settings import NrLinkSettings
from sim.links.nr.traffic.settings import BearerSettings

_PLACE_KEYS = ("positions_m", "distances_m", "snr_db", "speed_kmh")


class FlowPlace(NamedTuple):
    """One user's share of a background flow.

    Attributes:
        flow: Index in ``background``.
        device: Who carries it.
        channel: Index of its logical channel at this device.
        bearer: Index of that channel among all of its direction.
    """

    flow: int
    device: int
    channel: int
    bearer: int


def logical_channel(settings: BearerSettings) -> LogicalChannel:
    """How a flow's logical channel is served."""
    quality = five_qi(settings.five_qi)
    rate = settings.prioritised_mbps * 1e6 / 8
    return LogicalChannel(
        quality.value,
        quality.priority_level,
        float(quality.weight),
        quality.is_delay_critical,
        rate,
        rate * settings.bucket_s,
    )


class Bearers:
    """Logical channels of all devices, and where background flows go.

    Args:
        settings: Keys of the link.
        num_devices: Devices of the protocols; users of background flows come after them.

    Attributes:
        num_users: All of them.
        channels: Of each direction and device its logical channels, first that of the protocols' messages, or of a
            user's own flow.
        bearers: Of each direction and device the indices of these channels; a device's first one has its own index.
        places: Where background flows go.
    """

    def __init__(self, settings: NrLinkSettings, num_devices: int) -> None:
        first = logical_channel(settings)
        rows: dict[Direction, list[list[LogicalChannel]]] = {
            direction: [[first] for _ in range(num_devices)] for direction in Direction
        }
        self.places: list[FlowPlace] = []
        self.num_users = num_devices + sum(flow.users for flow in settings.background)
        counts = dict.fromkeys(Direction, self.num_users)
        ids = {direction: [[device] for device in range(self.num_users)] for direction in Direction}
        for index, flow in enumerate(settings.background):
            channel, direction = logical_channel(flow), Direction(flow.direction)
            for _ in range(flow.users):
                device = len(rows[direction])
                for row in rows.values():
                    row.append([channel])
                self.places.append(FlowPlace(index, device, 0, device))
            if not flow.users:
                for device in range(num_devices):
                    bearer = counts[direction]
                    counts[direction] += 1
                    self.places.append(FlowPlace(index, device, len(rows[direction][device]), bearer))
                    rows[direction][device].append(channel)
                    ids[direction][device].append(bearer)
        self.channels = {direction: [tuple(own) for own in row] for direction, row in rows.items()}
        self.bearers = {direction: [tuple(own) for own in row] for direction, row in ids.items()}


def placed_users(settings: NrLinkSettings, num_devices: int, num_users: int) -> NrLinkSettings:
    """Keys of the link with places for all users: those beside the protocols' devices stand where these do, in turn."""
    if num_users == num_devices:
        return settings
    lists: dict[str, Sequence[object]] = {}
    for key in _PLACE_KEYS:
        values = getattr(settings, key)
        if isinstance(values, list) and len(values) == num_devices:
            lists[key] = list(islice(cycle(values), num_users))
    return settings.model_copy(update=lists)
