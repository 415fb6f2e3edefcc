"""The round loop that all draft-and-verify protocols share."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from sim.decoding.core.autoregressive import target_only
from sim.decoding.core.controller import Controller, Controls
from sim.decoding.core.messages import Message
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.request import Request
from sim.decoding.core.steps import Protocol, Step
from sim.decoding.protocols.prompt import send_prompt

OneRound = Callable[[Controls], Generator[Step, Any, None]]
"""Drafts, sends, verifies and emits one round under the controls that the controller has chosen for it."""


def never() -> bool:
    """No draft is at hand before a round."""
    return False


def speculative_rounds(
    request: Request,
    start: Controls,
    one_round: OneRound,
    rng: RandomSource,
    *,
    ask: Callable[[], Message] | None = None,
    has_draft: Callable[[], bool] = never,
    controller: Controller | None = None,
    prologue: Generator[Step, Any, None] | None = None,
) -> Protocol:
    """Send the prompt, then one round after another until the text ends.

    Before each round the controller chooses its controls. Where it switches speculation off, the device asks and the
    target decodes alone for a while.

    Args:
        request: The text so far.
        start: The controls as the scenario sets them.
        one_round: The protocol's own round.
        rng: Random source of the request.
        ask: Makes the empty draft by which the device asks the target to decode alone; None where a round without
            speculation is a round of the protocol, too.
        has_draft: Whether a draft is at hand already, which is then sent whatever the controller says.
        controller: Chooses the controls; the request's by default.
        prologue: Steps before the first round; by default the prompt is sent to the edge.
    """
    chosen_by = request.controller if controller is None else controller
    yield from send_prompt(request) if prologue is None else prologue
    while not request.finished:
        controls = yield from chosen_by.decide(request, start)
        if ask is None or controls.speculate or has_draft():
            yield from one_round(controls)
        else:
            yield from target_only(request, ask(), controls.fallback_tokens, rng)
