"""The registry of protocols, and the settings that many of them share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import Field

from sim.decoding.draws import Draw
from sim.decoding.request import Request
from sim.decoding.steps import Protocol
from sim.registry import Registry
from sim.settings import Settings

PROTOCOLS: Registry[Callable[[Request, Any, Draw], Protocol]] = Registry("protocol", "sim.decoding.protocols")


def protocol(
    name: str,
    settings: type[Settings],
    *,
    lossless: bool,
    models: tuple[str, ...] = ("draft", "target"),
    adaptive: bool = False,
    source: str = "",
) -> Callable[[Callable[[Request, Any, Draw], Protocol]], Callable[[Request, Any, Draw], Protocol]]:
    """Register a protocol.

    Args:
        name: What YAML calls it.
        settings: Its keys.
        lossless: Whether its output follows the target's law exactly, proved by test.
        models: Roles it needs.
        adaptive: Whether it looks at clocks or channels, so that it cannot be replayed from a tape.
        source: Where it was published.
    """
    return PROTOCOLS.register(name, settings, lossless=lossless, models=models, adaptive=adaptive, source=source)


class ChainSettings(Settings):
    """Keys of protocols that draft one chain a round."""

    draft_length: int = Field(default=4, ge=1, le=64)
    """Tokens drafted per round (gamma)."""
