"""Hierarchical speculative decoding: a chain of models over sites, each verifying the one below (arXiv 2510.19705).

Level 0 drafts. A level above it takes tokens from below, verifies them against its own rows, and so produces tokens
that follow its own rows exactly; these rows are rounded and truncated as they will cross the air *before* they are
verified against, so what the next level receives is the distribution that its block was drawn from. The top level keeps
the target's rows as they are.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Literal

from pydantic import Field, model_validator
from typing_extensions import override

from sim.decoding.core.controller import Controls
from sim.decoding.core.draft_tree import DraftTree
from sim.decoding.core.drafting import draft_chain
from sim.decoding.core.messages import DraftLayout, Layout, TokensLayout, VerdictBody, VerdictLayout
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.request import Request
from sim.decoding.core.rows import Row
from sim.decoding.core.steps import Hop, Location, Protocol, Step, Transmit
from sim.decoding.core.wire.row_codec import CodedRow, RowCodec, RowFormat
from sim.decoding.protocols.prompt import MAX_PROMPT_TOKENS, send_prompt
from sim.decoding.protocols.registry import protocol
from sim.decoding.protocols.rounds import speculative_rounds
from sim.decoding.verification.base import find_rule
from sim.decoding.verification.round import TargetRows, finish_round, target_rows, verify
from sim.models.interface import Logits

SITES = (Location.DEVICE, Location.EDGE, Location.CLOUD)
UP = {Location.DEVICE: Hop.UPLINK, Location.EDGE: Hop.BACKHAUL_UP}
DOWN = {Location.EDGE: Hop.DOWNLINK, Location.CLOUD: Hop.BACKHAUL_DOWN}


class HsdSettings(RowFormat):
    """Keys of ``hsd``; the row format holds for every level below the top."""

    chain: list[Literal["draft", "middle", "target"]] = Field(default=["draft", "middle", "target"], min_length=2)
    """Models from the smallest up, by role; the last one is the target."""
    sites: list[Location] = Field(default=[Location.DEVICE, Location.EDGE, Location.EDGE])
    """Where each of them runs: device, edge or cloud, never nearer to the device than the one before."""
    blocks: list[int] = Field(default=[2, 6])
    """Tokens that each level below the top gathers before the next one verifies them (N)."""

    @model_validator(mode="after")
    def _sensible(self) -> HsdSettings:
        if self.top_k is not None and self.top_p is not None:
            raise ValueError("set top_k or top_p, not both")
        if self.chain[-1] != "target" or len(set(self.chain)) != len(self.chain):
            raise ValueError(f"chain must name different models and end with target, got {self.chain}")
        if len(self.sites) != len(self.chain) or len(self.blocks) != len(self.chain) - 1:
            raise ValueError(
                f"a chain of {len(self.chain)} models needs {len(self.chain)} sites and {len(self.chain) - 1} blocks, "
                f"got {len(self.sites)} and {len(self.blocks)}"
            )
        if [SITES.index(site) for site in self.sites] != sorted(SITES.index(site) for site in self.sites):
            raise ValueError(f"sites must lead away from the device, got {[site.value for site in self.sites]}")
        if not all(1 <= block <= 64 for block in self.blocks):
            raise ValueError(f"blocks must be between 1 and 64 tokens, got {self.blocks}")
        return self


def sites_of_chain(settings: HsdSettings) -> dict[str, Location]:
    """Where each model of the chain runs."""
    return dict(zip(settings.chain, settings.sites, strict=True))


@protocol(
    "hsd",
    HsdSettings,
    lossless=True,
    models=("draft", "middle", "target"),
    sites=sites_of_chain,
    source="arXiv 2510.19705",
)
def hsd(request: Request, settings: HsdSettings, rng: RandomSource) -> Protocol:
    """Hierarchical speculative decoding: a chain of models over sites, each verifying the one below."""
    codec = RowCodec(request.vocab_size, settings)
    top, site = len(settings.chain) - 1, settings.sites[-1]
    block_layout = DraftLayout(codec, [1] * settings.blocks[-1])
    tokens_layout = TokensLayout("verdict", request.vocab_size, settings.blocks[-1] + 1)

    def prologue() -> Generator[Step, Any, None]:
        yield from send_prompt(request)
        layout = TokensLayout("prompt", request.vocab_size, MAX_PROMPT_TOKENS)
        yield from carry(layout, request.prompt, Location.EDGE, site)

    def one_round(_: Controls) -> Generator[Step, Any, None]:
        tally = Tally()
        block = yield from gather(top - 1, request.draft_limit(settings.blocks[-1]), request, settings, rng, tally)
        received = yield from carry(block_layout, block, settings.sites[top - 1], site)
        rows = yield from target_rows(request, received, site)
        verdict = yield from verify(rows, received, find_rule("single", "iid", 1), request.position, rng)
        tokens = [*received.path_to(verdict.last_accepted), verdict.token]
        received_verdict = yield from carry(tokens_layout, tokens, site, Location.DEVICE)
        yield finish_round(
            request, block, VerdictBody(len(received_verdict) - 2, received_verdict[-1]), verdict, tally.stats
        )

    start = Controls.chain(settings.blocks[-1])
    yield from speculative_rounds(request, start, one_round, rng, prologue=prologue())


def gather(
    level: int, count: int, request: Request, settings: HsdSettings, rng: RandomSource, tally: Tally
) -> Generator[Step, Any, DraftTree]:
    """Tokens that follow a level's rows exactly, with these rows, at its site.

    Args:
        level: Index in the chain, below the top.
        count: How many; fewer only where the text ends.
        request: The text so far, tentative tokens of the levels above included.
        settings: The chain.
        rng: Random source of the level above.
        tally: Counts what the levels below the top tested and accepted.
    """
    codec = RowCodec(request.vocab_size, settings)
    site, role = settings.sites[level], settings.chain[level]
    position_rng = rng.at("level", level, request.position)
    if level == 0:
        return (yield from draft_chain(request, count, codec, position_rng, site, role))
    below, block = settings.sites[level - 1], settings.blocks[level - 1]
    draft_layout, verdict_layout = DraftLayout(codec, [1] * block), VerdictLayout(request.vocab_size, block)
    gathered = DraftTree.empty()
    while len(gathered.tokens) < count:
        supposed = request.supposing(gathered.tokens)
        if supposed.finished:
            break
        # A round emits one token more than it is given, and none is gathered only to be thrown away.
        given = min(block, count - len(gathered.tokens) - 1)
        draft = yield from gather(level - 1, given, supposed, settings, position_rng, tally)
        received = yield from carry(draft_layout, draft, below, site)
        logits = yield supposed.forward(site, role, received.tokens)
        rows = RoundedRows(request, logits, codec)
        verdict = yield from verify(rows, received, find_rule("single", "iid", 1), supposed.position, position_rng)
        tally.add(verdict.tested, draft.depth_of(verdict.last_accepted))
        for node, token in enumerate([*received.path_to(verdict.last_accepted), verdict.token]):
            gathered.expand(len(gathered.tokens) - 1, rows.coded_after(node - 1), [token])
        if len(gathered.tokens) < count:
            yield from carry(verdict_layout, verdict.wire, site, below)
    return gathered


def carry(layout: Layout, body: Any, start: Location, end: Location) -> Generator[Step, Any, Any]:
    """Send something hop by hop from one site to another; an empty draft and a site's own words need no message."""
    if isinstance(body, DraftTree) and not body.tokens:
        return body
    while start != end:
        upwards = SITES.index(start) < SITES.index(end)
        body = yield Transmit((UP if upwards else DOWN)[start], layout(body))
        start = SITES[SITES.index(start) + (1 if upwards else -1)]
    return body


class RoundedRows(TargetRows):
    """A middle level's rows as the level above it will rebuild them."""

    def __init__(self, request: Request, logits: Logits, codec: RowCodec) -> None:
        super().__init__(request, logits)
        self._codec = codec
        self._coded: dict[int, CodedRow] = {}

    def coded_after(self, node: int) -> CodedRow:
        """The coded row after a node, -1 for the text's last token."""
        if node not in self._coded:
            self._coded[node] = self._codec.code(super().after(node))
        return self._coded[node]

    @override
    def after(self, node: int) -> Row:
        return self.coded_after(node).row


class Tally:
    """What the levels below the top tested and accepted in one round."""

    def __init__(self) -> None:
        self._tested = 0
        self._accepted = 0

    def add(self, tested: tuple[int, ...], accepted: int) -> None:
        """Count one inner verification."""
        self._tested += len(tested)
        self._accepted += accepted

    @property
    def stats(self) -> tuple[tuple[str, float], ...]:
        """The round's figures."""
        return (("inner_tested", float(self._tested)), ("inner_accepted", float(self._accepted)))
