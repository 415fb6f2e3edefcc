"""Runs of protocols: a live request's steps with their sizes, and the records that are left of them for replays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sim.core.errors import RunError, shortened
from sim.decoding.core.messages import Message
from sim.decoding.core.request import Request
from sim.decoding.core.steps import (
    Assign,
    Compute,
    Drop,
    Emit,
    Hop,
    Join,
    Location,
    Observe,
    Protocol,
    Round,
    Start,
    Started,
    Stream,
    Together,
    Transmit,
)
from sim.decoding.drivers.conformance import RoundChecks, failure_of
from sim.models.interface import ForwardPass, LanguageModel
from sim.models.on_demand import AwaitRow, PromisedRows


@dataclass(frozen=True, slots=True)
class ComputeRecord:
    """A forward's place and size."""

    site: Location
    model: str
    new_tokens: int
    context_tokens: int
    num_rows: int


@dataclass(frozen=True, slots=True)
class TransmitRecord:
    """A message's hop and size.

    Attributes:
        hop: Which stretch it crosses.
        kind: Message type.
        payload_bits: 8 * len(bytes) of the encoded message.
        charged_bits: Bits charged to the link; equal to ``payload_bits`` unless a publication counts otherwise, or the
            wire is charged as of another vocabulary.
        tokens_at_stake: Tokens that its arrival may unblock.
        round: The round that is emitted at its delivery, for streamed messages that are not waited for.
    """

    hop: Hop
    kind: str
    payload_bits: int
    charged_bits: int
    tokens_at_stake: int
    round: Round | None = None


@dataclass(frozen=True, slots=True)
class EmitRecord:
    """A round that has ended."""

    round: Round


@dataclass(frozen=True, slots=True)
class ObserveRecord:
    """A look at clock and channel."""


@dataclass(frozen=True, slots=True)
class TogetherRecord:
    """Branches that run at the same time."""

    branches: tuple[tuple[Record, ...], ...]


@dataclass(frozen=True, slots=True)
class StartRecord:
    """A branch that runs beside what follows, up to its ``JoinRecord`` or ``DropRecord``.

    Attributes:
        number: Its number among those of the request.
        branch: What it does.
    """

    number: int
    branch: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class JoinRecord:
    """The wait for the branch of this number."""

    number: int


@dataclass(frozen=True, slots=True)
class DropRecord:
    """The end of the device's work on the branch of this number."""

    number: int


@dataclass(frozen=True, slots=True)
class AssignRecord:
    """The device's part of what is shared, as in ``Assign``."""

    uplink_share: float | None
    verify_batch: int | None


Record = (
    ComputeRecord
    | TransmitRecord
    | EmitRecord
    | ObserveRecord
    | TogetherRecord
    | StartRecord
    | JoinRecord
    | DropRecord
    | AssignRecord
)


def branches_of(record: Record) -> tuple[tuple[Record, ...], ...]:
    """What runs at the same time as part of this record; nothing in most."""
    if isinstance(record, TogetherRecord):
        return record.branches
    return (record.branch,) if isinstance(record, StartRecord) else ()


@dataclass(slots=True)
class PendingStep:
    """What a driver must give a meaning to.

    Attributes:
        record: Places and sizes.
        work: The forward itself, whose logits must be sent back; None if the record is of no forward.
        on_demand: The forward's rows may be sent back as ``PromisedRows``.
        awaited: A promised row that is to be computed before going on, and its index; such a step has no record.
        branches: Runs of the branches of a ``TogetherRecord``, or of the one that a ``StartRecord`` begins and a
            ``JoinRecord`` or ``DropRecord`` ends.
    """

    record: Record | None
    work: ForwardPass | None = None
    on_demand: bool = False
    awaited: tuple[PromisedRows, int] | None = None
    branches: Sequence[ProtocolRun] = ()


class ProtocolRun:
    """Runs a protocol: encodes and decodes its messages, sizes its forward passes, and keeps what was done.

    Args:
        protocol: The coroutine.
        models: Language models by role.
        payloads: Takes the bytes of each message, branches included.
        encodes: Whether messages become bytes; else they are only measured, with the same sizes and effects.
        request: Whose text the protocol generates, which must be finished when it ends.
        checks: Those of the protocol that this one is a branch of.
        wire_vocab_size: What messages are charged for, None for what they encode to; the request's own by default.
        begun: Branches that the request has started, those of its branches included.

    Attributes:
        ended: Whether nothing is left to do.
        records: What was done.
        payloads: Bytes of the messages, in the order in which they were encoded.
    """

    def __init__(
        self,
        protocol: Protocol,
        models: Mapping[str, LanguageModel],
        payloads: list[bytes] | None = None,
        encodes: bool = True,
        request: Request | None = None,
        checks: RoundChecks | None = None,
        wire_vocab_size: int | None = None,
        begun: list[_Begun] | None = None,
    ) -> None:
        self.ended = False
        self._begun: list[_Begun] = [] if begun is None else begun
        self._is_branch = checks is not None
        self._checks = checks if checks is not None else RoundChecks(protocol, request)
        self._protocol = protocol
        self._models = models
        self._reply: Any = None
        self._replies = False
        self._encodes = encodes
        self._wire_vocab_size = wire_vocab_size
        if request is not None and request.wire_vocab_size != request.vocab_size:
            self._wire_vocab_size = request.wire_vocab_size
        self.records: list[Record] = []
        self.payloads: list[bytes] = [] if payloads is None else payloads
        self.value: Any = None

    def advance(self, result: Any = None) -> PendingStep | None:
        """Send the last step's result (logits, or an ``Observation``), get the next step, None at the end."""
        reply = self._reply if self._replies else result
        branches = reply if isinstance(reply, _Branches) else None
        if branches is not None:
            self._refuse_loose_branches(branches.runs)
            self.records[branches.index] = TogetherRecord(tuple(tuple(b.records) for b in branches.runs))
            reply = [branch.value for branch in branches.runs]
        elif isinstance(reply, _Begun):
            reply = self._settled(reply)
        self._reply, self._replies = None, True
        try:
            step = self._protocol.send(reply)
        except StopIteration as end:
            self.value = end.value
            self.ended = True
            if not self._is_branch:
                self._checks.end()
                self._refuse_loose_branches()
            return None
        except Exception as error:
            failure = failure_of(self._checks.name, error)
            if failure is error:
                raise
            raise failure from error
        self._checks.step(step)
        pending = self._pending(step)
        if pending.record is not None:
            self.records.append(pending.record)
        return pending

    def _pending(self, step: object) -> PendingStep:
        match step:
            case Compute(site, model, work, on_demand):
                self._replies = False
                if model not in self._models:
                    known = ", ".join(self._models)
                    raise RunError(
                        f"protocol {self._checks.name!r} runs a model {model!r}; it was registered with {known}"
                    )
                size = self._models[model].new_tokens(work)
                return PendingStep(ComputeRecord(site, model, size, work.text_length, work.num_rows), work, on_demand)
            case AwaitRow(rows, index):
                return PendingStep(None, awaited=(rows, index))
            case Transmit(hop, message, charged_bits):
                bits, self._reply = self._send(message)
                charged = self._charged(message, bits) if charged_bits is None else charged_bits
                return PendingStep(TransmitRecord(hop, message.kind, bits, charged, message.tokens_at_stake))
            case Stream(hop, message, round_):
                bits, _ = self._send(message)
                self._checks.round(round_)
                charged = self._charged(message, bits)
                return PendingStep(TransmitRecord(hop, message.kind, bits, charged, message.tokens_at_stake, round_))
            case Emit(round_):
                self._checks.round(round_)
                return PendingStep(EmitRecord(round_))
            case Observe():
                self._replies = False
                return PendingStep(ObserveRecord())
            case Assign(uplink_share, verify_batch):
                return PendingStep(AssignRecord(uplink_share, verify_batch))
            case Together(protocols):
                runs = [self._branch(branch) for branch in protocols]
                self._reply = _Branches(len(self.records), runs)
                return PendingStep(TogetherRecord(()), branches=runs)
            case Start(protocol):
                return self._start(protocol)
            case Join(started) | Drop(started):
                begun = self._reply = self._begun_as(started)
                begun.is_dropped = isinstance(step, Drop)
                ending = DropRecord if begun.is_dropped else JoinRecord
                return PendingStep(ending(started.number), branches=[begun.run])
        raise RunError(f"protocol {self._checks.name!r} yielded {shortened(step)}, which is no step")

    def _branch(self, protocol: Protocol) -> ProtocolRun:
        shared = (self._models, self.payloads, self._encodes, None, self._checks, self._wire_vocab_size, self._begun)
        return ProtocolRun(protocol, *shared)

    def _start(self, protocol: Protocol) -> PendingStep:
        number, run = len(self._begun), self._branch(protocol)
        self._begun.append(_Begun(run, self.records, len(self.records)))
        self._reply = Started(number)
        return PendingStep(StartRecord(number, ()), branches=[run])

    def _begun_as(self, started: Started) -> _Begun:
        begun = self._begun[started.number] if started.number < len(self._begun) else None
        if begun is None or begun.is_settled:
            raise RunError(f"protocol {self._checks.name!r} joins or drops a branch that it has joined or dropped")
        begun.is_settled = True
        return begun

    def _settled(self, begun: _Begun) -> Any:
        """What a branch returned; its records take their place, those of a dropped one whole."""
        if not begun.run.ended:
            raise RunError(
                f"protocol {self._checks.name!r} drops a branch that waits for a message or a server; "
                "only work of the device can be dropped"
            )
        self._put_records(begun)
        return None if begun.is_dropped else begun.run.value

    def _put_records(self, begun: _Begun) -> None:
        """Put a branch's records in their place, and anew where the one that started it has ended before."""
        record = begun.records[begun.index]
        assert isinstance(record, StartRecord)
        begun.records[begun.index] = StartRecord(record.number, tuple(begun.run.records))
        begun.has_records = True
        for outer in self._begun:
            if outer.has_records and outer.run.records is begun.records:
                self._put_records(outer)

    def _refuse_loose_branches(self, of: Sequence[ProtocolRun] | None = None) -> None:
        """Refuse what was started and left alone, by anybody or by one of these branches."""
        starters = None if of is None else [id(run.records) for run in of]
        loose = [begun for begun in self._begun if not begun.is_settled]
        if any(starters is None or id(begun.records) in starters for begun in loose):
            raise RunError(f"protocol {self._checks.name!r} ended with a branch that it neither joined nor dropped")

    def _charged(self, message: Message, payload_bits: int) -> int:
        if self._wire_vocab_size is None:
            return payload_bits
        return message.charged_bits(self._wire_vocab_size)

    def _send(self, message: Message) -> tuple[int, Any]:
        """Payload bits of a message, and what its receiver makes of it."""
        if not self._encodes:
            return message.measure()
        data = message.to_bytes()
        self.payloads.append(data)
        return 8 * len(data), message.decode(data)


@dataclass(slots=True)
class _Branches:
    index: int
    runs: list[ProtocolRun]


@dataclass(slots=True)
class _Begun:
    """A branch that was started, and the place of its record in its starter's records."""

    run: ProtocolRun
    records: list[Record]
    index: int
    is_settled: bool = False
    is_dropped: bool = False
    has_records: bool = False
