"""Records as plain JSON values and back; loading never executes anything."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from sys import intern
from typing import Any

from sim.decoding.core.steps import Hop, Location, Round
from sim.decoding.drivers.protocol_run import (
    ComputeRecord,
    EmitRecord,
    ObserveRecord,
    Record,
    TogetherRecord,
    TransmitRecord,
)

_NAN = float("nan")
_SITES = {site.value: site for site in Location}
_HOPS = {hop.value: hop for hop in Hop}


def to_plain(records: Sequence[Record]) -> list[Any]:
    """Records as nested lists, the first item of each naming its kind."""
    return [_record_to_plain(record) for record in records]


def _record_to_plain(record: Record) -> list[Any]:
    match record:
        case ComputeRecord(site, model, new_tokens, context_tokens, num_rows):
            return ["c", site.value, model, new_tokens, context_tokens, num_rows]
        case TransmitRecord(hop, kind, payload_bits, charged_bits, tokens_at_stake, round_):
            plain = ["t", hop.value, kind, payload_bits, charged_bits, tokens_at_stake]
            return plain if round_ is None else [*plain, _round_to_plain(round_)]
        case EmitRecord(round_):
            return ["e", _round_to_plain(round_)]
        case TogetherRecord(branches):
            return ["b", [to_plain(branch) for branch in branches]]
        case ObserveRecord():
            return ["o"]


def _round_to_plain(round_: Round) -> list[Any]:
    # NaN is no JSON; None stands for it.
    stats = [[name, None if math.isnan(value) else value] for name, value in round_.stats]
    return [list(round_.tokens), round_.drafted, round_.tested, round_.accepted, stats]


def from_plain(plain: Sequence[Sequence[Any]]) -> list[Record]:
    """Records from nested lists.

    Raises:
        ValueError, TypeError, KeyError, IndexError: They are no such lists.
    """
    readers = _READERS
    return [readers[item[0]](item) for item in plain]


def _read_compute(item: Sequence[Any]) -> Record:
    _, site, model, new_tokens, context_tokens, num_rows = item
    return _compute(site, model, new_tokens, context_tokens, num_rows)


@lru_cache(maxsize=1 << 16)
def _compute(site: str, model: str, new_tokens: int, context_tokens: int, num_rows: int) -> ComputeRecord:
    """Forwards of one size are one and the same record: most of a tape is drafting."""
    return ComputeRecord(_SITES[site], model, new_tokens, context_tokens, num_rows)


def _read_transmit(item: Sequence[Any]) -> Record:
    if len(item) > 6:
        return TransmitRecord(_HOPS[item[1]], item[2], item[3], item[4], item[5], _read_round(item[6]))
    _, hop, kind, payload_bits, charged_bits, tokens_at_stake = item
    return _transmit(hop, kind, payload_bits, charged_bits, tokens_at_stake)


@lru_cache(maxsize=1 << 16)
def _transmit(hop: str, kind: str, payload_bits: int, charged_bits: int, tokens_at_stake: int) -> TransmitRecord:
    """Messages of one size are one and the same record: what is walked again and again should fit into a cache."""
    return TransmitRecord(_HOPS[hop], kind, payload_bits, charged_bits, tokens_at_stake)


def _read_emit(item: Sequence[Any]) -> Record:
    return EmitRecord(_read_round(item[1]))


def _read_together(item: Sequence[Any]) -> Record:
    return TogetherRecord(tuple(tuple(from_plain(branch)) for branch in item[1]))


def _read_observe(item: Sequence[Any]) -> Record:  # noqa: ARG001
    return ObserveRecord()


def _read_round(item: Sequence[Any]) -> Round:
    tokens, drafted, tested, accepted, stats = item
    figures = tuple([(intern(name), _NAN if value is None else value) for name, value in stats])
    return Round(tuple(tokens), drafted, tested, accepted, figures)


_READERS: dict[str, Callable[[Sequence[Any]], Record]] = {
    "c": _read_compute,
    "t": _read_transmit,
    "e": _read_emit,
    "b": _read_together,
    "o": _read_observe,
}
