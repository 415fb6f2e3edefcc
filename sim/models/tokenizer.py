"""Text to token ids and back, and what identifies a vocabulary."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class TextTokenizer:
    """A tokenizer: ``encode`` text to ids, ``decode`` ids to text.

    Attributes:
        name: What the user called its model.
        vocabulary: Token string -> id, added and special tokens included.
        special_ids: Role ("bos", "eos", "pad", "unk") -> id, of the roles that are set.
    """

    name: str
    vocabulary: dict[str, int]
    special_ids: dict[str, int]
    encoder: Callable[[str], Sequence[int]] = field(repr=False)
    decoder: Callable[[Sequence[int]], str] = field(repr=False)

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, with the special tokens that the model expects around it."""
        return [int(token) for token in self.encoder(text)]

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
        """Hash of the vocabulary and the special ids."""
        content = [sorted(self.vocabulary.items(), key=lambda item: item[1]), sorted(self.special_ids.items())]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def light_tokenizer(folder: Path, name: str) -> TextTokenizer:
    """Read ``tokenizer.json`` by the tokenizers library alone, special ids from ``config.json``."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    special = {role: config.get(f"{role}_token_id") for role in ("bos", "eos", "pad", "unk")}
    return TextTokenizer(
        name=name,
        vocabulary=tokenizer.get_vocab(with_added_tokens=True),
        special_ids={role: token for role, token in special.items() if isinstance(token, int)},
        encoder=lambda text: tokenizer.encode(text).ids,
        decoder=tokenizer.decode,
    )


def transformers_tokenizer(source: Any, name: str) -> TextTokenizer:
    """Wrap a transformers tokenizer."""
    special = {role: getattr(source, f"{role}_token_id", None) for role in ("bos", "eos", "pad", "unk")}
    return TextTokenizer(
        name=name,
        vocabulary=source.get_vocab(),
        special_ids={role: token for role, token in special.items() if isinstance(token, int)},
        encoder=lambda text: source(text)["input_ids"],
        decoder=lambda ids: source.decode(ids, skip_special_tokens=True),
    )
