"""Workload files as they are published: who is asked what, how long prompt and answer are, and when it was asked.

A file's format is found by its columns or keys; one that is not understood is refused with the formats that are.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sim.core.errors import InputError

MOONCAKE_BLOCK_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Entry:
    """One request of a workload file.

    Attributes:
        line: Where it begins in the file, from 1.
        turns: What the user says, turn by turn; empty where the file has lengths only.
        ids: The prompt as token ids, where the file has these.
        prompt_tokens: Length of the prompt, where the file tells it.
        output_tokens: Length of the answer, likewise.
        answer: A published answer, whose length may stand for the output's.
        time_s: When it was asked, from the file's first entry on.
        blocks: Numbers of the prompt's blocks of 512 tokens; equal numbers are equal text.
        session: The conversation that it belongs to.
        device: The device that asks.
    """

    line: int
    turns: tuple[str, ...] = ()
    ids: tuple[int, ...] | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    answer: str | None = None
    time_s: float | None = None
    blocks: tuple[int, ...] = ()
    session: str | None = None
    device: int | None = None


@dataclass(frozen=True, slots=True)
class WorkloadFile:
    """A workload file that was understood.

    Attributes:
        path: Where it lies.
        format: What it is.
        entries: At least one; ascending in time where they have one.
        left_out: How many of its entries cannot be used, by reason.
    """

    path: Path
    format: str
    entries: tuple[Entry, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Format:
    """A published format.

    Attributes:
        name: What messages call it.
        keys: Columns or keys by which it is known.
        read: Makes an entry of a row, given its line; None if the row stands for nothing that can be asked again.
    """

    name: str
    keys: tuple[str, ...]
    read: Callable[[Mapping[str, Any], int], Entry | str]

    @property
    def shape(self) -> str:
        """Name and keys, for messages."""
        return f"{self.name} ({', '.join(self.keys)})"


def _count(row: Mapping[str, Any], key: str, least: int = 0) -> int:
    value = row[key]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{key}: expected a number of tokens, got {value!r}")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not number >= least or number != int(number):
        raise ValueError(f"{key}: expected a whole number of tokens, at least {least}, got {value!r}")
    return int(number)


def _seconds(value: Any, key: str) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{key}: expected a finite number of seconds, not negative, got {value!r}")
    return seconds


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row[key]
    if not isinstance(value, str):
        raise ValueError(f"{key}: expected text, got {value!r}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{key}: holds half of a surrogate pair, which is no text") from error
    return value


def _texts(row: Mapping[str, Any], key: str) -> tuple[str, ...]:
    values = row[key]
    if not isinstance(values, list) or not values:
        raise ValueError(f"{key}: expected a list of texts, got {values!r}")
    return tuple(_text({key: value}, key) for value in values)


def _azure(row: Mapping[str, Any], line: int) -> Entry | str:
    stamp = str(row["TIMESTAMP"]).strip()
    try:
        moment = datetime.fromisoformat(stamp)
    except ValueError as error:
        raise ValueError(f"TIMESTAMP: expected date and time, got {stamp!r}") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    prompt, output = _count(row, "ContextTokens"), _count(row, "GeneratedTokens")
    if prompt == 0 or output == 0:
        return "no tokens asked or answered"
    return Entry(line, prompt_tokens=prompt, output_tokens=output, time_s=moment.timestamp())


def _burst_gpt(row: Mapping[str, Any], line: int) -> Entry | str:
    prompt, output = _count(row, "Request tokens"), _count(row, "Response tokens")
    if output == 0:
        return "failed: no response tokens"
    if prompt == 0:
        return "no request tokens"
    session = row.get("Session ID") or None
    return Entry(
        line,
        prompt_tokens=prompt,
        output_tokens=output,
        time_s=_seconds(row["Timestamp"], "Timestamp"),
        session=session,
    )


def _mooncake(row: Mapping[str, Any], line: int) -> Entry | str:
    blocks = row["hash_ids"]
    if not isinstance(blocks, list) or not all(isinstance(number, int) for number in blocks):
        raise ValueError(f"hash_ids: expected a list of numbers, got {blocks!r}")
    prompt = _count(row, "input_length", 1)
    if len(blocks) < -(-prompt // MOONCAKE_BLOCK_TOKENS):
        raise ValueError(f"hash_ids: {len(blocks)} blocks of {MOONCAKE_BLOCK_TOKENS} tokens for {prompt} tokens")
    output = _count(row, "output_length")
    if output == 0:
        return "no tokens answered"
    time_s = _seconds(row["timestamp"], "timestamp") / 1000
    return Entry(line, prompt_tokens=prompt, output_tokens=output, time_s=time_s, blocks=tuple(blocks))


def _times(row: Mapping[str, Any], line: int) -> Entry | str:
    device = row.get("device")
    if device in (None, ""):
        return Entry(line, time_s=_seconds(row["time_s"], "time_s"))
    return Entry(line, time_s=_seconds(row["time_s"], "time_s"), device=_count(row, "device"))


def _share_gpt(row: Mapping[str, Any], line: int) -> Entry | str:
    parts = row["conversations"]
    whole = isinstance(parts, list) and all(isinstance(one, dict) and {"from", "value"} <= set(one) for one in parts)
    if not whole:
        raise ValueError("conversations: expected a list of {from, value}")
    speakers = ["user" if part["from"] in ("human", "user") else part["from"] for part in parts]
    if "user" not in speakers:
        return "no turn of a user"
    turns = tuple(_text(part, "value") for part, speaker in zip(parts, speakers, strict=True) if speaker == "user")
    after = speakers.index("user") + 1
    answered = after < len(parts) and speakers[after] in ("gpt", "assistant", "chatgpt")
    answer = _text(parts[after], "value") if answered else None
    return Entry(line, turns=turns, answer=answer, session=str(row.get("id", line)))


def _vllm(row: Mapping[str, Any], line: int) -> Entry | str:
    return Entry(line, turns=(_text(row, "prompt"),), output_tokens=_count(row, "output_tokens", 1))


def _prompt(row: Mapping[str, Any], line: int) -> Entry | str:
    return Entry(line, turns=(_text(row, "prompt"),))


def _gsm8k(row: Mapping[str, Any], line: int) -> Entry | str:
    return Entry(line, turns=(_text(row, "question"),), answer=_text(row, "answer"))


def _turns(row: Mapping[str, Any], line: int) -> Entry | str:
    return Entry(line, turns=_texts(row, "turns"), session=str(row["question_id"]))


def _openai_batch(row: Mapping[str, Any], line: int) -> Entry | str:
    body = row["body"]
    messages = body.get("messages") if isinstance(body, dict) else None
    if not isinstance(messages, list) or not messages:
        raise ValueError("body: expected {messages: [{role, content}, ...]}")
    texts = []
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, list):
            content = "".join(part.get("text", "") for part in content if isinstance(part, dict))
        texts.append(_text({"content": content}, "content"))
    limit = body.get("max_completion_tokens", body.get("max_tokens"))
    output = None if limit is None else _count({"max_tokens": limit}, "max_tokens", 1)
    return Entry(line, turns=("\n".join(texts),), output_tokens=output)


def _alpaca(row: Mapping[str, Any], line: int) -> Entry | str:
    given = _text(row, "input")
    text = _text(row, "instruction") + (f"\n{given}" if given else "")
    return Entry(line, turns=(text,), answer=_text(row, "output"))


def _own_text(row: Mapping[str, Any], line: int) -> Entry | str:
    return Entry(line, turns=(_text(row, "text"),))


def _own_ids(row: Mapping[str, Any], line: int) -> Entry | str:
    ids = row["ids"]
    if not isinstance(ids, list) or not all(type(token) is int and token >= 0 for token in ids):
        raise ValueError("ids: expected a list of token ids")
    return Entry(line, ids=tuple(ids))


CSV_FORMATS = (
    Format("Azure LLM inference trace", ("TIMESTAMP", "ContextTokens", "GeneratedTokens"), _azure),
    Format("BurstGPT", ("Timestamp", "Request tokens", "Response tokens"), _burst_gpt),
    Format("arrival times", ("time_s",), _times),
)
JSON_FORMATS = (
    Format("Mooncake trace", ("timestamp", "input_length", "output_length", "hash_ids"), _mooncake),
    Format("ShareGPT", ("conversations",), _share_gpt),
    Format("vLLM custom", ("prompt", "output_tokens"), _vllm),
    Format("MT-bench or Spec-Bench", ("question_id", "turns"), _turns),
    Format("OpenAI batch", ("custom_id", "body"), _openai_batch),
    Format("GSM8K", ("question", "answer"), _gsm8k),
    Format("Alpaca", ("instruction", "input", "output"), _alpaca),
    Format("HumanEval", ("task_id", "prompt"), _prompt),
    Format("prompts as text", ("text",), _own_text),
    Format("prompts as token ids", ("ids",), _own_ids),
)


def formats_text() -> str:
    """The formats that are understood, for messages."""
    of_csv = ", ".join(one.shape for one in CSV_FORMATS)
    of_json = ", ".join(one.shape for one in JSON_FORMATS)
    return f"valid: CSV with the columns of {of_csv}; JSON lines or a JSON list of {of_json}; text, a prompt per line"


def read_workload_file(path: Path, key: str) -> WorkloadFile:
    """Read a workload file of any known format.

    Args:
        path: Where it lies.
        key: The scenario's key that names it, for messages.

    Raises:
        InputError: It cannot be read, is of no known format, has a broken entry, or none at all.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{key}: {str(path)!r} cannot be read: {error}") from error
    suffix = path.suffix.lower()
    if suffix == ".csv":
        found = _read_rows(path, CSV_FORMATS, _csv_rows(path, text))
    elif suffix in (".json", ".jsonl", ".ndjson"):
        found = _read_rows(path, JSON_FORMATS, _json_rows(path, text))
    else:
        found = _read_lines(path, text)
    if not found.entries:
        reasons = "; ".join(f"{count} left out: {reason}" for reason, count in found.left_out.items())
        raise InputError(f"{key}: {str(path)!r} holds no request{f' ({reasons})' if reasons else ''}")
    return found


def _read_lines(path: Path, text: str) -> WorkloadFile:
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    head = lines[0].split(",")
    for one in CSV_FORMATS:
        if len(one.keys) > 1 and set(one.keys) <= {cell.strip() for cell in head}:
            raise InputError(f"{path}:1: these are the columns of {one.name}, not prompts: name the file *.csv")
    entries = tuple(Entry(number, turns=(line,)) for number, line in enumerate(lines, 1) if line.strip())
    return WorkloadFile(path, "text, a prompt per line", entries)


def _csv_rows(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
    try:
        for row in reader:
            if None in row or None in row.values():
                raise InputError(f"{path}:{reader.line_num}: expected {len(reader.fieldnames or ())} columns")
            yield reader.line_num, row
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: broken CSV: {error}") from error


def _json_rows(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Entries of JSON lines, or of one JSON list, with the line at which each begins."""
    if text.lstrip().startswith("["):
        yield from _json_list(path, text)
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, _object(json.loads(line), f"{path}:{number}")
            except json.JSONDecodeError as error:
                raise InputError(f"{path}:{number}: broken line, not JSON: {error.msg}") from error


def _json_list(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    decoder = json.JSONDecoder()
    position, line = text.index("[") + 1, 1
    counted = 0
    while True:
        while position < len(text) and text[position] in " \t\r\n,":
            position += 1
        if position < len(text) and text[position] == "]":
            return
        line += text.count("\n", counted, position)
        counted = position
        try:
            value, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}:{error.lineno}: broken list, not JSON: {error.msg}") from error
        yield line, _object(value, f"{path}:{line}")


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected an object with keys, got {str(value)[:60]!r}; {formats_text()}")
    return value


def _read_rows(path: Path, formats: Sequence[Format], rows: Iterator[tuple[int, Mapping[str, Any]]]) -> WorkloadFile:
    chosen: Format | None = None
    entries: list[Entry] = []
    left_out: dict[str, int] = {}
    for line, row in rows:
        if chosen is None:
            chosen = _format_of(path, formats, line, row)
        if missing := [key for key in chosen.keys if key not in row]:
            raise InputError(f"{path}:{line}: {chosen.name} needs {', '.join(missing)}")
        try:
            entry = chosen.read(row, line)
        except ValueError as error:
            raise InputError(f"{path}:{line}: {error}") from error
        if isinstance(entry, str):
            left_out[entry] = left_out.get(entry, 0) + 1
        else:
            entries.append(entry)
    return WorkloadFile(path, chosen.name if chosen else "empty", _in_time(entries, chosen), left_out)


def _format_of(path: Path, formats: Sequence[Format], line: int, row: Mapping[str, Any]) -> Format:
    for one in formats:
        if set(one.keys) <= set(row):
            return one
    found = ", ".join(str(key) for key in row)
    header = 1 if formats is CSV_FORMATS else line
    raise InputError(f"{path}:{header}: a file of {found[:200]} is not understood; {formats_text()}")


def _in_time(entries: Sequence[Entry], chosen: Format | None) -> tuple[Entry, ...]:
    """Ascending in time; dates are counted from the first entry on."""
    if not entries or any(entry.time_s is None for entry in entries):
        return tuple(entries)
    ordered = sorted(entries, key=lambda entry: (entry.time_s, entry.line))
    if chosen is None or chosen.name == "arrival times":
        return tuple(ordered)
    first_s = ordered[0].time_s
    assert first_s is not None
    return tuple(_shifted(entry, first_s) for entry in ordered)


def _shifted(entry: Entry, first_s: float) -> Entry:
    assert entry.time_s is not None
    return replace(entry, time_s=entry.time_s - first_s)
