"""Models in front of another one: what they pass on, and the one that widens a vocabulary to that of its pair."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np

from sim.models.fingerprint import combine
from sim.models.interface import ForwardPass, LanguageModel, Logits


class WrappedModel(LanguageModel):
    """A language model that asks another one; subclasses say what they change.

    Args:
        model: The model behind.
        fingerprint: Content hash of the two together; the model's own if the logits are.
    """

    def __init__(self, model: LanguageModel, fingerprint: str | None = None) -> None:
        super().__init__()
        self.model = model
        self.name = model.name
        self.vocab_size = model.vocab_size
        self.max_context = model.max_context
        self.eos_ids = model.eos_ids
        self.bos_id = model.bos_id
        self.fingerprint = model.fingerprint if fingerprint is None else fingerprint
        self.num_parameters = model.num_parameters
        self.numerics = model.numerics
        self.notes = model.notes
        self.tokenizer = model.tokenizer

    def max_sessions(self, num_tokens: int) -> int:
        """How many the model behind can cache."""
        return self.model.max_sessions(num_tokens)

    def reserve(self, num_sessions: int, num_tokens: int) -> None:
        """Make room for so many sessions in the model behind."""
        self.model.reserve(num_sessions, num_tokens)

    def copy_session(self, source: Hashable, target: Hashable) -> None:
        """Let a session go on from the text of another one, here and in the model behind."""
        super().copy_session(source, target)
        self.model.copy_session(source, target)

    def close(self, session: Hashable) -> None:
        """Forget a session here and in the model behind."""
        super().close(session)
        self.model.close(session)

    def close_request(self, request_id: int) -> None:
        """Forget all sessions of one request, here and in the model behind."""
        super().close_request(request_id)
        self.model.close_request(request_id)

    def forget_all(self) -> None:
        """Forget all sessions, here and in the model behind."""
        super().forget_all()
        self.model.forget_all()


class WidenedModel(WrappedModel):
    """A draft whose vocabulary is the first part of its target's: ids that it does not know get probability zero.

    In texts such an id is fed as the id that begins a text; the model was never trained on it, whatever is fed.

    Args:
        model: The model of the narrower vocabulary.
        vocab_size: Width of the target's.
    """

    def __init__(self, model: LanguageModel, vocab_size: int) -> None:
        super().__init__(model, combine(["widened", model.fingerprint, vocab_size]))
        self.vocab_size = vocab_size

    def _run(self, batch: Sequence[ForwardPass]) -> list[Logits]:
        return [self._widened(rows) for rows in self.model.forward([self._known(forward) for forward in batch])]

    def _known(self, forward: ForwardPass) -> ForwardPass:
        width = self.model.vocab_size
        if max(*forward.context, max(forward.block, default=0)) < width:
            return forward

        def known(tokens: Sequence[int]) -> list[int]:
            return [token if token < width else self.model.bos_id for token in tokens]

        return replace(forward, context=known(forward.context), block=tuple(known(forward.block)))

    def _widened(self, rows: Logits) -> Logits:
        wide = np.full((len(rows), self.vocab_size), -np.inf, dtype=rows.dtype)
        wide[:, : rows.shape[1]] = rows
        return wide
