"""A transport block from its grant to its acknowledgement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sim.links.nr.rlc.message import Segment


@dataclass(slots=True, eq=False)
class TransportBlock:
    """One block of one device and direction; the same object lives through all its HARQ transmissions.

    Attributes:
        cell, device: Whose it is.
        size_bytes: TBS / 8.
        mcs, num_prb, num_symbols, num_layers: What its size follows from.
        precoder: Index of its precoder in the codebook of so many layers.
        prbs_per_group: PRBs of each group in the present transmission, [num_groups].
        packed_prbs: The same as bytes of an array, from which those of many blocks are joined (see ``prbs_of``).
        grant_slot: Slot of the DCI of the first transmission.
        granted_bytes: All bytes granted to the device up to and with this block; what its buffer report is set against.
        segments: What it carries.
        reported_bytes: Buffer status that it carries (uplink), -1 if none; ``reported_weight`` is the weight of the
            logical channel groups that it covers.
        report: Format of that report and the level of each group, empty without one.
        uniform: Uniform draw that decides about its decoding.
        attempt: Transmissions before the present one.
        effective: Effective SINR combined so far, linear.
        combined_re: Resource elements behind it.
        first_slot: Slot of the first transmission.
        polls: Bearer and sequence number of RLC PDUs in it that poll.
        is_configured: Sent on a configured grant.
        is_flushed: Its HARQ process has been emptied by a handover or a radio link failure.
        received: Outcome of the present transmission.
        sinr_db, error_rate: Effective SINR after combining and the error rate there; NaN under the ideal channel.
    """

    cell: int
    device: int
    size_bytes: int
    mcs: int
    num_prb: int
    num_symbols: int
    prbs_per_group: list[int]
    grant_slot: int
    granted_bytes: int = 0
    packed_prbs: bytes = b""
    num_layers: int = 1
    precoder: int = 0
    segments: list[Segment] = field(default_factory=list)
    reported_bytes: int = -1
    reported_weight: float = 0.0
    report: tuple[str, tuple[int, ...]] = ("", ())
    polls: Sequence[tuple[int, int]] = ()
    uniform: float = 0.0
    attempt: int = 0
    effective: float = 0.0
    combined_re: float = 0.0
    first_slot: int = -1
    is_configured: bool = False
    is_flushed: bool = False
    received: bool = False
    sinr_db: float = float("nan")
    error_rate: float = float("nan")

    def __post_init__(self) -> None:
        if not self.packed_prbs:
            self.move(self.cell, self.prbs_per_group)

    def move(self, cell: int, prbs_per_group: list[int]) -> None:
        """Take other PRBs for the next transmission, those of a cell."""
        self.cell, self.prbs_per_group = cell, prbs_per_group
        self.packed_prbs = np.array(prbs_per_group, dtype=np.int64).tobytes()


def prbs_of(blocks: Sequence[TransportBlock]) -> npt.NDArray[np.int64]:
    """PRBs of blocks by group, [num_blocks, num_groups]: several times as fast as from lists."""
    joined = np.frombuffer(bytearray().join([block.packed_prbs for block in blocks]), dtype=np.int64)
    return joined.reshape(len(blocks), -1)
