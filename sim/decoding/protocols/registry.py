"""The registry of protocols, and the settings that many of them share.

Whether a protocol looks at clock or channel can depend on its settings (a draft length of ``auto``), so the fact
``adaptive`` may be a function of the settings: ask ``Selection.trait``. So may ``controls``, those that a
controller may adjust: ask ``controls_of(entry, settings)``, and ``sites``, where each model runs: ask ``sites_of(entry,
settings)``. ``lossless`` never depends on them: a scheme that is exact in some of its configurations only is
registered under two names, and the name of the lossy one says ``lossless=False`` for all of its settings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from pydantic import Field, model_validator

from sim.core.errors import shortened
from sim.core.registry import Registry, RegistryEntry
from sim.core.settings import Settings
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.request import Request
from sim.decoding.core.steps import Location, Protocol

PROTOCOLS: Registry[Callable[[Request, Any, RandomSource], Protocol]] = Registry("protocol", "sim.decoding.protocols")

DRAFT_HERE_TARGET_THERE = {"draft": Location.DEVICE, "target": Location.EDGE}


def protocol(
    name: str,
    settings: type[Settings],
    *,
    lossless: bool,
    models: tuple[str, ...] = ("draft", "target"),
    adaptive: bool | Callable[[Any], bool] = False,
    controls: tuple[str, ...] | Callable[[Any], tuple[str, ...]] = (),
    sites: Mapping[str, Location] | Callable[[Any], Mapping[str, Location]] = DRAFT_HERE_TARGET_THERE,
    source: str = "",
) -> Callable[[Callable[[Request, Any, RandomSource], Protocol]], Callable[[Request, Any, RandomSource], Protocol]]:
    """Register a protocol.

    Args:
        name: What YAML calls it.
        settings: Its keys.
        lossless: Whether its output follows the target's distribution exactly under all its settings, proved by test.
        models: Roles it needs.
        adaptive: Whether it looks at clocks or channels, so that it cannot be replayed from a tape; or a function
            that says so from its settings.
        controls: What a controller may adjust, of ``sim.decoding.core.controller.CONTROL_NAMES``; or a function of
            the settings.
        sites: Where each model runs, by role; or a function that says so from the settings.
        source: Where it was published.
    """
    return PROTOCOLS.register(
        name,
        settings,
        lossless=lossless,
        models=models,
        adaptive=adaptive,
        controls=controls,
        sites=sites,
        source=source,
    )


def controls_of(
    entry: RegistryEntry[Callable[[Request, Any, RandomSource], Protocol]], settings: Settings
) -> tuple[str, ...]:
    """The controls that a protocol has under these settings."""
    controls = entry.traits.get("controls", ())
    return tuple(controls(settings) if callable(controls) else controls)


def sites_of(
    entry: RegistryEntry[Callable[[Request, Any, RandomSource], Protocol]], settings: Settings
) -> dict[str, Location]:
    """Where each model that a protocol needs runs under these settings, by role."""
    sites = entry.traits.get("sites", DRAFT_HERE_TARGET_THERE)
    placed: Mapping[str, Location] = sites(settings) if callable(sites) else sites
    return {role: site for role, site in placed.items() if role in entry.traits["models"]}


def lossless_to(entry: RegistryEntry[Callable[[Request, Any, RandomSource], Protocol]]) -> str | None:
    """Role of the model whose distribution a protocol claims to follow: the target, or the last one that it needs."""
    models: Sequence[str] = entry.traits.get("models", ())
    if not entry.traits.get("lossless") or not models:
        return None
    return "target" if "target" in models else models[-1]


MAX_TREE_NODES = 4096


def refuse_large_trees(branching: Sequence[int]) -> None:
    """Refuse a tree of more nodes than any verification handles in one forward.

    Args:
        branching: Candidates per expanded node, by depth.

    Raises:
        ValueError: It has more than ``MAX_TREE_NODES`` nodes.
    """
    nodes, level = 0, 1
    for width in branching:
        level *= width
        nodes += level
        if nodes > MAX_TREE_NODES:
            raise ValueError(f"candidates {shortened(list(branching))} make a tree of more than {MAX_TREE_NODES} nodes")


class ChainSettings(Settings):
    """Keys of protocols that draft one chain a round."""

    draft_length: int = Field(default=4, ge=1, le=64)
    """Tokens drafted per round (gamma)."""


class TreeSettings(Settings):
    """Keys of protocols that draft a token tree a round; a chain is one."""

    draft_length: int = Field(default=4, ge=1, le=64)
    """Tokens drafted per round (gamma); levels of the tree when there are several candidates."""
    candidates: int | list[int] = 1
    """Drafted alternatives per expanded node: one number for the first level, or one per depth such as [4, 2, 2]."""

    @model_validator(mode="after")
    def _sensible_tree(self) -> Self:
        if any(width < 1 for width in self.branching):
            raise ValueError(f"candidates must be at least 1 at every depth, got {self.candidates}")
        if isinstance(self.candidates, list) and len(self.candidates) != self.draft_length:
            raise ValueError(f"candidates lists {len(self.candidates)} depths but draft_length is {self.draft_length}")
        refuse_large_trees(self.branching)
        return self

    @property
    def branching(self) -> list[int]:
        """Candidates per expanded node, by depth."""
        if isinstance(self.candidates, list):
            return self.candidates
        return [self.candidates, *[1] * (self.draft_length - 1)]
