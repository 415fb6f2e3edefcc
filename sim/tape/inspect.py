"""What is on a tape: a line per request, the damage if there is any, and its rounds as a table for use elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.core.files import cannot_write, write_atomically
from sim.tape.archive import TapeArchive
from sim.tape.encoding import rounds_of
from sim.tape.store import Entry, Header, TapeOutdated, TapeProblem, TapeStore, check_entry, verify_entry


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
    """A line for each entry that has the hash that it states, in the order of keys; no records are read."""
    for key, data in store.entries():
        try:
            yield _listed(key, check_entry(key, data), len(data))
        except (TapeProblem, KeyError, TypeError, ValueError):
            continue


def _listed(key: str, header: Header, size_bytes: int) -> TapeEntrySummary:
    figures = header.figures
    return TapeEntrySummary(
        key,
        str(header.shared["protocol"]["name"]),
        int(figures["seed"]),
        int(figures["request"]),
        int(figures["prompt_tokens"]),
        int(figures["tokens"]),
        int(figures["rounds"]),
        figures["accepted"] / figures["tested"] if figures["tested"] else float("nan"),
        size_bytes,
    )


@dataclass(frozen=True)
class TapeCheck:
    """What a look at every entry of a tape found; replays use neither what is damaged nor what is outdated.

    Attributes:
        damaged: What is wrong with entries that cannot be trusted, by key.
        outdated: Keys of entries that another version of this program has recorded, in a format of its own.
    """

    damaged: dict[str, str]
    outdated: list[str]


def verify_tape(store: TapeStore | TapeArchive) -> TapeCheck:
    """Read every entry and check it."""
    check = TapeCheck({}, [])
    for key, data in store.entries():
        try:
            verify_entry(key, data)
        except TapeOutdated:
            check.outdated.append(key)
        except TapeProblem as problem:
            check.damaged[key] = str(problem)
    return check


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
    """What a table of rounds holds: its rows, the requests that they are of, and how many cannot be used."""

    rounds: int
    requests: int
    left_out: int


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
    requests = left_out = 0
    for key in store.list_keys() if keys is None else sorted(set(keys)):
        try:
            rows += _rows_of(store.entry(key))
            requests += 1
        except TapeProblem:
            left_out += 1
    names = {name: None for row in rows for name in row}
    try:
        write_atomically(path, _parquet_bytes([{name: row.get(name) for name in names} for row in rows]))
    except OSError as error:
        raise cannot_write("the tape's rounds", path, error) from error
    return TapeExport(len(rows), requests, left_out)


def _parquet_bytes(rows: list[dict[str, Any]]) -> bytes:
    """Rows as a Parquet file in memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    value: bytes = sink.getvalue().to_pybytes()
    return value
