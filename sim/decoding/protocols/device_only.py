"""Draft only, on the device: no radio at all. Lossy by nature: the text follows the draft model, not the target."""

from __future__ import annotations

from sim.core.registry import NoSettings
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.request import Request
from sim.decoding.core.steps import Location, Protocol
from sim.decoding.protocols.registry import protocol


@protocol("device_only", NoSettings, lossless=False, models=("draft",))
def device_only(request: Request, settings: NoSettings, rng: RandomSource) -> Protocol:
    """Autoregressive decoding by the draft model on the device (lossy: the draft's distribution, not the target's)."""
    while not request.finished:
        logits = yield request.forward(Location.DEVICE, "draft")
        token = rng.at("verify", request.position).categorical(request.sampling.row(logits[0]))
        yield request.emit([token])
