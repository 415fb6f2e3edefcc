"""Key-value memory in blocks, as vLLM manages it: reference counts, prefix cache by block hash, LRU eviction.

W. Kwon et al., "Efficient memory management for large language model serving with PagedAttention", SOSP 2023.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence


class BlockPool:
    """The blocks of one model's key-value memory on one server.

    A block is used (referenced by one sequence or more), free, or cached: referenced by nobody, but still holding a
    known prefix, and taken back for new content in least-recently-used order when no block is free.

    Args:
        num_blocks: Blocks that fit into memory; None if memory is not limited.
    """

    def __init__(self, num_blocks: int | None) -> None:
        if num_blocks is not None and num_blocks < 1:
            raise ValueError(f"key-value memory needs at least one block, got {num_blocks}")
        self.num_blocks = num_blocks
        self.num_used = 0
        self.num_evicted = 0
        self._num_created = 0
        self._free: list[int] = []
        self._cached: OrderedDict[int, None] = OrderedDict()
        self._references: dict[int, int] = {}
        self._hash_of: dict[int, int] = {}
        self._block_of: dict[int, int] = {}

    @property
    def num_cached(self) -> int:
        """Blocks that nobody references and that hold a known prefix."""
        return len(self._cached)

    @property
    def num_available(self) -> float:
        """Blocks that can be allocated now: free and cached ones; infinite if memory is not limited."""
        return float("inf") if self.num_blocks is None else self.num_blocks - self.num_used

    @property
    def used_share(self) -> float:
        """Share of the memory that sequences reference, 0 if memory is not limited."""
        return 0.0 if self.num_blocks is None else self.num_used / self.num_blocks

    def lookup(self, hashes: Iterable[int]) -> list[int]:
        """Blocks that hold the longest known prefix of a chain of block hashes; none is referenced by this."""
        found = []
        for block_hash in hashes:
            block = self._block_of.get(block_hash)
            if block is None:
                break
            found.append(block)
        return found

    def acquire(self, blocks: Sequence[int]) -> None:
        """Reference known blocks once more."""
        for block in blocks:
            count = self._references.get(block, 0)
            if count == 0:
                del self._cached[block]
                self.num_used += 1
            self._references[block] = count + 1

    def allocate(self, count: int) -> list[int]:
        """Take blocks for new content, each referenced once.

        Raises:
            MemoryError: Fewer than ``count`` blocks are available.
        """
        if count > self.num_available:
            raise MemoryError(f"{count} blocks wanted, {self.num_available:g} available")
        taken = []
        for _ in range(count):
            block = self._take()
            self._references[block] = 1
            taken.append(block)
        self.num_used += len(taken)
        return taken

    def _take(self) -> int:
        if self._free:
            return self._free.pop()
        if self.num_blocks is None or self._num_created < self.num_blocks:
            self._num_created += 1
            return self._num_created - 1
        block, _ = self._cached.popitem(last=False)
        del self._block_of[self._hash_of.pop(block)]
        self.num_evicted += 1
        return block

    def register(self, block: int, block_hash: int) -> None:
        """Note which prefix a referenced block holds; the first block that holds a prefix stands for it."""
        if block_hash not in self._block_of and block not in self._hash_of:
            self._block_of[block_hash] = block
            self._hash_of[block] = block_hash

    def release(self, blocks: Sequence[int]) -> None:
        """Reference blocks once less; a chain's last block is the first to be evicted later."""
        for block in reversed(blocks):
            count = self._references[block] - 1
            if count:
                self._references[block] = count
                continue
            del self._references[block]
            self.num_used -= 1
            if block in self._hash_of:
                self._cached[block] = None
            else:
                self._free.append(block)

    def forget(self) -> None:
        """Free the cached blocks: nobody finds their prefixes any more."""
        for block in self._cached:
            del self._block_of[self._hash_of.pop(block)]
            self._free.append(block)
        self._cached.clear()

    def check(self) -> None:
        """Conservation: every block is used, free or cached, and only one of these.

        Raises:
            AssertionError: One is lost, or counted twice.
        """
        used, cached, free = set(self._references), set(self._cached), set(self._free)
        assert len(free) == len(self._free), "a block is free twice"
        assert used.isdisjoint(cached) and used.isdisjoint(free) and cached.isdisjoint(free), "a block in two states"
        assert len(used) == self.num_used, "the count of used blocks is wrong"
        assert len(used) + len(cached) + len(free) == self._num_created, "a block is lost"
        assert all(count > 0 for count in self._references.values()), "a reference count is not positive"
        assert {self._block_of[h]: h for h in self._block_of} == self._hash_of, "hashes and blocks do not agree"
        assert cached <= set(self._hash_of), "a cached block without a hash"
        assert self.num_blocks is None or self._num_created <= self.num_blocks, "more blocks than memory"


def block_hashes(tokens: Sequence[int], block_tokens: int, shared_tokens: int, salt: int | None) -> list[int]:
    """Hashes of the full blocks of a text, each over the block's tokens and the hash before it.

    Blocks that reach beyond the first ``shared_tokens`` are hashed with the salt, so that they only equal blocks of
    the same salt; without a salt they are left out.

    Args:
        tokens: The text.
        block_tokens: Tokens per block.
        shared_tokens: Leading tokens that any request may share.
        salt: Who may share the others, such as a chat session's number; None if nobody may.
    """
    hashes: list[int] = []
    parent = 0
    for start in range(0, len(tokens) - block_tokens + 1, block_tokens):
        end = start + block_tokens
        if end > shared_tokens and salt is None:
            break
        content = tuple(tokens[start:end])
        parent = hash((parent, content) if end <= shared_tokens else (parent, content, salt))
        hashes.append(parent)
    return hashes


TEXT_BLOCK_TOKENS = 512


def hashes_of_text_blocks(text_blocks: Sequence[int], block_tokens: int, num_tokens: int) -> list[int]:
    """Hashes of the full blocks of a text of which only the names of its blocks of 512 tokens are known.

    Args:
        text_blocks: Their names; texts whose first n names are equal have their first n * 512 tokens in common.
        block_tokens: Tokens per block of memory.
        num_tokens: Length of the text.
    """
    hashes: list[int] = []
    parent = 0
    for start in range(0, num_tokens - block_tokens + 1, block_tokens):
        last = (start + block_tokens - 1) // TEXT_BLOCK_TOKENS
        names = tuple(text_blocks[start // TEXT_BLOCK_TOKENS : last + 1])
        parent = hash((parent, names, start))
        hashes.append(parent)
    return hashes
