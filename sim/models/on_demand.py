"""Rows computed when they are asked for: a recorder verifies drafts without running what no rule will look at.

A verification forward returns a row per drafted token, but a rule walks down one path and stops at the first
rejection. Where arithmetic is what costs (a CPU with many requests side by side), only the rows on that path are
computed, those of many requests in one batch. Prompts that requests have in common are fed once. Sizes, times and texts
are those of whole forward passes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Hashable, Sequence
from dataclasses import dataclass

from sim.models.interface import ForwardPass, LanguageModel, Logits
from sim.models.wrapped import WrappedModel

_PROMPT = "prompt"  # first item of the sessions that hold prompts in common


class PromisedRows:
    """The rows of a forward, by index as in its logits; computed one by one.

    Args:
        work: The forward.
        model: Who computes them.
    """

    def __init__(self, work: ForwardPass, model: OnDemandModel) -> None:
        self.work = work
        self.model = model
        self._rows: dict[int, Logits] = {}

    def has(self, index: int) -> bool:
        """Whether the row was computed."""
        return index in self._rows

    def put(self, index: int, row: Logits) -> None:
        """Keep a computed row [vocab_size]."""
        self._rows[index] = row

    def __getitem__(self, index: int) -> Logits:
        """The row [vocab_size]; computed alone if it was not asked for in a batch."""
        if index not in self._rows:
            self.model.fulfil([(self, index)])
        return self._rows[index]

    def text_up_to(self, index: int) -> list[int]:
        """The text that row ``first_row + index`` follows."""
        work = self.work
        node = work.first_row + index - 1
        path: list[int] = []
        while node >= 0:
            path.append(work.block[node])
            node = work.parent_nodes[node]
        return [*work.context, *reversed(path)]


@dataclass(frozen=True, slots=True)
class AwaitRow:
    """Have a promised row computed; the result is None. Nothing that is simulated or recorded comes of it."""

    rows: PromisedRows
    index: int


def wait_for_row(rows: Logits | PromisedRows, index: int) -> Generator[AwaitRow, None, None]:
    """Have one row of a forward computed, if it was promised and is not there yet."""
    if isinstance(rows, PromisedRows) and not rows.has(index):
        yield AwaitRow(rows, index)


class OnDemandModel(WrappedModel):
    """A model in front of another one that counts whole forward passes and computes promised rows only.

    Args:
        model: Computes the rows.
        promises: Whether rows may be promised; if not, only prompts are shared.
    """

    def __init__(self, model: LanguageModel, promises: bool = True) -> None:
        super().__init__(model)
        self.promises = promises
        self._begun: set[Hashable] = set()
        self._prompts: set[tuple[int, ...]] = set()

    def _run(self, batch: Sequence[ForwardPass]) -> list[Logits]:
        self._share_prompts(batch)
        return self.model.forward(batch)

    def _share_prompts(self, batch: Sequence[ForwardPass]) -> None:
        """Give sessions that begin with a text that others begin with, too, a copy of that text's keys and values."""
        beginners = {forward.session: tuple(forward.context) for forward in batch if forward.session not in self._begun}
        self._begun.update(beginners)
        texts = Counter(beginners.values())
        shared = [text for text, count in texts.items() if count > 1 and text not in self._prompts and len(text) > 1]
        if shared:
            self._prompts.update(shared)
            self.model.forward([ForwardPass((_PROMPT, text), text) for text in shared])
        for session, text in beginners.items():
            if text in self._prompts:
                self.model.copy_session((_PROMPT, text), session)

    def promise(self, work: ForwardPass) -> PromisedRows:
        """The rows of a forward, none of them computed yet.

        Raises:
            ValueError: The text is longer than ``max_context``.
        """
        self._check_length(work)
        self._note_cached(work)
        return PromisedRows(work, self)

    def fulfil(self, wanted: Sequence[tuple[PromisedRows, int]], works: Sequence[ForwardPass] = ()) -> list[Logits]:
        """Compute promised rows and whole forward passes, of one session each, in one batch.

        Returns:
            The logits of the whole forward passes, as of ``forward``.
        """
        for work in works:
            self._check_length(work)
        rows = [ForwardPass(promise.work.session, promise.text_up_to(index)) for promise, index in wanted]
        logits = self._run([*works, *rows])
        for work in works:
            self._note_cached(work)
        for (promise, index), row in zip(wanted, logits[len(works) :], strict=True):
            promise.put(index, row[0])
        return logits[: len(works)]

    def close(self, session: Hashable) -> None:
        """Forget a session's text here and in the model behind."""
        super().close(session)
        self._begun.discard(session)

    def close_request(self, request_id: int) -> None:
        """Forget all sessions of one request, here and in the model behind."""
        super().close_request(request_id)
        self._begun = {s for s in self._begun if not (isinstance(s, tuple) and s[0] == request_id)}

    def forget_all(self) -> None:
        """Forget all sessions, here and in the model behind."""
        super().forget_all()
        self._begun.clear()
        self._prompts.clear()
