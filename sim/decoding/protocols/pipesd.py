"""PipeSD: the draft goes up in parts while drafting goes on, cut where an exact dynamic program says (2605.13319).

Where the draft is cut and when its parts fly is a matter of time alone: tokens, rows and random numbers are those of
the draft that is sent whole, and so is the text.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import lru_cache
from typing import Any, Literal

from pydantic import Field, model_validator
from typing_extensions import override

from sim.decoding.core.controller import Controls
from sim.decoding.core.draft_tree import DraftTree
from sim.decoding.core.drafting import draft_tree
from sim.decoding.core.messages import DraftLayout, Layout, Message, VerdictLayout
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.request import Request
from sim.decoding.core.rows import Row
from sim.decoding.core.steps import Hop, Join, Protocol, Start, Started, Step, Transmit
from sim.decoding.core.wire.bits import BitReader, BitWriter
from sim.decoding.core.wire.row_codec import RowCodec, RowFormat
from sim.decoding.protocols.registry import ChainSettings, protocol
from sim.decoding.protocols.rounds import speculative_rounds
from sim.decoding.verification.base import find_rule
from sim.decoding.verification.round import finish_round, target_rows, verify


class PipesdSettings(ChainSettings, RowFormat):
    """Keys of ``pipesd``; times are those of a profile taken beforehand, by which the cuts are chosen."""

    draft_length: int = Field(default=8, ge=1, le=64)
    """Most tokens drafted per round (gamma)."""
    cuts: Literal["optimal", "stop_and_wait", "every_token"] = "optimal"
    """Where the draft is cut into parts: by the dynamic program, not at all, or behind each token."""
    draft_token_s: float = Field(default=0.01, ge=0)
    """Profile: seconds to draft one token."""
    part_s: float = Field(default=0.001, ge=0)
    """Profile: seconds that each part takes on the uplink beside its tokens (a)."""
    token_upload_s: float = Field(default=0.005, ge=0)
    """Profile: seconds on the uplink per token and row (b)."""
    token_threshold: float = Field(default=0.0, ge=0, le=1)
    """Verify once the draft gives the token that it has just drawn less than this probability."""
    sequence_threshold: float = Field(default=0.0, ge=0, le=1)
    """Verify once the product of these probabilities over the round falls below this."""

    @model_validator(mode="after")
    def _one_cut(self) -> PipesdSettings:
        if self.top_k is not None and self.top_p is not None:
            raise ValueError("set top_k or top_p, not both")
        return self

    def cut_points(self, length: int) -> tuple[int, ...]:
        """Numbers of drafted tokens after which a part is sent, of a draft of this length."""
        if self.cuts == "optimal":
            return best_cuts(length, self.draft_token_s, self.part_s, self.token_upload_s)[0]
        return tuple(range(1, length + 1)) if self.cuts == "every_token" else (length,)

    def confident(self, rows: Sequence[Row], tokens: Sequence[int]) -> bool:
        """Whether to draft on after these tokens; a matter of rows and tokens drawn, hence without bias."""
        probs = [row.prob(token) for row, token in zip(rows, tokens, strict=True)]
        product = 1.0
        for prob in probs:
            product *= prob
        return probs[-1] >= self.token_threshold and product >= self.sequence_threshold


@lru_cache(maxsize=1024)
def best_cuts(length: int, draft_token_s: float, part_s: float, token_upload_s: float) -> tuple[tuple[int, ...], float]:
    """The cuts with which a draft has been sent earliest, and when that is.

    dp[j] = min_i max(dp[i], gamma_t j) + a + b (j - i), in O(length^2) (arXiv 2605.13319); of equal ones, fewer parts.

    Args:
        length: Tokens of the draft.
        draft_token_s: gamma_t, seconds to draft one token.
        part_s: a, seconds per part.
        token_upload_s: b, seconds per token sent.

    Returns:
        Numbers of tokens after which a part is sent, ascending, the last one ``length``; and seconds from the beginning
        of drafting to the end of the last part.
    """
    ends: list[tuple[float, int, int]] = [(0.0, 0, 0)]  # seconds, parts, previous cut
    for j in range(1, length + 1):
        ends.append(
            min(
                (max(ends[i][0], draft_token_s * j) + part_s + token_upload_s * (j - i), ends[i][1] + 1, i)
                for i in range(j)
            )
        )
    cuts: list[int] = []
    at = length
    while at > 0:
        cuts.append(at)
        at = ends[at][2]
    return tuple(reversed(cuts)), ends[length][0]


def controls_of_rows(settings: PipesdSettings) -> tuple[str, ...]:
    """The controls: a number of entries per row can be adjusted unless a probability mass says where rows are cut."""
    return ("draft_length", *(() if settings.top_p is not None else ("top_k",)), "speculation")


@protocol("pipesd", PipesdSettings, lossless=True, controls=controls_of_rows, source="arXiv 2605.13319")
def pipesd(request: Request, settings: PipesdSettings, rng: RandomSource) -> Protocol:
    """Pipelined drafts: rows go up in parts while drafting goes on, until token or sequence confidence falls."""
    start = Controls.chain(settings.draft_length, settings.top_k)
    controller = request.controller
    longest = controller.upper_bound(start).draft_length
    codec = RowCodec(request.vocab_size, settings, varying_k="top_k" in controller.adjusts)
    part_layout = PartLayout(DraftLayout(codec, [1] * longest))
    verdict_layout = controller.on_verdicts(request, VerdictLayout(request.vocab_size, longest))
    rule = find_rule("single", "iid", 1)

    def keep_drafting(rows: Sequence[Row], tokens: Sequence[int]) -> bool:
        return settings.confident(rows, tokens) and controller.keep_drafting(rows, tokens)

    def ask() -> Message:
        return part_layout((DraftTree.empty(), True))

    def one_round(controls: Controls) -> Generator[Step, Any, None]:
        flying: list[Started] = []
        sent = 0
        cuts = settings.cut_points(request.draft_limit(controls.draft_length))

        def send_part(draft: DraftTree, is_last: bool) -> Generator[Step, Any, None]:
            nonlocal sent
            if is_last or len(draft.tokens) in cuts:
                message = part_layout((chain_from(draft, sent), is_last), tokens_at_stake=len(draft.tokens) + 1)
                flying.append((yield Start(carry_up(message))))
                sent = len(draft.tokens)

        draft = yield from draft_tree(
            request,
            (1,) * controls.draft_length,
            codec.cut_to(controls.top_k),
            rng,
            keep_drafting=keep_drafting,
            after_level=send_part,
        )
        if not draft.tokens:
            yield from send_part(draft, True)
        received = DraftTree.empty()
        for started in flying:
            part, _ = yield Join(started)
            append(received, part)
        rows = yield from target_rows(request, received)
        verdict = yield from verify(rows, received, rule, request.position, rng)
        received_verdict = yield Transmit(Hop.DOWNLINK, verdict_layout(verdict.wire))
        yield finish_round(request, draft, received_verdict, verdict)

    yield from speculative_rounds(request, start, one_round, rng, ask=ask)


def carry_up(message: Message) -> Generator[Step, Any, Any]:
    """A branch that sends one message."""
    return (yield Transmit(Hop.UPLINK, message))


def chain_from(draft: DraftTree, first: int) -> DraftTree:
    """The tokens of a chain from this one on, with their rows."""
    return append(DraftTree.empty(), draft, first)


def append(draft: DraftTree, part: DraftTree, first: int = 0) -> DraftTree:
    """Add the tokens of a chain, from ``first`` on, to the end of another."""
    for node in range(first, len(part.tokens)):
        draft.expand(len(draft.tokens) - 1, part.row_after(node - 1), [part.tokens[node]])
    return draft


class PartLayout(Layout):
    """Whether this is the draft's last part, one bit, and the part's tokens with their rows.

    Args:
        draft_layout: Writes a chain.
    """

    kind = "draft"

    def __init__(self, draft_layout: DraftLayout) -> None:
        self.draft_layout = draft_layout

    @override
    def write(self, writer: BitWriter, body: tuple[DraftTree, bool]) -> None:
        part, is_last = body
        writer.write(is_last, 1)
        self.draft_layout.write(writer, part)

    @override
    def read(self, reader: BitReader) -> tuple[DraftTree, bool]:
        is_last = bool(reader.read(1))
        return self.draft_layout.read(reader), is_last

    @override
    def measure(self, body: tuple[DraftTree, bool]) -> tuple[int, tuple[DraftTree, bool]]:
        part, is_last = body
        bits, received = self.draft_layout.measure(part)
        return 1 + bits, (received, is_last)

    @override
    def extra_bits(self, body: tuple[DraftTree, bool], wire_vocab_size: int) -> int:
        return self.draft_layout.extra_bits(body[0], wire_vocab_size)
