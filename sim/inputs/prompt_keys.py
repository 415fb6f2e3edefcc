"""Keys of a prompt's entry: forms that say the same or contradict each other, and keys that are misspelt."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any

LENGTH_KEYS = ("max_new_tokens", "max_completion_tokens", "max_tokens", "output_tokens")
"""Keys of an entry's own length limit; the first that is given counts."""

# Settings of a request that shape its answer at an OpenAI or vLLM server.
_REQUEST_SETTINGS = (
    *("temperature", "top_p", "top_k", "min_p", "typical_p", "seed", "stop", "stop_token_ids", "n", "best_of"),
    *("presence_penalty", "frequency_penalty", "repetition_penalty", "length_penalty", "logit_bias", "bad_words"),
    *("ignore_eos", "min_tokens", "min_new_tokens", "use_beam_search", "do_sample", "tools", "tool_choice"),
    *("response_format", "reasoning_effort", "prediction", "functions", "function_call", "modalities", "audio"),
    *("suffix", "echo", "guided_json", "guided_regex", "guided_choice", "guided_grammar", "structured_outputs"),
)
_NONE = {"n": 1, "best_of": 1, "tool_choice": "none"}
_SIDE_KEYS = ("category", "device", *LENGTH_KEYS)
# Keys of data sets and tools that are near to a key that counts and mean something else.
_FOREIGN = ("id", "test", "min_tokens", "min_new_tokens")
# Edits, by the length of the key that is meant.
_LONG, _FEW_EDITS, _MANY_EDITS = 7, 1, 2
# An entry of more keys, or longer ones, is a table of its own.
_MAX_KEYS, _MAX_CHARS = 200, 40
_TEXT_FORMS = ("text", "question", "instruction")


def forms_in(entry: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """The forms of a prompt that an entry holds.

    A key of a form's name that holds another kind of value is a data set's own, such as a count of ``turns``, beside a
    form that can be read.
    """
    given = [name for name in names if name in entry]
    return [name for name in given if _may_hold(name, entry[name])] or given[:1]


def _may_hold(name: str, value: Any) -> bool:
    if name == "prompt":
        return isinstance(value, str | list)
    return isinstance(value, str if name in _TEXT_FORMS else list)


def contradiction(contents: Mapping[str, Any]) -> tuple[str, str] | None:
    """Two forms of one entry that are not the same prompt, if there are any.

    Args:
        contents: What each form holds, a text or messages or ids.
    """
    (first, content), *others = contents.items()
    return next(((first, other) for other, held in others if not _agree(content, held)), None)


def _agree(one: Any, other: Any) -> bool:
    """Whether two contents are equal, or one is the first message of a user in a conversation that is the other."""
    if one == other:
        return True
    chats = [content for content in (one, other) if _is_chat(content)]
    users = [[text for role, text in chat if role == "user"] for chat in chats]
    return len(chats) == 2 and min(map(len, chats)) == 1 and users[0][:1] == users[1][:1] != []


def _is_chat(content: Any) -> bool:
    return isinstance(content, tuple) and bool(content) and isinstance(content[0], tuple)


def unused_keys(request: Mapping[str, Any]) -> tuple[str, ...]:
    """Settings of a request that would change its answer at a server and do not count here."""
    given = [key for key in _REQUEST_SETTINGS if request.get(key) is not None]
    # An answer alone, and nothing of a kind, is what there is without the key.
    return tuple(key for key in given if request[key] is not False and request[key] not in ([], {}, "", _NONE.get(key)))


def misspelt_key(entry: Mapping[str, Any], forms: Collection[str], known: Collection[str]) -> tuple[str, str] | None:
    """A key that is probably meant to be another one, and which, or None.

    Keys of data sets that mean nothing here are passed over. A key that is given as it should be is not looked for
    among the others, nor are forms of a prompt where there is one.

    Args:
        entry: Keys and values.
        forms: Names of the forms that it holds.
        known: All names that are valid there.
    """
    wanted = _SIDE_KEYS if forms else (*known, "body", *_SIDE_KEYS)
    if "instruction" in forms:
        wanted = (*wanted, "input")
    strange = [key for key in islice(entry, _MAX_KEYS) if not (key in _FOREIGN or key in known or key in wanted)]
    for key in strange:
        near = [name for name in names_near(key[:_MAX_CHARS], wanted) if name not in entry]
        if near and any(name in entry for name in LENGTH_KEYS):
            near = [name for name in near if name not in LENGTH_KEYS]
        if near:
            return key, near[0]
    return None


@lru_cache(maxsize=4096)
def names_near(key: str, names: tuple[str, ...]) -> list[str]:
    """Names that a key is probably meant to be, the nearest first."""
    found = []
    for name in names:
        one, other, most = _plain(key), _plain(name), _FEW_EDITS if len(name) < _LONG else _MANY_EDITS
        if abs(len(one) - len(other)) <= most and (edits := edits_between(one, other)) <= most:
            found.append((edits, name))
    return [name for _, name in sorted(found)]


def _plain(key: str) -> str:
    return "".join(letter for letter in key.lower() if letter not in "_- ")


def edits_between(one: str, other: str) -> int:
    """Letters to insert, delete, replace or exchange with the next one to make one word the other."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        older, before, row = before, row, [i]
        for j, wanted in enumerate(other, start=1):
            best = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                best = min(best, older[j - 2] + 1)
            row.append(best)
    return row[-1]
