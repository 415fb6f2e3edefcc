"""Receivers whose blocks are lost in slots that layer 1 is late with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from channels.nr import segment
from sim.links.base import Direction
from sim.serving.ran_sharing.layer1_cost import Load
from sim.serving.ran_sharing.settings import RanSharingSettings
from sim.serving.ran_sharing.site_gpus import SiteGpus

if TYPE_CHECKING:
    from sim.links.nr.antenna_settings import AntennaSettings
    from sim.links.nr.phy.block import TransportBlock
    from sim.links.nr.phy.carrier import Carrier
    from sim.links.nr.phy.receiver import Receiver


class SharedReceiver:
    """A receiver whose blocks are lost in slots that layer 1 is late with.

    Args:
        receiver: Decides about blocks of slots that are in time.
        gpus: Run layer 1, each that of its site's cells.
        carrier: Tells code rates.
        settings: Tells iterations.
        antennas: Those of the base stations.
    """

    def __init__(
        self,
        receiver: Receiver,
        gpus: SiteGpus,
        carrier: Carrier,
        settings: RanSharingSettings,
        antennas: AntennaSettings,
    ) -> None:
        self._receiver, self._gpus, self._settings = receiver, gpus, settings
        self._rates = np.asarray(carrier.mcs_table.code_rate, dtype=np.float64)
        ports = antennas.beam_ports
        self._antennas = {
            Direction.UPLINK: ports or antennas.bs_num_rx,
            Direction.DOWNLINK: ports or antennas.num_tx,
        }

    def receive(self, direction: Direction, slot: int, blocks: list[TransportBlock]) -> None:
        """Set ``received`` (and what is combined) of each block."""
        self._receiver.receive(direction, slot, blocks)
        for gpu, own in self._gpus.of_blocks(blocks):
            if not gpu.process(slot, self.load_of(direction, own)):
                for block in own:
                    block.received = False

    def expect(self, direction: Direction, slot: int, blocks: list[TransportBlock]) -> None:
        """These blocks will probably be sent in a slot to come."""
        self._receiver.expect(direction, slot, blocks)

    def load_of(self, direction: Direction, blocks: list[TransportBlock]) -> Load:
        """What they are for layer 1.

        Decoding in the uplink takes ``ldpc_iterations``, and ``max_ldpc_iterations`` where it fails in the end.
        """
        cost, settings = self._gpus.gpus[0].cost, self._settings
        sizes = np.array([8 * block.size_bytes for block in blocks])
        counts = segment(sizes, self._rates[[block.mcs for block in blocks]]).num_code_blocks.astype(np.float64)
        if direction is Direction.UPLINK:
            tried = [settings.ldpc_iterations if b.received else settings.max_ldpc_iterations for b in blocks]
            counts *= np.array(tried) / cost.ldpc_iterations
        prb_layers = sum(block.num_prb * block.num_layers for block in blocks)
        return Load(prb_layers * self._antennas[direction] / cost.antennas, float(counts.sum()))
