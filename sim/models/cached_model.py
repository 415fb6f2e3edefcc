"""What every model with a key-value cache does alike: match texts, take slots, cut batches into passes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Iterator, Sequence
from itertools import zip_longest

import numpy as np
import numpy.typing as npt

from sim.models.interface import CacheMatch, ForwardPass, LanguageModel, Logits
from sim.models.kv_store import KvStore
from sim.models.layout import Chunk, Original

PREFILL_CHUNK = 256  # tokens of one text fed at once; bounds activations and attention scores
PASS_TOKENS = 2048  # padded tokens of one pass
ALWAYS_TOGETHER = 16  # chunks up to this length share a pass, however unequal


class CachedModel(LanguageModel):
    """A language model whose keys and values live in a ``KvStore``; subclasses feed the chunks.

    A cached text is not fed again. Physical reuse follows the logical books (``new_tokens``) until a slot is evicted;
    then the text is fed anew and the rows are the same up to rounding.

    Logits of the same text agree between batches, chunk sizes and cached lengths up to floating-point rounding, not
    bit by bit: matrix kernels sum in an order that depends on the shapes.
    """

    _store: KvStore

    @abstractmethod
    def unusable_tensor(self) -> str | None:
        """Name of a weight that holds infinite values or no numbers, if there is one."""

    def cause_of_unusable(self) -> str:
        """A damaged weight, or an overflow of the arithmetic."""
        tensor, is_half = self.unusable_tensor(), str(self._store.dtype) == "torch.float16"
        if tensor is not None and is_half:
            return f"{tensor} holds values that are not finite in float16: set models.dtype, or the file is damaged"
        if tensor is not None:
            return f"its weights are damaged ({tensor} holds values that are not finite)"
        if is_half:
            return "float16 overflows above 65,504; set models.dtype to bfloat16 or float32"
        return "its activations overflow although its weights are finite; the checkpoint may be damaged"

    @abstractmethod
    def _feed(self, chunks: Sequence[Chunk]) -> list[Logits]:
        """Run one pass, writing keys and values; returns for each chunk its last ``num_rows`` rows, over vocab_size."""

    def _run(self, batch: Sequence[ForwardPass]) -> list[Logits]:
        if not batch:
            return []
        num_columns = max(len(forward.context) + len(forward.block) for forward in batch)
        limit = self._store.slot_limit(num_columns)
        rows: list[Logits] = []
        for first in range(0, len(batch), limit):
            rows.extend(self._run_resident(batch[first : first + limit], num_columns))
        return rows

    def _run_resident(self, batch: Sequence[ForwardPass], num_columns: int) -> list[Logits]:
        store = self._store
        matches = [store.text(forward.session).match(forward) for forward in batch]
        slots = store.admit([forward.session for forward in batch], num_columns)
        for forward, match, slot in zip(batch, matches, slots, strict=True):
            reused = match.reused_context
            store.void(forward.session, min(reused, match.chain_length))
            if reused > match.chain_length:
                _walk_path(store, slot, match, reused - match.chain_length)
        plans = [
            plan_chunks(slot, forward, match, store.original(forward.session))
            for forward, match, slot in zip(batch, matches, slots, strict=True)
        ]
        rows: dict[int, Logits] = {}
        if len(plans) == 1:
            for chunk in plans[0]:
                rows[0] = self._feed([chunk])[0]
        else:
            for stage in zip_longest(*plans):
                present = [(index, chunk) for index, chunk in enumerate(stage) if chunk is not None]
                for group in group_chunks(present):
                    fed = self._feed([chunk for _, chunk in group])
                    rows.update((index, own) for (index, _), own in zip(group, fed, strict=True))
        for forward in batch:
            store.text(forward.session).remember(forward)
        return [rows[index] for index in range(len(batch))]

    def max_sessions(self, num_tokens: int) -> int:
        """How many the store has slots for."""
        return self._store.slot_limit(num_tokens)

    def reserve(self, num_sessions: int, num_tokens: int) -> None:
        """Make room for so many sessions at once, as far as it fits."""
        self._store.reserve(num_sessions, num_tokens)

    def copy_session(self, source: Hashable, target: Hashable) -> None:
        """Let a session go on from the text of another one; where the other has lost its slot, the text is fed anew."""
        super().copy_session(source, target)
        self._store.copy(source, target)

    def close(self, session: Hashable) -> None:
        """Forget a session and free its slot."""
        super().close(session)
        self._store.forget(session)

    def forget_all(self) -> None:
        """Forget all sessions and the store's layout, so that nothing depends on what was computed before."""
        super().forget_all()
        self._store.clear()


def _walk_path(store: KvStore, slot: int, match: CacheMatch, num_walked: int) -> None:
    """Where the context went on along the cached block's nodes, move their columns into the chain."""
    length = match.chain_length
    store.move_columns(slot, [length + node for node in match.path[:num_walked]], target=length)


def plan_chunks(slot: int, forward: ForwardPass, match: CacheMatch, original: Original) -> list[Chunk]:
    """Cut what a forward feeds into chunks of at most ``PREFILL_CHUNK`` tokens; block and wanted rows stay whole."""
    context = forward.context
    length = len(context)
    column, reused_nodes = match.reused_context, match.reused_nodes
    chunks: list[Chunk] = []
    last_split = length - 1 if forward.first_row == 0 else length
    while length - column + len(forward.block) > PREFILL_CHUNK and column < last_split:
        stop = min(column + PREFILL_CHUNK, last_split)
        chunks.append(Chunk(slot, column, tuple(context[column:stop]), 0, length, original=original))
        column = stop
    tokens = (*context[column:], *forward.block[reused_nodes:])
    start = column + reused_nodes
    if is_chain(forward):
        chunks.append(Chunk(slot, start, tokens, forward.num_rows, length, original=original))
    else:
        ancestors = ancestor_matrix(forward.parent_nodes)
        chunks.append(Chunk(slot, start, tokens, forward.num_rows, length, ancestors, forward.depths, original))
    return chunks


def is_chain(forward: ForwardPass) -> bool:
    """Whether every block node follows the one before it."""
    return forward.parents is None or all(parent == node - 1 for node, parent in enumerate(forward.parents))


def ancestor_matrix(parents: Sequence[int]) -> npt.NDArray[np.bool_]:
    """Which nodes lie on each node's path, itself included; [num_nodes, num_nodes], bool."""
    seen = np.eye(len(parents), dtype=bool)
    for node, parent in enumerate(parents):
        if parent >= 0:
            seen[node] |= seen[parent]
    return seen


def group_chunks(chunks: Sequence[tuple[int, Chunk]]) -> Iterator[list[tuple[int, Chunk]]]:
    """Put chunks of similar length together: little padding, and at most ``PASS_TOKENS`` padded tokens in a pass.

    Pieces of one length stand in the order of their slots, as their keys and values do.
    """
    group: list[tuple[int, Chunk]] = []
    for index, chunk in sorted(chunks, key=lambda item: (len(item[1].tokens), item[1].slot)):
        count = len(chunk.tokens)
        if group:
            unequal = count > max(ALWAYS_TOGETHER, 2 * len(group[0][1].tokens))
            if unequal or count * (len(group) + 1) > PASS_TOKENS:
                yield group
                group = []
        group.append((index, chunk))
    if group:
        yield group
