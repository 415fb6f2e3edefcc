"""Key-value blocks: none is lost, none is counted twice, and prefixes are found as long as nobody needed their room."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.serving.blocks import BlockPool, block_hashes


def test_allocated_blocks_are_distinct_and_bounded() -> None:
    pool = BlockPool(4)
    blocks = pool.allocate(4)
    assert sorted(blocks) == [0, 1, 2, 3] and pool.num_available == 0 and pool.used_share == 1
    with pytest.raises(MemoryError, match="1 blocks wanted, 0 available"):
        pool.allocate(1)
    pool.release(blocks[:2])
    assert pool.num_used == 2 and pool.num_available == 2
    pool.check()


def test_an_unlimited_pool_reuses_what_was_released() -> None:
    pool = BlockPool(None)
    for _ in range(100):
        pool.release(pool.allocate(3))
    assert max(pool.allocate(3)) == 2 and pool.used_share == 0


def test_a_known_prefix_is_found_and_evicted_from_its_end() -> None:
    pool = BlockPool(4)
    hashes = block_hashes(range(48), 16, shared_tokens=48, salt=None)
    blocks = pool.allocate(3)
    for block, block_hash in zip(blocks, hashes, strict=True):
        pool.register(block, block_hash)
    pool.release(blocks)
    assert pool.lookup(hashes) == blocks and pool.num_cached == 3 and pool.num_available == 4
    pool.allocate(2)  # one is free, the other is taken from the chain's end
    assert pool.lookup(hashes) == blocks[:2] and pool.num_evicted == 1
    pool.acquire(pool.lookup(hashes))
    assert pool.num_used == 4 and pool.num_available == 0
    pool.check()


def test_hashes_follow_prefix_and_salt() -> None:
    text, other = list(range(64)), [*range(32), *range(100, 132)]
    ours, theirs = block_hashes(text, 16, 64, None), block_hashes(other, 16, 64, None)
    assert ours[:2] == theirs[:2] and ours[2] != theirs[2] and ours[3] != theirs[3]
    assert block_hashes(text, 16, 40, None) == ours[:2]  # the third block reaches beyond what may be shared
    private = block_hashes(text, 16, 32, salt=7)
    assert private[:2] == ours[:2] and private[2:] != ours[2:]
    assert block_hashes(text, 16, 32, salt=7) == private != block_hashes(text, 16, 32, salt=8)
    assert block_hashes(text[:60], 16, 64, None) == ours[:3]
    # A block's content alone does not tell: what is in memory depends on all that stands before it.
    behind_other = block_hashes([*range(100, 116), *text[16:]], 16, 64, None)
    assert not set(behind_other) & set(ours)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 12), st.lists(st.tuples(st.integers(0, 5), st.integers(0, 40)), max_size=60))
def test_blocks_are_conserved_whatever_is_done(num_blocks: int, actions: list[tuple[int, int]]) -> None:
    pool = BlockPool(num_blocks)
    held: list[list[int]] = []
    for action, amount in actions:
        hashes = block_hashes([amount % 3] * 16 * 4, 16, 64, None)
        if action <= 1 and amount % 5 <= pool.num_available:
            blocks = pool.allocate(amount % 5)
            for block, block_hash in zip(blocks, hashes, strict=False):
                pool.register(block, block_hash)
            held.append(blocks)
        elif action == 2:
            blocks = pool.lookup(hashes)
            pool.acquire(blocks)
            held.append(blocks)
        elif held:
            pool.release(held.pop(amount % len(held)))
        pool.check()
        assert pool.num_used + pool.num_available == num_blocks
    for blocks in held:
        pool.release(blocks)
    pool.check()
    assert pool.num_used == 0 and pool.num_available == num_blocks
