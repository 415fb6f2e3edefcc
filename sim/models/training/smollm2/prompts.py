"""Training prompts of eight kinds from templates and word lists; those that ship as ``chat`` are not among them."""

from __future__ import annotations

import json
import random
import re
from functools import cache
from pathlib import Path
from typing import Any

_SLOT = re.compile(r"\{(a )?(\w+)(?::(\d+)-(\d+))?\}")
_PEOPLE = ("person", "other", "third")


@cache
def _content() -> dict[str, Any]:
    value: dict[str, Any] = json.loads(Path(__file__).with_name("templates.json").read_text(encoding="utf-8"))
    return value


def kinds() -> list[str]:
    """Names of the kinds."""
    return list(_content()["templates"])


def first_words() -> list[str]:
    """Words that a user's message is begun with where the target writes the message itself."""
    return list(_content()["words"]["first_word"])


def make_prompt(draws: random.Random) -> tuple[str, str]:
    """A kind and a prompt of it."""
    kind = draws.choice(kinds())
    return kind, _fill(draws.choice(_content()["templates"][kind]), draws)


def _fill(template: str, draws: random.Random) -> str:
    """Replace ``{word}``, ``{a word}`` and ``{number:LOW-HIGH}``; three people of a prompt are different ones."""
    words = _content()["words"]
    people = dict(zip(_PEOPLE, draws.sample(words["person"], len(_PEOPLE)), strict=True))

    def one(match: re.Match[str]) -> str:
        article, name, low, high = match.groups()
        if low is not None:
            return str(draws.randint(int(low), int(high)))
        word = people.get(name) or draws.choice(words[name])
        return f"{'an' if word[0] in 'aeiou' else 'a'} {word}" if article else word

    # A passage has slots of its own.
    while _SLOT.search(template):
        template = _SLOT.sub(one, template)
    return template
