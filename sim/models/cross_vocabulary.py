"""A draft of another vocabulary: it proposes tokens whose text both have, and reads texts as tokens of its own.

Token-level intersection (Timor et al., "Accelerating LLM Inference with Lossless Speculative Decoding Algorithms for
Heterogeneous Vocabularies", arXiv 2502.05202, algorithm 4): the draft's row is cut to the shared tokens and normalised
again, so that it is a distribution over the target's ids like any other, and every verification rule stays exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sim.core.errors import InputError
from sim.models.fingerprint import combine
from sim.models.importance import Weights
from sim.models.interface import ForwardPass, LanguageModel, Logits
from sim.models.token_bytes import bytes_by_id
from sim.models.tokenizer import TextTokenizer
from sim.models.wrapped import WrappedModel

_ROLES = ("eos", "bos", "pad")


class VocabularyMap:
    """Ids of a target as ids of a draft.

    A token that both have stands for itself. Any other is read as the longest tokens of the draft that spell it, from
    left to right, whatever stands around it; so the draft's reading of a text grows with the text and never changes.

    Args:
        draft: The draft's tokenizer.
        target: The target's.
        begin_id: Id of the draft that stands for what it cannot spell, such as the target's special tokens.

    Attributes:
        shared: Ids of the draft [num_shared] that ``shared_targets`` are in the target's vocabulary.
        shared_targets: Their ids in the target, [num_shared], ascending.
    """

    shared: npt.NDArray[np.int64]
    shared_targets: npt.NDArray[np.int64]

    def __init__(self, draft: TextTokenizer, target: TextTokenizer, begin_id: int) -> None:
        self._begin_id = begin_id
        self._texts = bytes_by_id(target)
        own = bytes_by_id(draft)
        # Of two tokens with the same bytes the lower id counts.
        self._ids = {text: token for token, text in sorted(own.items(), reverse=True)}
        self._longest = max((len(text) for text in self._ids), default=0)
        self._known: dict[int, tuple[int, ...]] = {}
        pairs: dict[int, int] = {}
        for token, text in sorted(self._texts.items(), reverse=True):
            if text in self._ids:
                pairs[self._ids[text]] = token
        for role in _ROLES:
            mine, theirs = draft.special_ids.get(role), target.special_ids.get(role)
            if mine is not None and theirs is not None and theirs not in pairs.values():
                pairs[mine] = theirs
        by_target = sorted((target_id, draft_id) for draft_id, target_id in pairs.items())
        self.shared_targets = np.array([one for one, _ in by_target], dtype=np.int64)
        self.shared = np.array([one for _, one in by_target], dtype=np.int64)
        self._known.update((target_id, (draft_id,)) for target_id, draft_id in by_target)

    def read(self, token: int) -> tuple[int, ...]:
        """The draft's ids, at least one, for an id of the target."""
        found = self._known.get(token)
        if found is None:
            found = self._known[token] = tuple(self._spelled(self._texts.get(token, b""))) or (self._begin_id,)
        return found

    def within(self, draft_rows: int, target_rows: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Shared ids, the draft's and the target's, that have a place in rows of these widths."""
        is_within = (self.shared < draft_rows) & (self.shared_targets < target_rows)
        return self.shared[is_within], self.shared_targets[is_within]

    def _spelled(self, text: bytes) -> Iterator[int]:
        while text:
            for length in range(min(len(text), self._longest), 0, -1):
                token = self._ids.get(text[:length])
                if token is not None:
                    yield token
                    text = text[length:]
                    break
            else:
                yield self._begin_id
                text = text[1:]


@dataclass(frozen=True)
class _Reading:
    """A forward as the draft sees it, and where the rows that were asked for are among its own rows."""

    forward: ForwardPass
    rows: tuple[int, ...]


class CrossVocabularyModel(WrappedModel):
    """A draft that proposes, in the target's ids, tokens that both vocabularies have.

    Args:
        model: The draft, with its tokenizer.
        target: The target's tokenizer.
        vocab_size: Width of the target's rows.
        eos_ids: The target's ids that end a text.

    Raises:
        InputError: The vocabularies share no token.
    """

    def __init__(self, model: LanguageModel, target: TextTokenizer, vocab_size: int, eos_ids: frozenset[int]) -> None:
        if model.tokenizer is None:
            raise ValueError(f"{model.name} has no tokenizer")
        super().__init__(model, combine(["shared tokens", model.fingerprint, target.fingerprint, vocab_size]))
        self.vocab_size, self.eos_ids = vocab_size, eos_ids
        self._map = VocabularyMap(model.tokenizer, target, model.bos_id)
        self._shared, self._targets = self._map.within(model.vocab_size, vocab_size)
        if not len(self._shared):
            raise InputError(f"draft {model.name} and target {target.name} have no token in common")
        self.bos_id = int(self._targets[0]) if model.bos_id not in self._shared else self._target_of(model.bos_id)
        self.notes = (
            *model.notes,
            f"draft {model.name} has another vocabulary than target {target.name}: it proposes the {len(self._shared)} "
            f"of its {model.vocab_size} tokens that both have and reads other text as its own tokens",
        )

    def _target_of(self, draft_id: int) -> int:
        return int(self._targets[np.flatnonzero(self._shared == draft_id)[0]])

    def new_tokens(self, forward: ForwardPass) -> int:
        """Tokens of its own that the draft must feed for a forward in the target's ids."""
        return self.model.new_tokens(self._reading(forward).forward)

    def attention(self, text: Sequence[int]) -> Weights:
        """That of the draft over its own tokens of the text."""
        return self.model.attention([own for token in text for own in self._map.read(token)])

    def _run(self, batch: Sequence[ForwardPass]) -> list[Logits]:
        readings = [self._reading(forward) for forward in batch]
        for reading in readings:
            if reading.forward.text_length > self.model.max_context:
                raise InputError(
                    f"draft {self.name} reads a text as {reading.forward.text_length} tokens of its own, more than its "
                    f"context of {self.model.max_context}; shorten prompts or workload.max_new_tokens",
                    "models.draft",
                )
        found = self.model.forward([reading.forward for reading in readings])
        return [
            self._in_targets_ids(rows[[row - reading.forward.first_row for row in reading.rows]])
            for rows, reading in zip(found, readings, strict=True)
        ]

    def _in_targets_ids(self, rows: Logits) -> Logits:
        """Logits over the target's ids, of zero probability where the draft has no such token."""
        wide = np.full((len(rows), self.vocab_size), -np.inf, dtype=rows.dtype)
        wide[:, self._targets] = rows[:, self._shared]
        return wide

    def _reading(self, forward: ForwardPass) -> _Reading:
        context = [own for token in forward.context for own in self._map.read(token)]
        block: list[int] = []
        parents: list[int] = []
        ends: list[int] = []  # node that a block node of the forward ends at
        for token, parent in zip(forward.block, forward.parent_nodes, strict=True):
            at = -1 if parent < 0 else ends[parent]
            for own in self._map.read(token):
                parents.append(at)
                at = len(block)
                block.append(own)
            ends.append(at)
        rows = tuple(0 if row == 0 else 1 + ends[row - 1] for row in range(forward.first_row, len(forward.block) + 1))
        chain = parents == list(range(-1, len(block) - 1))
        own_forward = replace(
            forward,
            context=context,
            block=tuple(block),
            parents=None if chain else tuple(parents),
            first_row=min(rows),
        )
        return _Reading(own_forward, rows)
