"""Target only, at the edge: the prompt goes up once, tokens stream down. The yardstick of every speculative scheme."""

from __future__ import annotations

from sim.core.registry import NoSettings
from sim.decoding.core.messages import TokensLayout
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.request import Request
from sim.decoding.core.steps import Hop, Location, Protocol, Stream
from sim.decoding.core.target_figures import target_figures, target_stats
from sim.decoding.protocols.prompt import send_prompt
from sim.decoding.protocols.registry import protocol


@protocol("edge_only", NoSettings, lossless=True, models=("target",))
def edge_only(request: Request, settings: NoSettings, rng: RandomSource) -> Protocol:
    """Autoregressive decoding by the target at the edge; tokens stream down one by one."""
    token_layout = TokensLayout("token", request.vocab_size, max_tokens=1)
    yield from send_prompt(request)
    while not request.finished:
        logits = yield request.forward(Location.EDGE, "target")
        p = request.sampling.row(logits[0])
        token = rng.at("verify", request.position).categorical(p)
        emitted = request.emit([token], stats=target_stats([target_figures(p, token)]))
        yield Stream(Hop.DOWNLINK, token_layout([token]), emitted.round)
