"""Text to token ids and back, and what identifies a vocabulary."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from sim.core.errors import InputError, shortened
from sim.models.chat_template import TEMPLATE_FILE, ChatMessage, ChatTemplate, template_file
from sim.models.config_check import growth_problem
from sim.models.hub import first_line

MAX_IDS = 10_000_000
"""Ids of a vocabulary are below this."""

VOCABULARY_FILES = ("tokenizer.json", "*.model", "vocab*", "*.vocab", "*.tiktoken", "tekken.json")
"""Files of which a tokenizer needs one; without any, transformers makes one of special tokens alone."""


@dataclass(frozen=True)
class TextTokenizer:
    """A tokenizer: ``encode`` text to ids, ``decode`` ids to text.

    Attributes:
        name: What the user called its model.
        vocabulary: Token string -> id, added and special tokens included.
        special_ids: Role ("bos", "eos", "pad", "unk") -> id, of the roles that are set.
        all_special_ids: Ids of all special tokens, whatever their role.
        definition: How text is cut into tokens (normaliser, merges, what is put around it), as its library writes it.
        chat_template: Source of the template for chats, empty without one.
    """

    name: str
    vocabulary: dict[str, int]
    special_ids: dict[str, int]
    encoder: Callable[[str], Sequence[int]] = field(repr=False)
    decoder: Callable[[Sequence[int]], str] = field(repr=False)
    all_special_ids: frozenset[int] = frozenset()
    chat_encoder: Callable[[Sequence[ChatMessage]], Sequence[int]] | None = field(default=None, repr=False)

    @property
    def has_chat_template(self) -> bool:
        """Whether the model came with a template for chats."""
        return self.chat_encoder is not None

    def encode_chat(self, messages: Sequence[ChatMessage]) -> list[int]:
        """Token ids of a chat up to where the assistant's answer begins, by the model's own template.

        A model without one gets the messages' texts, a blank line between them.

        Raises:
            InputError: The template refuses the messages or does not come to an end.
        """
        if self.chat_encoder is None:
            return self.encode("\n\n".join(message["content"] for message in messages))
        try:
            return [int(token) for token in self.chat_encoder(messages)]
        except InputError:
            raise
        except Exception as error:  # as for a text
            raise InputError(f"the tokenizer of {self.name} does not work: {first_line(error)}") from error

    definition: str = field(default="", repr=False)
    chat_template: str = field(default="", repr=False)

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, with the special tokens that the model expects around it.

        Raises:
            InputError: The tokenizer's files contradict each other.
        """
        try:
            return [int(token) for token in self.encoder(text)]
        except Exception as error:  # whatever a library makes of settings that it did not check
            raise InputError(f"the tokenizer of {self.name} does not work: {first_line(error)}") from error

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, special tokens left out."""
        return self.decoder([int(token) for token in ids])

    def __len__(self) -> int:
        """One past the largest id: the width of a meaningful row."""
        return max(self.vocabulary.values()) + 1

    @cached_property
    def strings(self) -> dict[int, str]:
        """Id -> token string."""
        return {token: text for text, token in self.vocabulary.items()}

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the vocabulary, the special ids, how text is cut, and how chats become text."""
        vocabulary = sorted(self.vocabulary.items(), key=lambda item: item[1])
        content = [vocabulary, sorted(self.special_ids.items()), self.definition, self.chat_template]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def light_tokenizer(folder: Path, name: str) -> TextTokenizer:
    """Read ``tokenizer.json`` by the tokenizers library alone, special ids from ``config.json``.

    Raises:
        InputError: It is damaged.
    """
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        raise InputError(f"{path} is missing")
    if problem := unreadable(path):
        raise problem
    tokenizer = Tokenizer.from_file(str(path))
    check_ids(tokenizer.get_vocab(with_added_tokens=True), path)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    special = {role: config.get(f"{role}_token_id") for role in ("bos", "eos", "pad", "unk")}
    roles = {role: token for role, token in special.items() if isinstance(token, int)}
    added = tokenizer.get_added_tokens_decoder()
    template = read_template(folder / TEMPLATE_FILE)
    texts = {f"{role}_token": added[token].content for role, token in roles.items() if token in added}
    render = ChatTemplate(template, texts, folder / TEMPLATE_FILE) if template else None

    def encode_chat(messages: Sequence[ChatMessage]) -> Sequence[int]:
        assert render is not None
        ids: list[int] = tokenizer.encode(render(messages), add_special_tokens=False).ids
        return ids

    return TextTokenizer(
        name=name,
        vocabulary=tokenizer.get_vocab(with_added_tokens=True),
        special_ids=roles,
        encoder=lambda text: tokenizer.encode(text).ids,
        decoder=tokenizer.decode,
        all_special_ids=frozenset(token for token, entry in added.items() if entry.special),
        chat_encoder=None if render is None else encode_chat,
        definition=tokenizer.to_str(),
        chat_template=template,
    )


def unreadable(path: Path) -> InputError | None:
    """What to say of a ``tokenizer.json`` that is there and cannot be read or used."""
    from tokenizers import Tokenizer

    if not path.is_file():
        return None
    try:
        Tokenizer.from_file(str(path))
        problem = growth_problem(json.loads(path.read_text(encoding="utf-8")))
    except Exception as error:  # the library has no other
        return InputError(f"{path} is no tokenizer, or damaged: {first_line(error)}")
    return None if problem is None else InputError(f"{path}: {problem}")


def read_template(path: Path) -> str:
    """Source of a chat template; empty if there is no such file.

    Raises:
        InputError: It is no text.
    """
    try:
        return path.read_text(encoding="utf-8") if path.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {first_line(error)}") from error


def check_ids(vocabulary: Mapping[str, int], path: Path) -> None:
    """Refuse ids that no vocabulary has; the tokenizers library visits all numbers up to the largest one.

    Raises:
        InputError: An id is ``MAX_IDS`` or more, or there is none.
    """
    if not vocabulary:
        raise InputError(f"{path} holds no vocabulary")
    text, token = max(vocabulary.items(), key=lambda item: item[1])
    if token >= MAX_IDS:
        raise InputError(f"{path}: token {shortened(text)} has the id {token}; valid: below {MAX_IDS}")


def refuse_greedy(path: Path) -> None:
    """Refuse what would take all memory, of a file that is there and can be read; others are not its matter.

    Raises:
        InputError: Ids beyond any vocabulary, no vocabulary, or a normaliser or padding that makes far too much.
    """
    from tokenizers import Tokenizer

    try:
        vocabulary = Tokenizer.from_file(str(path)).get_vocab(with_added_tokens=True)
        problem = growth_problem(json.loads(path.read_text(encoding="utf-8")))
    except Exception:  # the library has no other
        return
    check_ids(vocabulary, path)
    if problem is not None:
        raise InputError(f"{path}: {problem}")


def transformers_tokenizer(source: Any, name: str, folder: Path) -> TextTokenizer:
    """Wrap a transformers tokenizer.

    Args:
        source: As transformers has it.
        name: What the user called its model.
        folder: Where its files lie.
    """
    special = {role: getattr(source, f"{role}_token_id", None) for role in ("bos", "eos", "pad", "unk")}

    template = getattr(source, "chat_template", None)

    @cache
    def render() -> ChatTemplate:
        # As transformers chooses among several; it says so if none of them is the default.
        return ChatTemplate(source.get_chat_template(), source.special_tokens_map, template_file(folder))

    def chat(messages: Sequence[ChatMessage]) -> Sequence[int]:
        ids: list[int] = source(render()(messages), add_special_tokens=False)["input_ids"]
        return ids

    return TextTokenizer(
        name=name,
        vocabulary=source.get_vocab(),
        special_ids={role: token for role, token in special.items() if isinstance(token, int)},
        encoder=lambda text: source(text)["input_ids"],
        decoder=lambda ids: source.decode(ids, skip_special_tokens=True),
        # A special token that is named and not in the vocabulary has no id.
        all_special_ids=frozenset(token for token in source.all_special_ids if isinstance(token, int)),
        chat_encoder=chat if template else None,
        definition=backend.to_str() if (backend := getattr(source, "backend_tokenizer", None)) is not None else "",
        # A text, or texts by name.
        chat_template=json.dumps(template) if template else "",
    )
