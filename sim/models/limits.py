"""How long a text may be for a model, from its configuration: what the architecture states, and what has to be cut."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sim.core.errors import InputError

# What the architectures call the longest text they were made for.
_LENGTH_KEYS = ("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length", "max_seq_len")
# What they call their number of layers: transformers maps the first of these to the others.
LAYER_KEYS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
# Rotary embeddings whose frequencies depend on the length of the text at hand.
_LENGTH_DEPENDENT_ROPES = ("longrope", "su", "dynamic")
# BLOOM has no longest text: its positions are ALiBi. Older configurations state what it was trained with.
_BLOOM, _BLOOM_KEY, _BLOOM_LENGTH = "bloom", "seq_length", 2048
_WINDOWED = ("sliding_attention", "local")


@dataclass(frozen=True, slots=True)
class ContextLimit:
    """The longest text, prompt and generated tokens together, and what was cut to arrive at it.

    Attributes:
        length: Tokens.
        notes: One sentence per cut; empty if the configuration's own length holds.
    """

    length: int
    notes: tuple[str, ...] = ()


def context_limit(config: Mapping[str, Any], name: str) -> ContextLimit:
    """The longest text whose rows are a function of the text alone and whose cache can be rolled back.

    A rotary embedding that changes its frequencies when the text crosses a length (``longrope``, ``dynamic``) would
    give keys of both kinds in one cache, so that rows depended on what was cached; it is cut at that length. Attention
    over a sliding window forgets what a rejected draft must roll back to; up to the window it is full attention.

    Args:
        config: A model's ``config.json``.
        name: What the user called the model, for messages.

    Raises:
        InputError: The configuration states no length.
    """
    text = text_config(config)
    stated = next((text[key] for key in _LENGTH_KEYS if _is_count(text.get(key))), None)
    if stated is None and text.get("model_type") == _BLOOM:
        return _limit_of_bloom(text, name)
    if stated is None:
        raise InputError(f"{name}: model type {config.get('model_type')!r} states no context length")
    limits = [ContextLimit(stated)]
    for rope in _ropes(text):
        kind = rope.get("rope_type", rope.get("type"))
        if kind in _LENGTH_DEPENDENT_ROPES:
            original = rope.get("original_max_position_embeddings", text.get("original_max_position_embeddings"))
            length = original if _is_count(original) else stated
            limits.append(
                ContextLimit(
                    length,
                    (
                        f"{name}: context cut from {stated} to {length} tokens, beyond which its rotary embedding "
                        f"({kind}) changes with the length of the text",
                    ),
                )
            )
    window = sliding_window(text)
    if window is not None:
        cut = f"{name}: context cut from {stated} to {window} tokens, the window of its sliding attention"
        limits.append(ContextLimit(window, (cut,)))
    shortest = min(limits, key=lambda limit: limit.length)
    return shortest if shortest.length < stated else limits[0]


def _limit_of_bloom(text: Mapping[str, Any], name: str) -> ContextLimit:
    if _is_count(text.get(_BLOOM_KEY)):
        return ContextLimit(text[_BLOOM_KEY])
    note = f"{name}: its configuration states no context length; taken as {_BLOOM_LENGTH} tokens, as BLOOM was trained"
    return ContextLimit(_BLOOM_LENGTH, (note,))


def text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a configuration that is about text, where a model also sees or hears."""
    inner = config.get("text_config")
    return inner if isinstance(inner, Mapping) else config


def layer_count(text: Mapping[str, Any]) -> int | None:
    """How many layers a model has, under whichever name its configuration has it; None if it does not say."""
    return next((text[key] for key in LAYER_KEYS if _is_count(text.get(key))), None)


def sliding_window(text: Mapping[str, Any]) -> int | None:
    """Width of the attention window, or None if every layer attends over the whole text."""
    kinds = text.get("layer_types") or text.get("attention_layers")
    if isinstance(kinds, list | tuple) and not set(_WINDOWED) & set(kinds):
        return None
    if text.get("use_sliding_window") is False:
        return None
    window = text.get("window_size") if "attention_layers" in text else text.get("sliding_window")
    return window if _is_count(window) else None


def _ropes(text: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All settings of rotary embeddings; some architectures have one per kind of layer."""
    for key in ("rope_parameters", "rope_scaling"):
        rope = text.get(key)
        if isinstance(rope, Mapping):
            yield rope
            yield from (inner for inner in rope.values() if isinstance(inner, Mapping))


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
