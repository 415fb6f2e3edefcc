"""Records of a request that stands for a larger one: a longer prompt than was decoded after, and attachments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sim.decoding.core.steps import Hop
from sim.decoding.drivers.protocol_run import ComputeRecord, Record, StartRecord, TogetherRecord, TransmitRecord
from sim.inputs.workload import PlannedRequest


class Lengthening:
    """Makes sizes and bits those of the whole request, one record after the other.

    A forward pass that feeds the prompt feeds all of it, and every one attends to all of it; the prompt's message has
    bits in proportion, and carries what is attached to it. What comes down beside the answer comes with its first
    message.

    Args:
        planned: The request.
    """

    def __init__(self, planned: PlannedRequest) -> None:
        self._extra_tokens = planned.extra_prompt_tokens
        self._ratio = planned.num_prompt_tokens / len(planned.prompt) if planned.prompt else 1.0
        self._uplink_bits = 8 * planned.uplink_bytes
        self._downlink_bits = 8 * planned.downlink_bytes
        self.changes_nothing = not (self._extra_tokens or self._uplink_bits or self._downlink_bits)

    def all_of(self, records: Iterable[Record]) -> Sequence[Record]:
        """Several records, as they are where nothing is to be added."""
        return list(records) if self.changes_nothing else [self.of(record) for record in records]

    def of(self, record: Record) -> Record:
        """The next record."""
        if isinstance(record, ComputeRecord):
            feeds_prompt = record.new_tokens >= record.context_tokens
            new_tokens = record.new_tokens + (self._extra_tokens if feeds_prompt else 0)
            return replace(record, new_tokens=new_tokens, context_tokens=record.context_tokens + self._extra_tokens)
        if isinstance(record, TransmitRecord):
            return self._message(record)
        if isinstance(record, TogetherRecord):
            return TogetherRecord(tuple(tuple(self.all_of(branch)) for branch in record.branches))
        if isinstance(record, StartRecord):
            return StartRecord(record.number, tuple(self.all_of(record.branch)))
        return record

    def _message(self, record: TransmitRecord) -> Record:
        ratio, attached_bits = 1.0, 0
        if record.kind == "prompt":
            ratio, attached_bits = self._ratio, self._uplink_bits
        elif record.hop is Hop.DOWNLINK and self._downlink_bits:
            attached_bits, self._downlink_bits = self._downlink_bits, 0
        if ratio == 1.0 and not attached_bits:
            return record
        return replace(
            record,
            payload_bits=8 * round(record.payload_bits * ratio / 8) + attached_bits,
            charged_bits=8 * round(record.charged_bits * ratio / 8) + attached_bits,
        )
