"""What tokens stand for in bytes, so that two vocabularies can be compared by text rather than by id."""

from __future__ import annotations

import re
from functools import cache

from sim.models.tokenizer import TextTokenizer

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_LEVEL_SPACE, _PIECE_SPACE = "Ġ", "▁"


@cache
def _byte_of_character() -> dict[str, int]:
    """Byte-level BPE's alphabet: character -> the byte that it stands for (GPT-2's ``bytes_to_unicode``, inverted)."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + place): byte for place, byte in enumerate(others)}


def bytes_by_id(tokenizer: TextTokenizer) -> dict[int, bytes]:
    """Bytes of every token that stands for text; special tokens are left out.

    Byte-level BPE (GPT-2, Llama 3, Qwen) and SentencePiece with byte fall-back (Llama 2, Gemma) differ in how
    they write a space.
    """
    texts = {token: text for token, text in tokenizer.strings.items() if token not in tokenizer.all_special_ids}
    is_byte_level = sum(text.startswith(_LEVEL_SPACE) for text in texts.values()) > sum(
        text.startswith(_PIECE_SPACE) for text in texts.values()
    )
    of_token = _level_bytes if is_byte_level else _piece_bytes
    return {token: found for token, text in texts.items() if (found := of_token(text))}


def _level_bytes(text: str) -> bytes:
    alphabet = _byte_of_character()
    if all(character in alphabet for character in text):
        return bytes(alphabet[character] for character in text)
    return text.encode()  # an added token, written as it is


def _piece_bytes(text: str) -> bytes:
    match = _BYTE.fullmatch(text)
    return bytes([int(match[1], 16)]) if match else text.replace(_PIECE_SPACE, " ").encode()
