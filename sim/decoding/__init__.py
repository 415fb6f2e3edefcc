"""Decoding protocols without a clock: steps, sampling, verification rules, the wire codec. A library of its own.

The names below are what a protocol's author needs; each comes with its module on first use.

>>> from sim.decoding import decode, draft_chain, finish_round, protocol, send_prompt, target_rows, verify
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sim.decoding.core.controller import Controller as Controller
    from sim.decoding.core.controller import Controls as Controls
    from sim.decoding.core.draft_tree import DraftTree as DraftTree
    from sim.decoding.core.drafting import draft_chain as draft_chain
    from sim.decoding.core.drafting import draft_tree as draft_tree
    from sim.decoding.core.messages import DraftLayout as DraftLayout
    from sim.decoding.core.messages import Layout as Layout
    from sim.decoding.core.messages import TokensLayout as TokensLayout
    from sim.decoding.core.messages import VerdictBody as VerdictBody
    from sim.decoding.core.messages import VerdictLayout as VerdictLayout
    from sim.decoding.core.random_source import RandomSource as RandomSource
    from sim.decoding.core.request import Request as Request
    from sim.decoding.core.rows import Row as Row
    from sim.decoding.core.steps import Compute as Compute
    from sim.decoding.core.steps import Hop as Hop
    from sim.decoding.core.steps import Location as Location
    from sim.decoding.core.steps import Protocol as Protocol
    from sim.decoding.core.steps import Transmit as Transmit
    from sim.decoding.core.wire.row_codec import RowCodec as RowCodec
    from sim.decoding.core.wire.row_codec import RowFormat as RowFormat
    from sim.decoding.drivers.library import DecodeResult as DecodeResult
    from sim.decoding.drivers.library import decode as decode
    from sim.decoding.protocols.exchange import Exchange as Exchange
    from sim.decoding.protocols.prompt import send_prompt as send_prompt
    from sim.decoding.protocols.registry import ChainSettings as ChainSettings
    from sim.decoding.protocols.registry import TreeSettings as TreeSettings
    from sim.decoding.protocols.registry import protocol as protocol
    from sim.decoding.protocols.rounds import speculative_rounds as speculative_rounds
    from sim.decoding.verification.base import find_rule as find_rule
    from sim.decoding.verification.round import Verdict as Verdict
    from sim.decoding.verification.round import finish_round as finish_round
    from sim.decoding.verification.round import target_rows as target_rows
    from sim.decoding.verification.round import verify as verify

_HOMES = {
    "ChainSettings": "protocols.registry",
    "Compute": "core.steps",
    "Controller": "core.controller",
    "Controls": "core.controller",
    "DecodeResult": "drivers.library",
    "DraftLayout": "core.messages",
    "DraftTree": "core.draft_tree",
    "Exchange": "protocols.exchange",
    "Hop": "core.steps",
    "Layout": "core.messages",
    "Location": "core.steps",
    "Protocol": "core.steps",
    "RandomSource": "core.random_source",
    "Request": "core.request",
    "Row": "core.rows",
    "RowCodec": "core.wire.row_codec",
    "RowFormat": "core.wire.row_codec",
    "TokensLayout": "core.messages",
    "Transmit": "core.steps",
    "TreeSettings": "protocols.registry",
    "Verdict": "verification.round",
    "VerdictBody": "core.messages",
    "VerdictLayout": "core.messages",
    "decode": "drivers.library",
    "draft_chain": "core.drafting",
    "draft_tree": "core.drafting",
    "find_rule": "verification.base",
    "finish_round": "verification.round",
    "protocol": "protocols.registry",
    "send_prompt": "protocols.prompt",
    "speculative_rounds": "protocols.rounds",
    "target_rows": "verification.round",
    "verify": "verification.round",
}

__all__ = [
    "ChainSettings",
    "Compute",
    "Controls",
    "DecodeResult",
    "DraftLayout",
    "Exchange",
    "Hop",
    "Layout",
    "Location",
    "Protocol",
    "RandomSource",
    "Request",
    "Row",
    "RowCodec",
    "RowFormat",
    "TokensLayout",
    "Transmit",
    "TreeSettings",
    "VerdictLayout",
    "decode",
    "draft_chain",
    "draft_tree",
    "find_rule",
    "finish_round",
    "protocol",
    "send_prompt",
    "speculative_rounds",
    "target_rows",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"sim.decoding.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
