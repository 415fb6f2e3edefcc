"""Records as plain JSON values and back; loading never executes anything."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sim.decoding.scripts import (
    ComputeRecord,
    EmitRecord,
    ObserveRecord,
    Record,
    TogetherRecord,
    TransmitRecord,
)
from sim.decoding.steps import Hop, Round, Site


def to_plain(records: Sequence[Record]) -> list[Any]:
    """Records as nested lists, the first item of each naming its kind."""
    return [_record_to_plain(record) for record in records]


def _record_to_plain(record: Record) -> list[Any]:
    match record:
        case ComputeRecord(site, model, new_tokens, context_tokens, num_rows):
            return ["c", site.value, model, new_tokens, context_tokens, num_rows]
        case TransmitRecord(hop, kind, payload_bits, charged_bits, tokens_at_stake, this):
            plain = ["t", hop.value, kind, payload_bits, charged_bits, tokens_at_stake]
            return plain if this is None else [*plain, _round_to_plain(this)]
        case EmitRecord(this):
            return ["e", _round_to_plain(this)]
        case TogetherRecord(branches):
            return ["b", [to_plain(branch) for branch in branches]]
        case ObserveRecord():
            return ["o"]


def _round_to_plain(this: Round) -> list[Any]:
    # NaN is no JSON; None stands for it.
    stats = [[name, None if math.isnan(value) else value] for name, value in this.stats]
    return [list(this.tokens), this.drafted, this.tested, this.accepted, stats]


def from_plain(plain: Sequence[Sequence[Any]]) -> list[Record]:
    """Records from nested lists.

    Raises:
        ValueError, TypeError, KeyError, IndexError: They are no such lists.
    """
    return [_record_from_plain(item) for item in plain]


def _record_from_plain(item: Sequence[Any]) -> Record:
    match item[0]:
        case "c":
            return ComputeRecord(_SITES[item[1]], *item[2:])
        case "t":
            this = _round_from_plain(item[6]) if len(item) > 6 else None
            kind, payload_bits, charged_bits, tokens_at_stake = item[2:6]
            return TransmitRecord(_HOPS[item[1]], kind, payload_bits, charged_bits, tokens_at_stake, this)
        case "e":
            return EmitRecord(_round_from_plain(item[1]))
        case "b":
            return TogetherRecord(tuple(tuple(from_plain(branch)) for branch in item[1]))
        case "o":
            return ObserveRecord()
    raise ValueError(f"unknown record {item[0]!r}")


_SITES = {site.value: site for site in Site}
_HOPS = {hop.value: hop for hop in Hop}


def _round_from_plain(item: Sequence[Any]) -> Round:
    tokens, drafted, tested, accepted, stats = item
    figures = tuple((name, float("nan") if value is None else value) for name, value in stats)
    return Round(tuple(tokens), drafted, tested, accepted, figures)
