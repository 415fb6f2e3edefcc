"""DSSD with a rounded, truncated row on the downlink: cheaper than the whole row, and no longer lossless."""

from __future__ import annotations

from pydantic import Field

from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.request import Request
from sim.decoding.core.rows_down import CodedRowLayout
from sim.decoding.core.steps import Protocol
from sim.decoding.core.wire.row_codec import RowCodec, RowFormat, Values
from sim.decoding.protocols.dssd import device_corrects, resample_at_device
from sim.decoding.protocols.registry import protocol
from sim.decoding.verification.split import ScalarSettings


class DssdBoundedSettings(ScalarSettings):
    """Keys of ``dssd_bounded``."""

    down_top_k: int | None = Field(default=64, ge=1)
    """Entries of the target's row sent on a rejection; null sends the whole row, rounded, as published."""
    down_values: Values = "fp16"
    """Value format of the target's row."""


@protocol(
    "dssd_bounded",
    DssdBoundedSettings,
    lossless=False,
    controls=("draft_length", "speculation"),
    source="arXiv 2507.12000, eq. 8 and 9",
)
def dssd_bounded(request: Request, settings: DssdBoundedSettings, rng: RandomSource) -> Protocol:
    """Split speculative decoding with a rounded or truncated target row down (lossy: corrections miss its tail)."""
    down = RowCodec(request.vocab_size, RowFormat(top_k=settings.down_top_k, values=settings.down_values))
    rounded = CodedRowLayout(down, request.sampling)
    yield from device_corrects(request, settings, rng, rounded, resample_at_device(rng))
