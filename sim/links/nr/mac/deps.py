"""What the MAC entities of both directions are built from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim.links.base import Delivery
from sim.links.nr.mac.adaptation import Adaptation
from sim.links.nr.mac.drx import DrxTimers
from sim.links.nr.mac.kpm import KpmReports
from sim.links.nr.mac.modems import Modems
from sim.links.nr.mac.pcap import MacCapture
from sim.links.nr.mac.pdcch import ControlChannel
from sim.links.nr.mac.schedulers.base import Indices, Scheduler
from sim.links.nr.mac.slot_callbacks import SlotCallbacks
from sim.links.nr.phy.carrier import Carrier
from sim.links.nr.phy.receiver import Receiver
from sim.links.nr.phy.uniform_stream import UniformStream
from sim.links.nr.records import SlotRecords
from sim.links.nr.rlc.logical_channels import LogicalChannel
from sim.links.nr.rlc.message import Message, Segmenter
from sim.links.nr.settings import NrLinkSettings


@dataclass(frozen=True)
class MacDeps:
    """What a MAC entity is built from.

    Attributes:
        serving: Cell of each device, renewed in place, [num_devices].
        reachable: Whether a device has a radio link, renewed in place, [num_devices].
        channels: Logical channels of each device, [num_devices].
        bearers: Indices of these channels among those of all devices, [num_devices].
        drx: When devices listen.
        modems: Energy of their radios.
        deliver: Takes each finished message with its delivery and the time at which it is there.
        fail: Takes each message that fails for lack of a radio link.
        kpm: Measurement reports, or None.
        capture: Decoded MAC PDUs, or None.
        active_slot: Slot of each device's last block, renewed in place, [num_devices]; None where nobody asks.
        give_up: Told of a device whose RLC has sent the same bytes too often, with the slot.
    """

    carrier: Carrier
    settings: NrLinkSettings
    callbacks: SlotCallbacks
    serving: Indices
    reachable: npt.NDArray[np.bool_]
    channels: Sequence[tuple[LogicalChannel, ...]]
    bearers: Sequence[tuple[int, ...]]
    drx: DrxTimers
    modems: Modems
    num_cells: int
    adaptation: Adaptation
    scheduler: Scheduler
    receiver: Receiver
    uniforms: UniformStream
    segmenter: Segmenter
    pdcch: ControlChannel
    deliver: Callable[[Message, Delivery, int], None]
    fail: Callable[[Message], None]
    give_up: Callable[[int, int], None]
    records: SlotRecords | None
    kpm: KpmReports | None
    capture: MacCapture | None
    active_slot: Indices | None
