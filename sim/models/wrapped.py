"""Models in front of another one: what they pass on, and those that make a model the draft of a pair."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np

from sim.models.fingerprint import combine
from sim.models.importance import Weights
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

    def attention(self, text: Sequence[int]) -> Weights:
        """That of the model behind."""
        return self.model.attention(text)

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


class PairedModel(WrappedModel):
    """A draft in one pair, with that pair's notes; the model behind may be the draft of others."""

    def _run(self, batch: Sequence[ForwardPass]) -> list[Logits]:
        return self.model.forward(batch)


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

    def attention(self, text: Sequence[int]) -> Weights:
        """That of the model behind, which reads ids that it does not know as the one that begins a text."""
        return self.model.attention(self._known_ids(text))

    def _known(self, forward: ForwardPass) -> ForwardPass:
        if max(*forward.context, max(forward.block, default=0)) < self.model.vocab_size:
            return forward
        return replace(forward, context=self._known_ids(forward.context), block=tuple(self._known_ids(forward.block)))

    def _known_ids(self, tokens: Sequence[int]) -> list[int]:
        return [token if token < self.model.vocab_size else self.model.bos_id for token in tokens]

    def _widened(self, rows: Logits) -> Logits:
        wide = np.full((len(rows), self.vocab_size), -np.inf, dtype=rows.dtype)
        wide[:, : rows.shape[1]] = rows
        return wide
