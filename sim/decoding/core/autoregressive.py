"""Rounds without a draft: the device asks, and the target decodes alone for a while, token by token."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from sim.decoding.core.messages import Message, TokensLayout
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.request import Request
from sim.decoding.core.steps import Hop, Location, Step, Stream, Transmit
from sim.decoding.core.target_figures import target_figures, target_stats


def target_only(request: Request, ask: Message, num_tokens: int, rng: RandomSource) -> Generator[Step, Any, None]:
    """The target decodes alone; tokens stream down, and the device goes on when the last of them has arrived.

    Args:
        request: The text so far.
        ask: A draft without tokens; an empty draft asks the edge to decode.
        num_tokens: How many tokens, known to both ends beforehand; fewer if the text ends.
        rng: Random source.
    """
    token_layout = TokensLayout("token", request.vocab_size, max_tokens=1)
    yield Transmit(Hop.UPLINK, ask)
    for left in reversed(range(num_tokens)):
        logits = yield request.forward(Location.EDGE, "target")
        p = request.sampling.row(logits[0])
        token = rng.at("verify", request.position).categorical(p)
        stats = target_stats([target_figures(p, token)])
        if left == 0:
            yield Transmit(Hop.DOWNLINK, token_layout([token]))
            yield request.emit([token], stats=stats)
            return
        yield Stream(Hop.DOWNLINK, token_layout([token]), request.emit([token], stats=stats).round)
        if request.finished:
            return
