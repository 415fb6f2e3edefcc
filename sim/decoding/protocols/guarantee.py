"""What is known of a protocol's text: proved to follow the target's distribution, claimed to, or lossy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from sim.core.registry import RegistryEntry
from sim.core.user_code import is_user_name

Guarantee = Literal["proved", "claimed", "lossy"]

_SHIPPED = "sim.decoding.protocols."


def guarantee_of(entry: RegistryEntry[Any], settings: Mapping[str, Any]) -> Guarantee:
    """What is known of a protocol's text.

    Args:
        entry: The protocol.
        settings: Its keys as plain values.

    Returns:
        ``lossy`` where the protocol says so itself. ``proved`` for one that ships with the simulator: its own code is
        enumerated by the tests, to 1e-12. ``claimed`` for one of a user's own, and for one that a user's own rule is
        part of; ``specran prove`` enumerates those.
    """
    if not entry.traits.get("lossless"):
        return "lossy"
    shipped = str(getattr(entry.make, "__module__", "")).startswith(_SHIPPED)
    own_parts = any(isinstance(value, str) and is_user_name(value) for value in settings.values())
    return "proved" if shipped and not own_parts else "claimed"
