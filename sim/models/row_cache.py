"""Rows remembered: a language model that computes no row twice, for protocols that must decode while simulating."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sim.models.interface import ForwardPass, LanguageModel, Logits
from sim.models.wrapped import WrappedModel

# Logits that one model may keep in memory; a row of 8,192 in float32 takes 33 kB.
MAX_BYTES = 1 << 30

TokenIds = tuple[int, ...]


class CachingModel(WrappedModel):
    """A model in front of another one, which it asks only for forward passes of which it lacks a row.

    A row is addressed by the text that it follows: it depends on nothing else, whichever round, draft length or
    request asks for it. What a forward is charged for (``new_tokens``) follows the texts that its sessions have seen,
    whether or not its rows were remembered, so time is the same as without a memory.

    Args:
        model: Computes what is not remembered.
        max_bytes: Logits kept. When they are full nothing more is kept: points of a sweep ask for the same rows in
            the same order, and least-recently-used eviction thrashes on such a cyclic scan.

    Attributes:
        num_run: Forwards that were run.
        num_remembered: Forwards that were not.
    """

    def __init__(self, model: LanguageModel, max_bytes: int = MAX_BYTES) -> None:
        super().__init__(model)
        self.max_bytes = max_bytes
        self.num_run = 0
        self.num_remembered = 0
        self._rows: dict[TokenIds, Logits] = {}
        self._bytes = 0

    def _run(self, batch: Sequence[ForwardPass]) -> list[Logits]:
        texts = [texts_of_rows(forward) for forward in batch]
        missing = [index for index, own in enumerate(texts) if not all(text in self._rows for text in own)]
        self.num_run += len(missing)
        self.num_remembered += len(batch) - len(missing)
        computed: dict[int, Logits] = {}
        if missing:
            fresh = self.model.forward([batch[index] for index in missing])
            computed = dict(zip(missing, fresh, strict=True))
        # Known rows first, so that none depends on what else its forward had to compute.
        results = [
            np.stack(
                [self._rows[text] if text in self._rows else computed[index][place] for place, text in enumerate(own)]
            )
            for index, own in enumerate(texts)
        ]
        for index in missing:
            for text, row in zip(texts[index], results[index], strict=True):
                self._remember(text, row)
        return results

    def _remember(self, text: TokenIds, row: Logits) -> None:
        if text not in self._rows and self._bytes + row.nbytes <= self.max_bytes:
            # A copy of its own: rows are views on the whole forward's logits.
            self._rows[text] = np.array(row)
            self._bytes += row.nbytes


def texts_of_rows(forward: ForwardPass) -> list[TokenIds]:
    """The text that each row of a forward follows, in the order of the rows."""
    context = tuple(forward.context)
    texts = [context]
    for token, parent in zip(forward.block, forward.parent_nodes, strict=True):
        texts.append((*texts[parent + 1], token))
    return texts[forward.first_row :]
