"""Beginnings in common are read from the slot that they were copied from, as long as they are the same there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from sim.models.attention import MIN_COLUMNS, SharedColumns
from sim.models.interface import ForwardPass, LanguageModel
from sim.models.llama_fast import LlamaFast
from sim.models.loading import load_model
from tests.models import builders

TOLERANCE = 1e-10  # float64; logits of these networks reach 10


@pytest.fixture()
def model(tmp_path) -> LlamaFast:
    sizes = {**builders.MODERN, "vocab_size": builders.VOCAB_SIZE, "num_key_value_heads": 2}
    folder = builders.save(builders.network("Llama", **sizes), tmp_path)
    loaded = load_model(str(folder), device="cpu", dtype="float64")
    assert isinstance(loaded, LlamaFast)
    return loaded


@pytest.fixture()
def shared(monkeypatch) -> list[SharedColumns | None]:
    """What each pass has found."""
    found: list[SharedColumns | None] = []
    of = SharedColumns.of

    def noting(grid):
        found.append(of(grid))
        return found[-1]

    monkeypatch.setattr(SharedColumns, "of", noting)
    return found


def text(seed: int, length: int) -> list[int]:
    return np.random.default_rng(seed).integers(3, builders.VOCAB_SIZE, length).tolist()


PROMPTS = (text(1, 24), text(2, 30))


def begin(model: LanguageModel, copies: int = 6) -> None:
    """Feed two prompts and copy each several times."""
    model.forward([ForwardPass(("prompt", p), prompt) for p, prompt in enumerate(PROMPTS)])
    for p in range(len(PROMPTS)):
        for copy in range(copies):
            model.copy_session(("prompt", p), (p, copy))


def works(copies: int = 6, *more: int) -> list[ForwardPass]:
    """A forward of each copy: texts that go on differently, chains and trees of several sizes."""
    return [
        ForwardPass((p, copy), [*prompt, 5 + copy, *more], text(copy, 3)[: copy % 4], (-1, 0, 0)[: copy % 4])
        for p, prompt in enumerate(PROMPTS)
        for copy in range(copies)
    ]


def check(model: LlamaFast, batch: Sequence[ForwardPass]) -> None:
    """Rows of a batch are those of each text alone, fed anew."""
    together = model.forward(batch)
    for number, (rows, forward) in enumerate(zip(together, batch, strict=True)):
        alone = ForwardPass(("alone", number), forward.context, forward.block, forward.parents, forward.first_row)
        np.testing.assert_allclose(rows, model.forward([alone])[0], rtol=0, atol=TOLERANCE)
        model.close(("alone", number))


def test_copies_read_their_prompt_from_one_slot(model, shared):
    begin(model)
    shared.clear()
    check(model, works())
    check(model, works(6, 7, 9))
    assert shared and all(found is not None and found.count == 24 and len(found.runs) <= 4 for found in shared)


def test_one_that_was_not_copied_reads_its_own(model, shared):
    begin(model)
    model.forward([ForwardPass("own", PROMPTS[0])])
    shared.clear()
    check(model, [*works(), ForwardPass("own", [*PROMPTS[0], 8])])
    assert shared[0] is not None and {slot for _, _, slot in shared[0].runs} >= {model._store.original("own").slot}


def test_a_prompt_that_was_fed_something_else_is_no_original_any_more(model, shared):
    begin(model)
    model.forward([ForwardPass(("prompt", 0), [*PROMPTS[0][:18], *text(9, 12)])])
    shared.clear()
    check(model, works())
    assert shared[0] is not None and shared[0].count == 18
    model.forward([ForwardPass(("prompt", 0), text(10, 30))])
    shared.clear()
    check(model, works(6, 3))
    assert shared == [None]


def test_a_copy_that_was_fed_something_else_shares_what_is_left(model, shared):
    begin(model)
    other = [*PROMPTS[1][:20], *text(4, 5)]
    model.forward([ForwardPass((1, 0), other)])
    shared.clear()
    batch = works()
    check(model, [*batch[:6], ForwardPass((1, 0), [*other, 3]), *batch[7:]])
    assert shared[0] is not None and shared[0].count == 20


def test_originals_that_are_closed_or_fed_in_the_same_batch(model, shared):
    begin(model)
    model.close(("prompt", 0))
    shared.clear()
    check(model, works())
    assert shared == [None]
    check(model, [*works(6, 4), ForwardPass(("prompt", 1), text(7, MIN_COLUMNS))])


def test_a_copy_of_another_text_forgets_whom_it_was_copied_from(model):
    begin(model)
    model.copy_session(("prompt", 1), (0, 0))
    batch = works()
    check(model, [ForwardPass((0, 0), [*PROMPTS[1], 4]), *batch[1:]])


def test_slots_that_are_laid_out_anew_keep_what_they_share(model, shared):
    begin(model)
    shared.clear()
    check(model, [*works(), *(ForwardPass(("long", n), text(n, 150)) for n in range(3))][:12])
    long = [ForwardPass((p, 0), [*PROMPTS[p], *text(5, 55)]) for p in range(2)]
    check(model, long)
    shared.clear()
    check(model, works(6, 4)[1:6])
    assert shared[0] is not None
