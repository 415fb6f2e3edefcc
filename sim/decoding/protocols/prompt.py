"""Sending the prompt: what every protocol with a target at the edge does first."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from sim.decoding.core.messages import TokensLayout
from sim.decoding.core.request import Request
from sim.decoding.core.steps import Hop, Step, Transmit

MAX_PROMPT_TOKENS = 65_535


def send_prompt(request: Request) -> Generator[Step, Any, None]:
    """Send the prompt's ids up; the edge decodes for the same prompt from then on."""
    layout = TokensLayout("prompt", request.vocab_size, MAX_PROMPT_TOKENS)
    received = yield Transmit(Hop.UPLINK, layout(request.prompt))
    if tuple(received) != request.prompt:
        raise RuntimeError("the prompt that arrived is not the one that was sent")
