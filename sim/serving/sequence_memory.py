"""The key-value memory of one model's sequences: blocks as jobs need them, prefixes in common found again."""

from __future__ import annotations

from collections.abc import Sequence

from sim.serving.base import RequestInfo
from sim.serving.blocks import BlockPool, block_hashes, hashes_of_text_blocks
from sim.serving.sequence import SequenceState


class SequenceMemory:
    """Gives sequences the blocks of a pool, and knows which of these a later prompt can use again.

    Args:
        pool: The blocks.
        block_tokens: Tokens per block.
        prefix_cache: Whether prompts share the blocks of prefixes that they have in common.

    Attributes:
        pool: As given.
        prefix_queries: Prompt tokens looked up in the prefix cache.
        prefix_hits: Of these the ones found.
    """

    def __init__(self, pool: BlockPool, block_tokens: int, prefix_cache: bool) -> None:
        self.pool = pool
        self.prefix_queries = 0
        self.prefix_hits = 0
        self._block_tokens = block_tokens
        self._prefix_cache = prefix_cache

    def num_blocks(self, tokens: int) -> int:
        """Blocks that hold so many tokens."""
        return -(-tokens // self._block_tokens)

    def prompt_hashes(self, request: RequestInfo) -> list[int]:
        """Hashes of the full blocks of a request's prompt, as far as they may be shared."""
        if self._prefix_cache and request.text_blocks:
            return hashes_of_text_blocks(request.text_blocks, self._block_tokens, request.num_prompt_tokens)
        if self._prefix_cache and (request.shared_tokens or request.salt is not None):
            return self._hashes(request, request.prompt)
        return []

    def _hashes(self, request: RequestInfo, text: Sequence[int]) -> list[int]:
        return block_hashes(text, self._block_tokens, request.shared_tokens, request.salt)

    def admit(self, sequence: SequenceState) -> bool:
        """Give a sequence the blocks for its whole job, those of known prefixes shared; False if there are too few."""
        pending = sequence.pending[0]
        reusable = min(sequence.request.num_prompt_tokens, pending.extent - pending.job.size.num_rows)
        shared = self.pool.lookup(sequence.hashes[: reusable // self._block_tokens])
        self.pool.acquire(shared)
        missing = self.num_blocks(pending.extent) - len(shared)
        if missing > self.pool.num_available:
            self.pool.release(shared)
            return False
        sequence.blocks = [*shared, *self.pool.allocate(missing)]
        sequence.computed = len(shared) * self._block_tokens
        sequence.num_registered = len(shared)
        if self._prefix_cache and pending.job.base_tokens == 0:
            self.prefix_queries += sequence.request.num_prompt_tokens
            self.prefix_hits += sequence.computed
        return True

    def adopt(self, sequence: SequenceState, tokens: int) -> bool:
        """Give a sequence blocks with the keys and values of so many tokens; False if there are too few."""
        missing = self.num_blocks(tokens)
        if missing > self.pool.num_available:
            return False
        sequence.blocks = self.pool.allocate(missing)
        sequence.computed = tokens
        return True

    def num_missing(self, sequence: SequenceState) -> int:
        """Blocks that a sequence needs for the job at its head and does not hold; none or less if it has them all."""
        return self.num_blocks(sequence.pending[0].extent) - len(sequence.blocks)

    def extend(self, sequence: SequenceState, count: int) -> None:
        """Give a sequence so many blocks more, which must be available."""
        sequence.blocks += self.pool.allocate(count)

    def free(self, sequence: SequenceState) -> None:
        """Take a sequence's blocks."""
        self.pool.release(sequence.blocks)
        sequence.blocks = []
        sequence.computed = sequence.num_registered = 0

    def register(self, sequence: SequenceState) -> None:
        """Let the prefix cache know the full blocks that have been computed."""
        full = min(sequence.computed // self._block_tokens, len(sequence.hashes))
        for index in range(sequence.num_registered, full):
            self.pool.register(sequence.blocks[index], sequence.hashes[index])
        sequence.num_registered = max(sequence.num_registered, full)

    def register_text(self, sequence: SequenceState, text: Sequence[int]) -> None:
        """Let the prefix cache know the whole text of a request that has ended."""
        sequence.hashes = self._hashes(sequence.request, text)
        sequence.computed = min(sequence.computed, len(text) - 1)  # its last token was never fed
        self.register(sequence)
