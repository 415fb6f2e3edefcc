"""What a model can take, from the settings in its folder alone: no library of models is imported, no weight is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sim.core.errors import InputError
from sim.models.checkpoint import read_json
from sim.models.limits import context_limit, text_config
from sim.models.llama_sizes import LlamaSizes
from sim.models.sources import LAYERS_MARK, ModelSource, find_model, is_here

_ROLE = re.compile(r"(bos|eos|unk|sep|pad|cls|mask)_token|(additional|extra)_special_tokens")


def quick_vocab_size(name: str) -> int | None:
    """How many ids a model has, or None where the settings in its folder do not tell what a run will find.

    Args:
        name: As for ``find_model``; nothing is downloaded or converted.
    """
    return _looked_up(name, _vocab_size)


def quick_context(name: str) -> int | None:
    """The longest text of a plain Llama; None of others, where transformers fills in what a configuration omits.

    Args:
        name: As for ``quick_vocab_size``.
    """
    return _looked_up(name, _context)


def _looked_up(name: str, look: Callable[[ModelSource, dict[str, Any]], int | None]) -> int | None:
    path = Path(name.partition(LAYERS_MARK)[0]).expanduser()
    if not is_here(name) or path.suffix.lower() == ".gguf":
        return None
    try:
        source = find_model(name)
        return look(source, read_json(source.folder / "config.json"))
    except (InputError, OSError, TypeError, ValueError, LookupError, AttributeError):
        return None  # A run, or the check of the model itself, says what is wrong with it.


def _context(source: ModelSource, config: dict[str, Any]) -> int | None:
    return None if LlamaSizes.from_config(config) is None else context_limit(config, source.name).length


def _vocab_size(source: ModelSource, config: dict[str, Any]) -> int | None:
    """Ids that both the head and the tokenizer have; None if the tokenizer's are not listed in one file."""
    width = text_config(config).get("vocab_size")
    folder = source.tokenizer_folder
    tokenizer, settings = read_json(folder / "tokenizer.json"), read_json(folder / "tokenizer_config.json")
    if type(width) is not int or not tokenizer:
        return None
    listed = tokenizer["model"]["vocab"]
    by_text = dict(listed) if isinstance(listed, Mapping) else {pair[0]: at for at, pair in enumerate(listed)}
    added = {int(token): one for token, one in settings.get("added_tokens_decoder", {}).items()}
    by_text |= {one["content"]: token for token, one in added.items()}
    by_text |= {one["content"]: one["id"] for one in tokenizer.get("added_tokens", [])}
    if any(text not in by_text for text in _special_texts(settings, read_json(folder / "special_tokens_map.json"))):
        return None  # transformers gives it an id of its own.
    return min(width, max(by_text.values()) + 1)


def _special_texts(*settings: Mapping[str, Any]) -> Iterator[str]:
    for key, value in (pair for each in settings for pair in each.items()):
        if _ROLE.fullmatch(key):
            inner = value.values() if key.startswith("extra") and isinstance(value, Mapping) else None
            for token in inner or (value if isinstance(value, list) else [value]):
                text = token.get("content") if isinstance(token, Mapping) else token
                if isinstance(text, str):
                    yield text
