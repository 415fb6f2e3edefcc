"""Steps: what a protocol yields to its driver. They name places and work, never seconds, rates or events."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sim.decoding.core.messages import Message
from sim.models.interface import ForwardPass
from sim.models.on_demand import AwaitRow


class Location(StrEnum):
    """Where a step happens."""

    DEVICE = "device"
    EDGE = "edge"
    CLOUD = "cloud"


class Hop(StrEnum):
    """Which stretch a message crosses."""

    UPLINK = "uplink"
    DOWNLINK = "downlink"
    BACKHAUL_UP = "backhaul_up"
    BACKHAUL_DOWN = "backhaul_down"


@dataclass(frozen=True, slots=True)
class Compute:
    """Run a forward of a model at a site; the result is its logits [num_rows, vocab_size].

    Attributes:
        site: Whose processor is busy.
        model: Role of the model: ``draft``, ``target``, or what the scenario calls it.
        work: The forward.
        on_demand: Its rows may be computed later, one by one; the result may be a ``PromisedRows``, whose rows are
            asked for by ``AwaitRow``.
    """

    site: Location
    model: str
    work: ForwardPass
    on_demand: bool = False


@dataclass(frozen=True, slots=True)
class Transmit:
    """Send a message; it is encoded to bytes, flies, and the result is what the receiver decodes from them.

    Attributes:
        hop: Which stretch it crosses.
        message: What is sent.
        charged_bits: Bits charged to the link where a publication does not count all of the real ones; None charges
            what the message really encodes to.
    """

    hop: Hop
    message: Message
    charged_bits: int | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """Send a message and go on at once; its round counts as emitted when it is delivered. The result is None.

    A request ends when its last streamed message has arrived.
    """

    hop: Hop
    message: Message
    round: Round


@dataclass(frozen=True, slots=True)
class Emit:
    """A round has ended at the device and these tokens are final; the driver stamps them. The result is None."""

    round: Round


@dataclass(frozen=True, slots=True)
class Together:
    """Run branches at the same time and go on when the last one ends; the result is the list of their results."""

    branches: tuple[Protocol, ...]


@dataclass(frozen=True, slots=True)
class Started:
    """A branch that was begun, to be joined or dropped.

    Attributes:
        number: Its number among those of the request.
    """

    number: int


@dataclass(frozen=True, slots=True)
class Start:
    """Begin a branch and go on at once; the result is a ``Started``, to be joined or dropped before the protocol ends.

    A message that is sent by a branch flies while the device drafts on; messages of one direction keep their order. A
    branch must not emit if it may be dropped.
    """

    branch: Protocol


@dataclass(frozen=True, slots=True)
class Join:
    """Wait until a branch has ended, which may be now; the result is what it returned."""

    started: Started


@dataclass(frozen=True, slots=True)
class Drop:
    """Stop a branch that computes at the device alone and whose outcome is not wanted. The result is None.

    The device is free at once; the forward passes that it has not got to cost neither time nor energy.
    """

    started: Started


@dataclass(frozen=True, slots=True)
class Observe:
    """Ask what the device can know right now; the result is an ``Observation``. Makes a protocol adaptive."""


@dataclass(frozen=True, slots=True)
class Assign:
    """The base station gives the request's device its part of what is shared. The result is None.

    It costs no airtime of its own: what is assigned becomes grants, and an order at the server.

    Attributes:
        uplink_share: Weight of the device's share of the uplink while several send; None leaves it as it is.
        verify_batch: The batch in which the edge verifies its drafts, for servers with the policy ``cohort``; None
            leaves it as it is.
    """

    uplink_share: float | None = None
    verify_batch: int | None = None


Step = Compute | AwaitRow | Transmit | Stream | Emit | Together | Start | Join | Drop | Observe | Assign
Protocol = Generator[Step, Any, Any]


@dataclass(frozen=True, slots=True)
class Round:
    """What one round of a protocol did.

    Attributes:
        tokens: Token ids emitted, after cuts at an end-of-text token or the length limit.
        drafted: Nodes drafted.
        tested: Positions at which the rule was asked to accept a candidate.
        accepted: Positions at which it did.
        stats: Further figures by column name (with units), such as ``tail_mass``.
    """

    tokens: tuple[int, ...]
    drafted: int = 0
    tested: int = 0
    accepted: int = 0
    stats: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Observation:
    """What a real device knows at this moment: measured past, reported channel; never the future.

    Attributes:
        now_s: The device's clock in seconds.
        uplink_bps: Reported uplink rate in bit/s, None where it is not measured.
        downlink_bps: Reported downlink rate in bit/s.
        round_trip_s: Fixed delay of a small message both ways, in seconds.
        draft_token_s: Measured seconds per drafted token so far, None before the first.
        target_forward_s: Measured seconds from a draft's arrival at the edge to its verdict, queueing included.
        uplink_bits: Payload bits that this request has sent so far, None where it is not counted.
        device_energy_j: Energy that this request has cost the device so far, compute and radio, in joules.
        uplink_whole_bps: Reported uplink rate if no other device sent, in bit/s; None where it is not measured.
    """

    now_s: float = 0.0
    uplink_bps: float | None = None
    downlink_bps: float | None = None
    round_trip_s: float | None = None
    draft_token_s: float | None = None
    target_forward_s: float | None = None
    uplink_bits: int | None = None
    device_energy_j: float | None = None
    uplink_whole_bps: float | None = None
