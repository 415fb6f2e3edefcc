"""Forwards remembered: a language model that runs no forward twice, for protocols that must decode while simulating."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence

import numpy as np

from sim.models.interface import Forward, LanguageModel, Logits

# Logits that one model may keep in memory; a row of 8,192 in float32 takes 33 kB.
MOST_BYTES = 512 << 20

Address = tuple[Hashable, ...]


class RememberingModel(LanguageModel):
    """A model in front of another one, which it asks only for forwards whose rows it does not remember.

    A forward is addressed by its text, block and first row: its rows depend on nothing else. What it is charged for
    (``new_tokens``) follows the texts that its sessions have seen, whether or not the rows were remembered, so time
    is the same as without a memory.

    Args:
        model: Runs what is not remembered.
        most_bytes: Logits kept, least recently used forgotten first.
    """

    def __init__(self, model: LanguageModel, most_bytes: int = MOST_BYTES) -> None:
        super().__init__()
        self.model = model
        self.name = model.name
        self.vocab_size = model.vocab_size
        self.max_context = model.max_context
        self.eos_ids = model.eos_ids
        self.bos_id = model.bos_id
        self.fingerprint = model.fingerprint
        self.num_parameters = model.num_parameters
        self.most_bytes = most_bytes
        self.num_run = 0
        self.num_remembered = 0
        self._rows: OrderedDict[Address, Logits] = OrderedDict()
        self._bytes = 0

    def _run(self, batch: Sequence[Forward]) -> list[Logits]:
        addresses = [
            (tuple(forward.context), forward.block, forward.parent_nodes, forward.first_row) for forward in batch
        ]
        known = {address: rows for address in addresses if (rows := self._recall(address)) is not None}
        missing = [index for index, address in enumerate(addresses) if address not in known]
        self.num_run += len(missing)
        self.num_remembered += len(batch) - len(missing)
        if missing:
            fresh = self.model.forward([batch[index] for index in missing])
            for index, rows in zip(missing, fresh, strict=True):
                known[addresses[index]] = rows
                self._remember(addresses[index], rows)
        return [known[address] for address in addresses]

    def _recall(self, address: Address) -> Logits | None:
        rows = self._rows.get(address)
        if rows is not None:
            self._rows.move_to_end(address)
        return rows

    def _remember(self, address: Address, rows: Logits) -> None:
        if rows.nbytes > self.most_bytes or address in self._rows:
            return
        # A copy of its own: rows are views on the whole batch's logits.
        kept = np.array(rows)
        self._rows[address] = kept
        self._bytes += kept.nbytes
        while self._bytes > self.most_bytes:
            self._bytes -= self._rows.popitem(last=False)[1].nbytes

    def close(self, session: Hashable) -> None:
        """Forget a session's text here and in the model behind; remembered rows stay."""
        super().close(session)
        self.model.close(session)

    def close_request(self, request_id: int) -> None:
        """Forget all sessions of one request, here and in the model behind."""
        super().close_request(request_id)
        self.model.close_request(request_id)

    def forget_all(self) -> None:
        """Forget all sessions, here and in the model behind; remembered rows stay."""
        super().forget_all()
        self.model.forget_all()
