"""Which windows of the token stream each training step sees: a function of (seed, step) alone."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

BLOCK_TOKENS = 512
"""The longest training window; short windows are its halves."""

LONG_WINDOW_EVERY = 4
"""Every fourth step trains on whole blocks, the others on halves: most of the learning at half the attention."""


class BlockSampler:
    """Cuts a token stream into blocks, shuffled anew and cut at another offset in every epoch."""

    def __init__(self, stream: npt.NDArray[np.uint16], blocks_per_step: int, seed: int) -> None:
        self.blocks_per_epoch = len(stream) // BLOCK_TOKENS - 2
        if not 0 < blocks_per_step <= self.blocks_per_epoch:
            raise ValueError(f"blocks_per_step: got {blocks_per_step}, valid: 1 to {self.blocks_per_epoch}")
        self.stream = stream
        self.blocks_per_step = blocks_per_step
        self.seed = seed
        self._starts = lru_cache(maxsize=2)(self._epoch_starts)

    @property
    def tokens_per_step(self) -> int:
        """Predicted tokens in one step."""
        return self.tokens_in(self.blocks_per_step)

    @staticmethod
    def tokens_in(num_blocks: int) -> int:
        """Tokens in a number of blocks."""
        return num_blocks * BLOCK_TOKENS

    def inputs_and_labels(self, step: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Token ids and their successors, both [batch, window], of step `step`."""
        first = step * self.blocks_per_step
        blocks = []
        for index in range(first, first + self.blocks_per_step):
            epoch, place = divmod(index, self.blocks_per_epoch)
            start = self._starts(epoch)[place]
            blocks.append(self.stream[start : start + BLOCK_TOKENS + 1])
        ids = np.stack(blocks).astype(np.int64)
        window = BLOCK_TOKENS if step % LONG_WINDOW_EVERY == LONG_WINDOW_EVERY - 1 else BLOCK_TOKENS // 2
        return ids[:, :-1].reshape(-1, window), ids[:, 1:].reshape(-1, window)

    def _epoch_starts(self, epoch: int) -> npt.NDArray[np.int64]:
        generator = np.random.Generator(np.random.Philox(key=[self.seed, epoch]))
        offset = generator.integers(BLOCK_TOKENS)
        return generator.permutation(self.blocks_per_epoch) * BLOCK_TOKENS + offset
