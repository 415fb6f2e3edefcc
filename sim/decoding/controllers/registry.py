"""The registry of controllers, and which protocols they fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sim.core.errors import InputError
from sim.core.registry import Registry
from sim.decoding.core.controller import Controller

CONTROLLERS: Registry[Callable[[Any], Controller]] = Registry("controller", "sim.decoding.controllers")


def refuse_misfit(controller: str, adjusts: Sequence[str], protocol: str, controls: Sequence[str]) -> None:
    """Refuse a controller that adjusts a control which the protocol does not have.

    Args:
        controller: Its name.
        adjusts: Controls that it adjusts.
        protocol: The protocol's name.
        controls: Controls that the protocol has under its settings.

    Raises:
        InputError: There is such a control; the message names it and those that the protocol has.
    """
    missing = [control for control in adjusts if control not in controls]
    if missing:
        has = f"has only {', '.join(controls)}" if controls else "has none to adjust"
        raise InputError(
            f"controller {controller!r} adjusts {', '.join(missing)}, "
            f"but protocol {protocol!r} under its settings {has}"
        )
