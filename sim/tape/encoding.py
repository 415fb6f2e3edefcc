"""Records as plain JSON values and back; loading never executes anything."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from sys import intern
from typing import Any

from sim.decoding.core.steps import Hop, Location, Round
from sim.decoding.drivers.protocol_run import (
    AssignRecord,
    ComputeRecord,
    DropRecord,
    EmitRecord,
    JoinRecord,
    ObserveRecord,
    Record,
    StartRecord,
    TogetherRecord,
    TransmitRecord,
    branches_of,
)

_NAN = float("nan")
# Records by their plain form.
_known: dict[tuple[Any, ...], Record] = {}
_MAX_KNOWN = 1 << 16
_MAX_COUNT = 1 << 53  # beyond, whatever has it was not made by decoding
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
        case StartRecord(number, branch):
            return ["s", number, to_plain(branch)]
        case JoinRecord(number):
            return ["j", number]
        case DropRecord(number):
            return ["d", number]
        case AssignRecord(uplink_share, verify_batch):
            return ["a", uplink_share, verify_batch]


def _round_to_plain(round_: Round) -> list[Any]:
    # NaN is no JSON; None stands for it.
    stats = [[name, None if math.isnan(value) else value] for name, value in round_.stats]
    return [list(round_.tokens), round_.drafted, round_.tested, round_.accepted, stats]


def rounds_of(records: Sequence[Record]) -> Iterator[tuple[Round, int, int]]:
    """Each round with the payload bits sent up and down since the one before."""
    bits_up = bits_down = 0
    for record in _flat(records):
        if isinstance(record, TransmitRecord):
            if record.hop in (Hop.UPLINK, Hop.BACKHAUL_UP):
                bits_up += record.payload_bits
            else:
                bits_down += record.payload_bits
        ended = record.round if isinstance(record, EmitRecord | TransmitRecord) else None
        if ended is not None:
            yield ended, bits_up, bits_down
            bits_up = bits_down = 0


def _flat(records: Sequence[Record]) -> Iterator[Record]:
    for record in records:
        yield record
        for branch in branches_of(record):
            yield from _flat(branch)


def from_plain(plain: Sequence[Sequence[Any]]) -> list[Record]:
    """Records from nested lists.

    Raises:
        ValueError, TypeError, KeyError, IndexError, RecursionError: They are no such lists, or no such sizes.
    """
    known, readers = _known.get, _READERS
    # Most of a tape is drafting: forward passes and messages of one size are one and the same record.
    return [(len(item) == 6 and known(tuple(item))) or readers[item[0]](item) for item in plain]


def check_plain(plain: Sequence[Sequence[Any]]) -> None:
    """That ``from_plain`` would read these nested lists, without making the records of rounds.

    Raises:
        ValueError, TypeError, KeyError, IndexError, RecursionError: It would not.
    """
    known = _known
    for item in plain:
        if len(item) == 6 and tuple(item) in known:
            continue
        kind = item[0]
        if kind == "e":
            _, own_round = item
            _check_round(own_round)
        else:
            _READERS[kind](item)


def _read_compute(item: Sequence[Any]) -> Record:
    _, site, model, new_tokens, context_tokens, num_rows = item
    _check_counts(new_tokens, context_tokens, num_rows)
    _check_text(model)
    return _keep(item, ComputeRecord(_SITES[site], model, new_tokens, context_tokens, num_rows))


def _read_transmit(item: Sequence[Any]) -> Record:
    if len(item) == 7:
        *sent, own_round = item
        record = _read_transmit(sent)
        assert isinstance(record, TransmitRecord)
        return replace(record, round=_read_round(own_round))
    _, hop, kind, payload_bits, charged_bits, tokens_at_stake = item
    _check_counts(payload_bits, charged_bits, tokens_at_stake)
    _check_text(kind)
    return _keep(item, TransmitRecord(_HOPS[hop], kind, payload_bits, charged_bits, tokens_at_stake))


def _keep(item: Sequence[Any], record: Record) -> Record:
    """Remember a record by its plain form; what is walked again and again should fit into a cache."""
    if len(_known) >= _MAX_KNOWN:
        _known.clear()
    return _known.setdefault(tuple(item), record)


def _read_emit(item: Sequence[Any]) -> Record:
    _, own_round = item
    return EmitRecord(_read_round(own_round))


def _read_together(item: Sequence[Any]) -> Record:
    _, branches = item
    return TogetherRecord(tuple(tuple(from_plain(branch)) for branch in branches))


def _read_observe(item: Sequence[Any]) -> Record:  # noqa: ARG001
    return ObserveRecord()


def _read_start(item: Sequence[Any]) -> Record:
    _, number, branch = item
    _check_counts(number)
    return StartRecord(number, tuple(from_plain(branch)))


def _read_join(item: Sequence[Any]) -> Record:
    _, number = item
    _check_counts(number)
    return JoinRecord(number)


def _read_assign(item: Sequence[Any]) -> Record:
    _, uplink_share, verify_batch = item
    if uplink_share is not None and not (isinstance(uplink_share, float | int) and uplink_share > 0):
        raise ValueError(f"a share of {uplink_share}")
    if verify_batch is not None:
        _check_counts(verify_batch)
    return AssignRecord(uplink_share, verify_batch)


def _read_drop(item: Sequence[Any]) -> Record:
    _, number = item
    _check_counts(number)
    return DropRecord(number)


def _read_round(item: Sequence[Any]) -> Round:
    tokens, drafted, tested, accepted, _ = item
    return Round(tuple(tokens), drafted, tested, accepted, tuple(_check_round(item)))


def _check_round(item: Sequence[Any]) -> list[tuple[str, float]]:
    """The figures of a round whose counts are counts."""
    tokens, drafted, tested, accepted, stats = item
    _check_counts(drafted, tested, accepted, *tokens)
    return [
        (intern(name), value if type(value) is float and value - value == 0 else _figure(value))
        for name, value in stats
    ]


def _check_counts(*counts: object) -> None:
    for count in counts:
        # By type: a boolean is no count.
        if type(count) is not int or not 0 <= count <= _MAX_COUNT:
            raise ValueError(f"{counts!r} are no counts")


def _check_text(text: object) -> None:
    if not isinstance(text, str):
        raise TypeError(f"{text!r} is no name")


def _figure(value: Any) -> float:
    if value is None:
        return _NAN
    if type(value) is int and -_MAX_COUNT <= value <= _MAX_COUNT:
        return value
    raise ValueError(f"{value!r} is no number")


_READERS: dict[str, Callable[[Sequence[Any]], Record]] = {
    "c": _read_compute,
    "t": _read_transmit,
    "e": _read_emit,
    "b": _read_together,
    "o": _read_observe,
    "a": _read_assign,
    "s": _read_start,
    "j": _read_join,
    "d": _read_drop,
}
