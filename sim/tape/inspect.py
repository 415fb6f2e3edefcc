"""What is on a tape: a line per request, the damage if there is any, and its rounds as a table for use elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.core.files import cannot_write, write_atomically
from sim.decoding.core.steps import Hop, Round
from sim.decoding.drivers.protocol_run import EmitRecord, Record, TogetherRecord, TransmitRecord
from sim.results.tables import parquet_bytes
from sim.tape.store import Entry, TapeProblem, TapeStore


@dataclass(frozen=True)
class TapeEntrySummary:
    """One recorded request, for people.

    Attributes:
        key: Its address.
        protocol: Name of its protocol.
        seed: Master seed.
        request: Id of the request in its run.
        prompt_tokens: Tokens of the prompt.
        tokens: Tokens generated.
        rounds: Turns of the protocol.
        acceptance_rate: Accepted over tested positions.
        size_bytes: Size of its file.
    """

    key: str
    protocol: str
    seed: int
    request: int
    prompt_tokens: int
    tokens: int
    rounds: int
    acceptance_rate: float
    size_bytes: int


def list_tape(store: TapeStore) -> Iterator[TapeEntrySummary]:
    """A line for each entry that can be trusted, in the order of keys."""
    for path in store.files():
        try:
            entry = store.entry(path.stem)
            size_bytes = path.stat().st_size
        except (TapeProblem, OSError):
            continue
        rounds = [round_ for round_, _, _ in rounds_of(entry.records)]
        tested = sum(round_.tested for round_ in rounds)
        seed, request = entry.about["random"]
        yield TapeEntrySummary(
            entry.key,
            entry.about["protocol"]["name"],
            seed,
            request,
            len(entry.about["prompt"]),
            sum(len(round_.tokens) for round_ in rounds),
            len(rounds),
            sum(round_.accepted for round_ in rounds) / tested if tested else float("nan"),
            size_bytes,
        )


def verify_tape(store: TapeStore) -> dict[str, str]:
    """What is wrong with entries that cannot be trusted, by key; replays take none of them for real."""
    problems = {}
    for key in store.list_keys():
        try:
            store.entry(key)
        except TapeProblem as problem:
            problems[key] = str(problem)
    return problems


def rounds_of(records: list[Record]) -> Iterator[tuple[Round, int, int]]:
    """Each round with the payload bits sent up and down since the one before."""
    bits_up = bits_down = 0
    for record in _flat(records):
        if isinstance(record, TransmitRecord):
            if record.hop in (Hop.UPLINK, Hop.BACKHAUL_UP):
                bits_up += record.payload_bits
            else:
                bits_down += record.payload_bits
        round_ = record.round if isinstance(record, EmitRecord | TransmitRecord) else None
        if round_ is not None:
            yield round_, bits_up, bits_down
            bits_up = bits_down = 0


def _flat(records: list[Record]) -> Iterator[Record]:
    for record in records:
        if isinstance(record, TogetherRecord):
            for branch in record.branches:
                yield from _flat(list(branch))
        else:
            yield record


def _rows_of(entry: Entry) -> list[dict[str, Any]]:
    about = entry.about
    seed, request = about["random"]
    settings = {f"protocol.{name}": value for name, value in about["protocol"].items()}
    plain = {name: value for name, value in settings.items() if not isinstance(value, list | dict)}
    rows = []
    for number, (round_, bits_up, bits_down) in enumerate(rounds_of(entry.records)):
        rows.append(
            {
                "key": entry.key,
                **plain,
                "seed": seed,
                "request_id": request,
                "temperature": about["sampling"][0],
                "prompt_tokens": len(about["prompt"]),
                "round": number,
                "token_ids": list(round_.tokens),
                "tokens": len(round_.tokens),
                "drafted_tokens": round_.drafted,
                "tested_positions": round_.tested,
                "accepted_tokens": round_.accepted,
                "uplink_payload_bits": bits_up,
                "downlink_payload_bits": bits_down,
                **dict(round_.stats),
            }
        )
    return rows


@dataclass(frozen=True)
class TapeExport:
    """What a table of rounds holds: its rows, the requests that they are of, and those left out as damaged."""

    rounds: int
    requests: int
    damaged: int


def export_rounds(store: TapeStore, path: Path, keys: Iterable[str] | None = None) -> TapeExport:
    """Write a table of rounds as Parquet: what was sent, accepted, and by how much draft and target agreed.

    Args:
        store: Which tape.
        path: The file.
        keys: Which entries; all by default.

    Raises:
        RunError: The file cannot be written.
    """
    rows: list[dict[str, Any]] = []
    requests = damaged = 0
    for key in store.list_keys() if keys is None else sorted(set(keys)):
        try:
            rows += _rows_of(store.entry(key))
            requests += 1
        except TapeProblem:
            damaged += 1
    names = {name: None for row in rows for name in row}
    try:
        write_atomically(path, parquet_bytes([{name: row.get(name) for name in names} for row in rows]))
    except OSError as error:
        raise cannot_write("the tape's rounds", path, error) from error
    return TapeExport(len(rows), requests, damaged)
