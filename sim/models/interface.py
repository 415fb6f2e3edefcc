"""The interface of language models: named, content-addressed, and able to run batches of forward passes."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sim.core.errors import InputError
from sim.models.importance import Weights, importance

if TYPE_CHECKING:
    from sim.models.tokenizer import TextTokenizer

Logits = npt.NDArray[np.floating]  # [num_rows, vocab_size]


@dataclass(frozen=True, slots=True)
class ForwardPass:
    """One forward pass over one request's text, optionally followed by a block of drafted tokens.

    Row 0 is the distribution that follows the context's last token, row 1 + i the one that follows block node i.
    Only the rows from ``first_row`` on are returned.

    Attributes:
        session: Which key-value cache this text lives in; one per (request, model).
        context: Token ids of the committed text, at least one.
        block: Token ids of drafted nodes after the context.
        parents: Parent of each node as an index into ``block``, -1 for the context's last token; a node's parent
            comes before the node. None means a chain.
        first_row: First row wanted; earlier positions are only fed to the model if its cache lacks them.
        with_importance: Whether each row of a chain has one more column, the ``importance`` of the token it follows.
    """

    session: Hashable
    context: Sequence[int]
    block: Sequence[int] = ()
    parents: tuple[int, ...] | None = None
    first_row: int = 0
    with_importance: bool = False

    def __post_init__(self) -> None:
        if self.with_importance and self.parents is not None:
            raise ValueError("importance is told of chains")
        if not self.context:
            raise ValueError("a forward needs at least one token of context")
        if self.parents is not None:
            if len(self.parents) != len(self.block):
                raise ValueError(f"{len(self.block)} block tokens but {len(self.parents)} parents")
            if any(not -1 <= parent < node for node, parent in enumerate(self.parents)):
                raise ValueError(f"every node's parent must come before it, got parents {self.parents}")
        if not 0 <= self.first_row <= len(self.block):
            raise ValueError(f"first_row must lie in 0..{len(self.block)}, got {self.first_row}")

    @property
    def parent_nodes(self) -> tuple[int, ...]:
        """Parent index of every block node, a chain spelled out."""
        return tuple(range(-1, len(self.block) - 1)) if self.parents is None else self.parents

    @property
    def depths(self) -> tuple[int, ...]:
        """Distance of every block node from the context's last token, 1 for its children."""
        depths: list[int] = []
        for parent in self.parent_nodes:
            depths.append(1 if parent < 0 else depths[parent] + 1)
        return tuple(depths)

    @property
    def text_length(self) -> int:
        """Length of the longest text the forward looks at: the context and the deepest path of the block."""
        return len(self.context) + (len(self.block) if self.parents is None else max(self.depths, default=0))

    @property
    def num_rows(self) -> int:
        """How many rows the forward returns."""
        return 1 + len(self.block) - self.first_row


@dataclass(slots=True)
class CachedText:
    """What one key-value cache holds: a chain of tokens, and after it the nodes of the last block."""

    chain: list[int] = field(default_factory=list)
    block: Sequence[int] = ()
    parents: tuple[int, ...] = ()

    def match(self, forward: ForwardPass) -> CacheMatch:
        """Find how much of a forward is cached already.

        The chain is matched token by token, then the context may walk on along a path of the cached block, and if
        it ends exactly at the cached chain's end, the new block may repeat a prefix of the cached one.
        """
        context = forward.context
        chain = self.chain
        limit = min(len(context), len(chain))
        if list(context[:limit]) == chain[:limit]:
            length = limit
        else:
            length = next(i for i in range(limit) if context[i] != chain[i])
        if length < len(chain):
            return CacheMatch(length, (), 0, forward)
        if length == len(context):
            return CacheMatch(length, (), self._shared_nodes(forward), forward)
        return CacheMatch(length, self._path_along(context[length:]), 0, forward)

    def _path_along(self, tokens: Sequence[int]) -> tuple[int, ...]:
        """Nodes of the block by which a text goes on from the chain's end, as far as there are any."""
        path: list[int] = []
        node = -1
        for token in tokens:
            nodes = enumerate(zip(self.block, self.parents, strict=True))
            node = next((child for child, own in nodes if own == (token, node)), -1)
            if node < 0:
                break
            path.append(node)
        return tuple(path)

    def _shared_nodes(self, forward: ForwardPass) -> int:
        """How many nodes the block has in common with that of a forward, from the first one on."""
        shared = 0
        if self.block and forward.block:
            nodes = zip(self.block, forward.block, self.parents, forward.parent_nodes, strict=False)
            for own, other, own_parent, other_parent in nodes:
                if own != other or own_parent != other_parent:
                    break
                shared += 1
        return shared

    def copy(self) -> CachedText:
        """The same text, to be changed apart from this one."""
        return CachedText(list(self.chain), self.block, self.parents)

    def remember(self, forward: ForwardPass) -> None:
        """Note that the forward's context and block are cached now."""
        self.chain = list(forward.context)
        self.block = forward.block
        self.parents = forward.parent_nodes


@dataclass(frozen=True, slots=True)
class CacheMatch:
    """How much of a forward a cache holds.

    Attributes:
        chain_length: Leading context tokens found in the cached chain.
        path: Cached block nodes that hold the next context tokens, in order.
        shared_nodes: Leading block nodes of the forward that are cached as block nodes already.
    """

    chain_length: int
    path: tuple[int, ...]
    shared_nodes: int
    forward: ForwardPass

    @property
    def reused_context(self) -> int:
        """Context tokens that need not be fed again; the last one must be where its row is wanted."""
        last = len(self.forward.context) - (1 if self.forward.first_row == 0 else 0)
        return min(self.chain_length + len(self.path), last)

    @property
    def reused_nodes(self) -> int:
        """Block nodes that need not be fed again, because they are cached and their rows are not wanted."""
        if self.reused_context < len(self.forward.context):
            return 0
        return min(self.shared_nodes, max(0, self.forward.first_row - 1))

    @property
    def new_tokens(self) -> int:
        """Tokens that the forward must feed to the model."""
        forward = self.forward
        return len(forward.context) - self.reused_context + len(forward.block) - self.reused_nodes


class LanguageModel(ABC):
    """A causal language model behind a batch of forward passes.

    Attributes:
        name: What the user called it.
        vocab_size: Number of meaningful token ids; every row has this width.
        max_context: Longest text, prompt and generated tokens together.
        eos_ids: Ids that end a text.
        bos_id: Id that stands in for an empty prompt.
        fingerprint: Content hash of weights, tokenizer and numerics.
        num_parameters: Parameter count, embeddings included once.
        notes: What a user should know of it, one sentence each: a context that was cut, a vocabulary that was widened.
        tokenizer: Text to ids and back, where the model came with one.
        numerics: What else the last digits of its logits depend on: libraries by version, a GPU by name.
    """

    name: str
    vocab_size: int
    max_context: int
    eos_ids: frozenset[int]
    bos_id: int
    fingerprint: str
    num_parameters: int
    notes: tuple[str, ...] = ()
    tokenizer: TextTokenizer | None = None
    numerics: str = ""

    def __init__(self) -> None:
        self._texts: dict[Hashable, CachedText] = {}

    def new_tokens(self, forward: ForwardPass) -> int:
        """Tokens this forward must feed, given what its session's cache holds; what its computation is priced by."""
        return self._texts.get(forward.session, CachedText()).match(forward).new_tokens

    def forward(self, batch: Sequence[ForwardPass]) -> list[Logits]:
        """Run a batch; returns for each forward its logits [num_rows, vocab_size], and its importances behind them.

        Raises:
            ValueError: A text is longer than ``max_context``, or two forward passes of the batch share a session.
            InputError: The model's logits are not finite.
        """
        if len({forward.session for forward in batch}) != len(batch):
            raise ValueError("two forward passes of one batch share a session")
        for forward in batch:
            self._check_length(forward)
        asks = any(forward.with_importance for forward in batch)
        logits = self._run([replace(one, with_importance=False) for one in batch] if asks else batch)
        for forward, rows in zip(batch, logits, strict=True):
            self.refuse_unusable(rows, forward.session, forward)
            self._note_cached(forward)
        return [self._with_importance(*both) for both in zip(batch, logits, strict=True)] if asks else logits

    def _with_importance(self, forward: ForwardPass, rows: Logits) -> Logits:
        """Rows with a column of importances, if the forward asks for them."""
        if not forward.with_importance:
            return rows
        texts = ([*forward.context, *forward.block[: forward.first_row + place]] for place in range(len(rows)))
        column = np.array([[importance(self.attention(text))] for text in texts], dtype=rows.dtype)
        return np.concatenate([rows, column], axis=1)

    def attention(self, text: Sequence[int]) -> Weights:  # noqa: ARG002 (most models have none)
        """What a text's last token attends to in the last layer, mean over heads, [num_tokens].

        Raises:
            InputError: The model does not tell.
        """
        raise InputError(f"{self.name} does not tell its attention; valid: checkpoints of transformers")

    def refuse_unusable(self, rows: Logits, session: Hashable = None, forward: ForwardPass | None = None) -> None:
        """Refuse logits that no probabilities can be made of.

        Args:
            rows: [num_rows, vocab_size]; -inf is probability zero, but a row's largest must be finite.
            session: Whose; by convention its last part is the model's role.
            forward: What they are of.

        Raises:
            InputError: A row holds infinity or a value that is no number; the message names model, role, place and
                cause.
        """
        # A maximum over values with one that is no number is no number.
        is_usable = np.isfinite(rows.max(axis=-1))
        if not is_usable.all():
            role = session[-1] if isinstance(session, tuple) and session and isinstance(session[-1], str) else None
            of = f"{self.name!r}, the {role} model," if role else repr(self.name)
            place = "" if forward is None else f" after {_read_by(forward, int(is_usable.argmin()))} tokens of a text"
            raise InputError(f"logits of {of} are not finite{place}: {self.cause_of_unusable()}")

    def cause_of_unusable(self) -> str:
        """The likely cause of logits that are not finite."""
        return "the model returns them so"

    def _check_length(self, forward: ForwardPass) -> None:
        if forward.text_length > self.max_context:
            raise ValueError(
                f"{self.name}: a text of {forward.text_length} tokens exceeds its context of {self.max_context}"
            )

    def _note_cached(self, forward: ForwardPass) -> None:
        self._texts.setdefault(forward.session, CachedText()).remember(forward)

    @abstractmethod
    def _run(self, batch: Sequence[ForwardPass]) -> list[Logits]:
        """Compute the logits; ``self._texts`` still describes the caches as they were before this batch."""

    def max_sessions(self, num_tokens: int) -> int:  # noqa: ARG002
        """Sessions of so many tokens each that can be cached at once; one more would push another one out."""
        return sys.maxsize

    def reserve(self, num_sessions: int, num_tokens: int) -> None:  # noqa: B027 (an offer that most may ignore)
        """Reserve memory for so many sessions of so many tokens each."""

    def copy_session(self, source: Hashable, target: Hashable) -> None:
        """Let a session go on from the text of another one, as if it had been fed that text itself."""
        text = self._texts.get(source)
        if text is not None:
            self._texts[target] = text.copy()

    def close(self, session: Hashable) -> None:
        """Forget a session and free its cache."""
        self._texts.pop(session, None)

    def close_request(self, request_id: int) -> None:
        """Forget all sessions of one request; a session key starts with its request's id."""
        for session in [key for key in self._texts if isinstance(key, tuple) and key[0] == request_id]:
            self.close(session)

    def forget_all(self) -> None:
        """Forget all sessions, as if the model had just been loaded."""
        for session in list(self._texts):
            self.close(session)


def _read_by(forward: ForwardPass, row: int) -> int:
    """Length of the text that a row of a forward follows, in tokens."""
    node = forward.first_row + row - 1
    return len(forward.context) + (forward.depths[node] if node >= 0 else 0)
