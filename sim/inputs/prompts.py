"""Prompts from files: plain text, token ids, and chats as the datasets and tools of the field write them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from channels.text_files import JSON_LINES, TextFileError, has_suffix, read_lines, read_records
from channels.text_kinds import is_json_list, is_json_object
from sim.core.errors import InputError, shortened, unknown_name_message
from sim.core.wording import counted
from sim.inputs.prompt_keys import LENGTH_KEYS, contradiction, forms_in, misspelt_key, unused_keys
from sim.inputs.trace_files import Trace, TraceEntry, name_of_csv_trace, read_trace
from sim.scenario.schema import ModelsSettings
from sim.scenario.workload import WorkloadSettings

_MODELS = Path(__file__).parent.parent / "models"
EMBEDDED_PROMPTS = _MODELS / "embedded" / "prompts.jsonl"
CHAT_PROMPTS = _MODELS / "smollm2" / "prompts.jsonl"
SHIPPED = {"embedded": EMBEDDED_PROMPTS, "chat": CHAT_PROMPTS}

Chat = tuple[tuple[str, str], ...]
"""Messages of a chat as (role, content), the last one not the assistant's."""

OF_FILE = "workload.prompts: "
"""What a note begins with that is about the file of prompts, not about a run."""

# Who speaks in conversations that were shared from chat services.
_SPEAKERS = {"human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant", "assistant": "assistant"}
_SPEAKERS |= {"bard": "assistant", "bing": "assistant", "system": "system"}
# Who speaks in messages, at OpenAI's interface and in the chat templates of models that call tools.
_ASKING = ("user", "tool", "function", "ipython", "observation", "environment")
_ROLES = ("system", "developer", "assistant", *_ASKING)
# More than any context or number of devices.
_MAX_COUNT = 10_000_000


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt of a file.

    Attributes:
        text: Its text; of a chat its messages' texts with a blank line between them; of token ids nothing.
        chat: Messages, if it is made of them.
        ids: Token ids, if it is given as such.
        where: File and line, for messages.
        category: What kind of prompt its file says it is; empty if it does not.
        max_new_tokens: Its own length limit, or None for the workload's.
        device: Index of the only device that it is for, or None.
        num_tokens: Its length, where a trace gives nothing else of it.
        blocks: What its blocks of 512 tokens are known by, likewise.
        form: Key of the form that it was read from; empty for a line of plain text or of a trace.
        unused: Settings of its request that do not count here, such as a temperature.
    """

    text: str
    where: str
    chat: Chat | None = None
    ids: tuple[int, ...] | None = None
    category: str = ""
    max_new_tokens: int | None = None
    device: int | None = None
    num_tokens: int | None = None
    blocks: tuple[int, ...] = ()
    form: str = ""
    unused: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.text


def prompts_named(workload: WorkloadSettings, models: ModelsSettings) -> str:
    """Where a workload's prompts come from: as ``read_prompts`` takes it, ``auto`` resolved."""
    return shipped_for(models) if workload.prompts == "auto" else workload.prompts


def shipped_for(models: ModelsSettings) -> str:
    """The prompts that ship with SpecRAN and suit a target."""
    return "embedded" if models.target.startswith("embedded/") else "chat"


@dataclass(frozen=True, slots=True)
class PromptFile:
    """What was read of a file of prompts.

    Attributes:
        prompts: At least one.
        notes: What of it was left out, or may have been meant otherwise; a sentence each.
    """

    prompts: list[Prompt]
    notes: tuple[str, ...] = ()


class NoHumanTurn(InputError):
    """An entry is a conversation in which no human speaks; those of shared chats have some."""


def read_prompts(source: str) -> list[Prompt]:
    """Prompts of a file, as ``read_prompt_file`` reads it."""
    return read_prompt_file(source).prompts


def read_prompt_file(source: str) -> PromptFile:
    """Prompts of a file, and what is to be said of it.

    A line, or an entry of a JSON list, holds one of: ``text`` (fed as it stands); ``ids`` (token ids); ``messages``
    (OpenAI), ``conversations`` (ShareGPT), ``turns`` (MT-bench, Spec-Bench; the first turn), ``prompt`` (HumanEval,
    vLLM), ``question`` (GSM8K) or ``instruction`` with ``input`` (Alpaca), which all are chats; or a ``body`` with one
    of them (OpenAI batch). Answers at the end of a conversation are left out: the model is to give its own. Besides,
    ``category``, ``device`` and ``max_new_tokens`` (also ``max_tokens``, ``max_completion_tokens``,
    ``output_tokens``) count. Other keys of data sets are passed over, unless they look like a misspelt one of these. Of
    forms that say the same the first one counts; ``text`` beside the ``instruction`` that it repeats (Alpaca) does not.
    ``conversations`` without a turn of a human are left out, as vLLM does with those of ShareGPT that are too short.

    Traces of services (Azure, BurstGPT, Mooncake) give prompts of which only the lengths are known.

    Args:
        source: ``embedded`` or ``chat``, which ship with SpecRAN; a ``.jsonl``, ``.ndjson`` or ``.json`` file; a
            ``.csv`` file, which is a trace; or a text file, a prompt per line.

    Raises:
        InputError: A file that cannot be read, holds no prompt, or has a broken line.
    """
    path = SHIPPED.get(source) or Path(source)
    trace = trace_of(source)
    if trace is not None:
        return PromptFile([_of_trace(entry) for entry in trace.entries], tuple(trace.notes))
    try:
        found = _entries(path) if has_suffix(path, ".json", *JSON_LINES) else _plain_lines(path)
    except TextFileError as error:
        raise InputError(str(error), "workload.prompts") from error
    if not found.prompts:
        raise InputError(f"{source!r} holds no prompt", "workload.prompts")
    return found


def _entries(path: Path) -> PromptFile:
    """Entries of a JSON file; if all are left out, the first one is refused."""
    prompts: list[Prompt] = []
    left_out: list[NoHumanTurn] = []
    first = ""
    for entry, where in read_records(path):
        try:
            prompts.append(parse_prompt(entry, where))
        except NoHumanTurn as error:
            left_out.append(error)
            first = first or where
    notes = tuple(_notes_of_settings(prompts))
    if not left_out:
        return PromptFile(prompts, notes)
    if not prompts:
        raise left_out[0]
    verb = "a conversation" if len(left_out) == 1 else "conversations"
    count = f"{len(left_out)} of {counted(len(left_out) + len(prompts), 'entry', 'entries')} left out"
    return PromptFile(prompts, (f"{count}, {verb} without a message of a user; the first is {first}", *notes))


def _notes_of_settings(prompts: Sequence[Prompt]) -> Iterator[str]:
    """That settings of requests do not count; once for all entries with the same."""
    for keys, number in Counter(prompt.unused for prompt in prompts if prompt.unused).items():
        count = f"{', '.join(keys)} of {counted(number, 'entry', 'entries')} not used"
        yield f"{count}: sampling and ends of answers are those of the scenario (workload, seed)"


def _plain_lines(path: Path) -> PromptFile:
    """A prompt per line."""
    lines = list(read_lines(path))
    if lines and (known := name_of_csv_trace(lines[0][1])):
        message = f"{path}:{lines[0][0]}: these are the columns of {known}, not prompts: name the file .csv"
        raise InputError(message, "workload.prompts")
    objects = [number for number, line in lines if is_json_object(line)]
    if objects[:1] == [number for number, _ in lines[:1]] and 2 * len(objects) > len(lines):
        what = "is a JSON object" if len(objects) == 1 else "are JSON objects"
        kind, suffix = f"{len(objects)} of its {counted(len(lines), 'line')} {what}", " or ".join(JSON_LINES)
    elif is_json_list([line for _, line in lines]):
        kind, suffix = "it is a JSON list of objects", ".json"
    else:
        prompts = [Prompt(line, f"{path}:{number}") for number, line in lines]
        return PromptFile(prompts, _note_of_objects(path, objects, len(lines)))
    message = f"{path}:{lines[0][0]}: {kind}, but a file of this name is read as plain text, a prompt per line"
    raise InputError(f"{message}: name it {suffix}", "workload.prompts")


def _note_of_objects(path: Path, objects: list[int], num_lines: int) -> tuple[str, ...]:
    if not objects:
        return ()
    what = "is a JSON object and a prompt as it stands"
    if len(objects) > 1:
        what = "are JSON objects and prompts as they stand"
    count = f"{len(objects)} of {counted(num_lines, 'line')} {what}"
    return (f"{count}, because the file is named neither .json nor .jsonl; the first is {path}:{objects[0]}",)


def trace_of(source: str) -> Trace | None:
    """The trace that a file holds, None if it holds prompts.

    Raises:
        InputError: It is a trace that cannot be used, or a table of another kind.
    """
    path = Path(source)
    if source in SHIPPED or not has_suffix(path, ".csv", *JSON_LINES):
        return None
    if not has_suffix(path, ".csv") and not _is_mooncake(path):
        return None
    trace = read_trace(path, "workload.prompts")
    if trace.entries[0].prompt_tokens is None:
        message = f"{path}:1: a file of arrival times holds no prompts; it is for devices.arrivals"
        raise InputError(message, "workload.prompts")
    return trace


def _is_mooncake(path: Path) -> bool:
    """Whether the first line of a file has a trace's keys; what cannot be read is left to its reader."""
    try:
        first = next(read_lines(path), (0, ""))[1]
    except TextFileError:
        return False
    return '"input_length"' in first and '"hash_ids"' in first


def _of_trace(entry: TraceEntry) -> Prompt:
    return Prompt(
        "",
        entry.where,
        max_new_tokens=entry.output_tokens,
        device=entry.device,
        num_tokens=entry.prompt_tokens,
        blocks=entry.blocks,
    )


def parse_prompt(entry: Any, where: str) -> Prompt:
    """The prompt that an entry holds.

    Raises:
        InputError: It holds none, or one that cannot be used; ``NoHumanTurn`` if it is a conversation of others alone.
    """
    if not isinstance(entry, Mapping):
        raise InputError(f"{where}: broken prompt line; expected an object of keys and values", "workload.prompts")
    inner = entry["body"] if isinstance(entry.get("body"), Mapping) else entry
    forms = forms_in(inner, _READERS)
    _refuse_misspelt_keys(entry, inner, forms, where)
    if not forms:
        raise InputError(
            f"{where}: broken prompt line; expected one of the keys {', '.join(_READERS)}", "workload.prompts"
        )
    form, content = _content(inner, forms, where)
    chat, ids = (None, None) if isinstance(content, str) else _chat_or_ids(content)
    return Prompt(
        content if isinstance(content, str) else "\n\n".join(text for _, text in chat or ()),
        where,
        chat,
        ids,
        _category(entry, where),
        _length_limit(inner, entry, where),
        _count(entry, "device", 0, where) if entry.get("device") is not None else None,
        form=form,
        unused=() if inner is entry else unused_keys(inner),
    )


def _refuse_misspelt_keys(entry: Mapping[str, Any], inner: Mapping[str, Any], forms: list[str], where: str) -> None:
    for part in (entry,) if inner is entry else (entry, inner):
        # Beside a body there is no form to look for.
        found = misspelt_key(part, forms if part is inner else ("body",), _READERS)
        if found is not None:
            key, meant = found
            listed = "" if forms else f"; expected one of the keys {', '.join(_READERS)}"
            message = f"{where}: broken prompt line; unknown key {shortened(key)} (did you mean {meant!r}?){listed}"
            raise InputError(message, "workload.prompts")


def _content(entry: Mapping[str, Any], forms: list[str], where: str) -> tuple[str, str | Chat | tuple[int, ...]]:
    """The form that counts, of one or of several that say the same, and what it holds."""
    contents = {}
    for form in forms:
        try:
            contents[form] = _READERS[form](entry)
        except _Broken as broken:
            if isinstance(broken, _NobodyAsks) and len(forms) > 1:
                continue  # Another form holds the prompt.
            refusal = NoHumanTurn if isinstance(broken, _NobodyAsks) else InputError
            raise refusal(f"{where}: broken prompt line; {form}: {broken}", "workload.prompts") from broken
    if {"text", "instruction"} <= contents.keys() and entry["instruction"].strip() in entry["text"]:
        del contents["text"]  # Alpaca's, which holds the answer, too.
    conflict = contradiction(contents)
    if conflict is not None:
        one, other = conflict
        message = f"{where}: {one} and {other} are given and are not the same prompt; leave one of them out"
        raise InputError(message, "workload.prompts")
    return next(iter(contents.items()))


def _chat_or_ids(content: Chat | tuple[int, ...]) -> tuple[Chat | None, tuple[int, ...] | None]:
    messages = tuple(part for part in content if isinstance(part, tuple))
    ids = tuple(part for part in content if isinstance(part, int))
    return (messages, None) if messages else (None, ids)


class _Broken(ValueError):
    """What is wrong with a value."""


class _NobodyAsks(_Broken):
    """A shared conversation holds no turn of a human."""


def _length_limit(inner: Mapping[str, Any], entry: Mapping[str, Any], where: str) -> int | None:
    """The entry's own: that of a request counts before one beside it."""
    given = ((part, key) for part in (inner, entry) for key in LENGTH_KEYS if part.get(key) is not None)
    return next((_count(part, key, 1, where) for part, key in given), None)


def _category(entry: Mapping[str, Any], where: str) -> str:
    """On one line, as tables have it."""
    category = entry.get("category")
    if category is None:
        return ""
    plain = " ".join(category.split()) if isinstance(category, str) else None
    if plain is None or not plain.isprintable():
        raise InputError(f"{where}: category must be a text, got {shortened(category)}", "workload.prompts")
    return plain


def _count(entry: Mapping[str, Any], key: str, min_value: int, where: str) -> int:
    value = entry[key]
    if not isinstance(value, int) or isinstance(value, bool) or not min_value <= value <= _MAX_COUNT:
        raise InputError(
            f"{where}: {key} must be a whole number, {min_value} to {_MAX_COUNT}, got {shortened(value)}",
            "workload.prompts",
        )
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Broken(f"expected a text, got {str(value)[:60]!r}")
    return value


def _ids(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(token) is int and token >= 0 for token in value):
        raise _Broken("expected a list of token ids")
    return tuple(value)


def _chat(messages: list[tuple[str, str]]) -> Chat:
    """Messages up to the last one that is not the assistant's."""
    while messages and messages[-1][0] == "assistant":
        messages = messages[:-1]
    if not any(role in _ASKING for role, _ in messages):
        raise _Broken("holds no message of a user")
    return tuple(messages)


def _messages(value: Any) -> Chat:
    """As the OpenAI interface has them: ``role`` and ``content``, the latter a text or a list of parts."""
    if not isinstance(value, list):
        raise _Broken("expected a list of messages")
    found = []
    for message in value:
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise _Broken("expected a role and a content in every message")
        if message["role"] not in _ROLES:
            raise _Broken(unknown_name_message("role", message["role"], _ROLES))
        content = message.get("content")
        if isinstance(content, list):
            content = "".join(_text(_part(part)) for part in content)
        found.append((message["role"], _text(content)))
    return _chat(found)


def _part(part: Any) -> Any:
    if not isinstance(part, Mapping) or part.get("type") not in ("text", "input_text"):
        raise _Broken("holds a part that is no text, which no model here reads")
    return part.get("text")


def _conversations(value: Any) -> Chat:
    """As ShareGPT has them, ``from`` and ``value``, or all of them as OpenAI has them."""
    if not isinstance(value, list):
        raise _Broken("expected a list of messages")
    if value and all(isinstance(message, Mapping) and {"role", "content"} <= message.keys() for message in value):
        if not any(message["role"] == "user" for message in value):
            raise _NobodyAsks("holds no message of a user")
        return _messages(value)
    found = []
    for message in value:
        speaker = message.get("from") if isinstance(message, Mapping) else None
        if not isinstance(speaker, str) or speaker not in _SPEAKERS:
            raise _Broken(f"expected from and value in every message; from is one of {', '.join(_SPEAKERS)}")
        found.append((_SPEAKERS[speaker], _text(message.get("value"))))
    if not any(role == "user" for role, _ in found):
        raise _NobodyAsks("holds no message of a user")
    return _chat(found)


def _turns(value: Any) -> Chat:
    """A user's turns; the model's answers to the earlier ones are not there, so that only the first can be asked."""
    if not isinstance(value, list) or not value:
        raise _Broken("expected a list of turns")
    return (("user", _text(value[0])),)


def _prompt(value: Any) -> Chat | tuple[int, ...]:
    if isinstance(value, list):
        return _messages(value) if value and isinstance(value[0], Mapping) else _ids(value)
    return (("user", _text(value)),)


def _instruction(entry: Mapping[str, Any]) -> Chat:
    given = _text(entry.get("input") or "")
    return (("user", _text(entry["instruction"]) + (f"\n\n{given}" if given else "")),)


_READERS: dict[str, Callable[[Mapping[str, Any]], str | Chat | tuple[int, ...]]] = {
    "text": lambda entry: _text(entry["text"]),
    "ids": lambda entry: _ids(entry["ids"]),
    "messages": lambda entry: _messages(entry["messages"]),
    "conversations": lambda entry: _conversations(entry["conversations"]),
    "turns": lambda entry: _turns(entry["turns"]),
    "prompt": lambda entry: _prompt(entry["prompt"]),
    "question": lambda entry: (("user", _text(entry["question"])),),
    "instruction": _instruction,
}
