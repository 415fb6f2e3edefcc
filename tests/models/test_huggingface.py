"""Cached, chunked, batched, rolled-back and tree forwards of every architecture equal plain uncached ones.

In float64 with 1e-5 as the tolerance: transformers' root-mean-square norms round to float32 even then, so that a last
bit may show as 1e-6; a wrong mask, position or cache column shows as 0.1 or more.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sim.core.errors import InputError
from sim.models import cached_model, layout
from sim.models.huggingface import HuggingFaceModel, refuse_unfit
from sim.models.interface import ForwardPass
from sim.models.loading import load_model
from tests.models import builders
from tests.models.conftest import uncached_rows

TOLERANCE = 1e-5


@pytest.fixture(params=builders.ARCHITECTURES)
def model(request, checkpoint) -> HuggingFaceModel:
    loaded = load_model(str(checkpoint(request.param)), dtype="float64", device="cpu")
    assert isinstance(loaded, HuggingFaceModel)
    for session in list(loaded._texts):
        loaded.close(session)
    return loaded


@pytest.fixture
def opt(checkpoint) -> HuggingFaceModel:
    network = builders.network("opt").double()
    return fresh(network)


def fresh(network, **bounds) -> HuggingFaceModel:
    return HuggingFaceModel(network, "test", builders.VOCAB_SIZE, frozenset({2}), 1, "none", **bounds)


def text(seed: int, length: int) -> list[int]:
    return np.random.default_rng(seed).integers(3, builders.VOCAB_SIZE, length).tolist()


def check(model: HuggingFaceModel, *batch: ForwardPass) -> None:
    for rows, forward in zip(model.forward(batch), batch, strict=True):
        expected = uncached_rows(model.network, forward)
        assert rows.shape == (forward.num_rows, model.vocab_size)
        np.testing.assert_allclose(rows, expected, rtol=0, atol=TOLERANCE)


def test_cached_chain_grows_and_rolls_back(model):
    ids = text(1, 40)
    check(model, ForwardPass("a", ids[:10]))
    check(model, ForwardPass("a", ids[:10], tuple(ids[10:15]), first_row=0))
    assert model.new_tokens(ForwardPass("a", ids[:13], tuple(ids[20:23]))) == 1 + 3
    check(model, ForwardPass("a", ids[:13], tuple(ids[20:23])))  # three accepted, another draft
    check(model, ForwardPass("a", ids[:13], tuple(ids[30:33])))  # all rejected
    check(model, ForwardPass("a", [*ids[:8], *ids[20:30]]))  # back into the chain itself


def test_draft_loop_feeds_one_token_at_a_time(model):
    ids = text(2, 30)
    check(model, ForwardPass("a", ids[:9]))
    for count in range(1, 6):
        forward = ForwardPass("a", ids[:9], tuple(ids[9 : 9 + count]), first_row=count)
        assert model.new_tokens(forward) == 1
        check(model, forward)
    check(model, ForwardPass("a", [*ids[:12], 50]))


def test_ragged_batch_of_prefill_chain_tree_and_single_token(model):
    ids = text(3, 60)
    check(model, ForwardPass("a", ids[:20]), ForwardPass("b", ids[5:14]), ForwardPass("c", ids[:33]))
    check(
        model,
        ForwardPass("a", ids[:21], tuple(ids[21:25])),
        ForwardPass("b", ids[5:15], (4, 5, 6, 7, 8), (-1, -1, 0, 0, 1)),
        ForwardPass("c", ids[:34]),
        ForwardPass("d", ids[:50], (9, 10), (-1, -1), first_row=1),
    )


def test_accepted_tree_path_is_kept(model):
    ids = text(4, 12)
    tree = ForwardPass("a", ids, (10, 11, 12, 13, 14, 15), (-1, -1, 0, 1, 1, 4))
    check(model, tree)
    onward = ForwardPass("a", [*ids, 11, 14, 15, 40], (41, 42), (-1, -1))
    assert model.new_tokens(onward) == 3  # 11, 14, 15 stand in the cache
    check(model, onward)
    check(model, ForwardPass("a", [*ids, 11, 14, 15, 40, 42, 7]))


def test_columns_of_a_store_that_has_not_grown_are_moved():
    model = fresh(builders.network("llama").double())
    ids = text(4, 5)
    check(model, ForwardPass("a", ids, (10, 11, 12), (-1, -1, 1)))
    check(model, ForwardPass("a", [*ids, 11, 12], (41,)))


def test_tree_grown_level_by_level(model):
    ids = text(5, 10)
    check(model, ForwardPass("a", ids))
    check(model, ForwardPass("a", ids, (5, 6), (-1, -1), first_row=1))
    grown = ForwardPass("a", ids, (5, 6, 7, 8, 9), (-1, -1, 0, 1, 1), first_row=3)
    assert model.new_tokens(grown) == 3
    check(model, grown)


def test_chunked_prefill_equals_one_pass(model, monkeypatch):
    monkeypatch.setattr(cached_model, "PREFILL_CHUNK", 7)
    ids = text(6, 50)
    check(model, ForwardPass("long", ids[:40], (4, 5, 6), (-1, 0, 0)), ForwardPass("short", ids[:3], (8,)))
    check(model, ForwardPass("first", ids, tuple(ids[:4]), first_row=2))


def test_random_walk_of_forwards(model):
    rng = np.random.default_rng(7)
    texts = {session: text(int(rng.integers(99)), int(rng.integers(1, 12))) for session in range(4)}
    for _ in range(8):
        batch = []
        for session in rng.choice(4, size=int(rng.integers(1, 5)), replace=False):
            count = int(rng.integers(0, 6))
            block = tuple(int(token) for token in rng.integers(3, 40, count))
            parents = tuple(int(rng.integers(-1, node)) for node in range(count)) if rng.random() < 0.6 else None
            first_row = int(rng.integers(0, count + 1))
            forward = ForwardPass(int(session), list(texts[session]), block, parents, first_row)
            batch.append(forward)
            path = []
            node = int(rng.integers(-1, count)) if count else -1
            while node >= 0:
                path.insert(0, block[node])
                node = forward.parent_nodes[node]
            kept = texts[session][: int(rng.integers(1, len(texts[session]) + 1))] if rng.random() < 0.2 else None
            texts[session] = kept or [*texts[session], *path, int(rng.integers(3, 99))]
        check(model, *batch)


def test_first_row_skips_rows(opt):
    ids = text(8, 10)
    whole = opt.forward([ForwardPass("a", ids, (5, 6, 7))])[0]
    for first in range(4):
        part = opt.forward([ForwardPass(f"b{first}", ids, (5, 6, 7), first_row=first)])[0]
        np.testing.assert_allclose(part, whole[first:], rtol=0, atol=TOLERANCE)


def test_store_grows_in_length_and_slots(opt):
    for session in range(5):
        check(opt, ForwardPass(session, text(session, 6)))
    check(opt, ForwardPass(0, text(0, 6) + text(9, 80)))  # past the first capacity of 64 columns
    assert opt._store.capacity == 128
    for session in range(1, 5):
        forward = ForwardPass(session, [*text(session, 6), 5])
        assert opt._store.text(session).match(forward).new_tokens == 1  # their slots were carried over
        check(opt, forward)


def test_evicted_session_is_fed_again_with_equal_rows():
    model = fresh(builders.network("llama").double(), max_slots=2)
    for session in "abc":
        check(model, ForwardPass(session, text(ord(session), 10)))
    assert "a" not in model._store and "b" in model._store
    forward = ForwardPass("a", [*text(ord("a"), 10), 4])
    assert model.new_tokens(forward) == 1  # the price knows nothing of eviction
    assert model._store.text("a").match(forward).new_tokens == 11
    check(model, forward)
    assert "b" not in model._store  # the least recently used went
    batch = [ForwardPass(session, text(ord(session), 12)) for session in "abcde"]
    check(model, *batch)  # more sessions than slots: in parts
    assert len(model._store) == 2


def test_byte_bound_lowers_the_number_of_slots():
    model = fresh(builders.network("llama").double(), max_slots=8)
    model._store.max_bytes = 4 * 64 * model._store.bytes_per_token
    for session in range(6):
        check(model, ForwardPass(session, text(session, 5)))
    assert len(model._store) == 4
    check(model, ForwardPass(0, text(0, 70)))
    assert len(model._store) == 2 and model._store.capacity == 128
    held = sum(tensor.nbytes for tensor in (*model._store.keys, *model._store.values))
    assert held <= model._store.max_bytes


def test_close_frees_the_slot_and_the_books(opt):
    check(opt, ForwardPass("a", text(1, 10)))
    opt.close("a")
    assert "a" not in opt._store and len(opt._store) == 0
    assert opt.new_tokens(ForwardPass("a", text(1, 10))) == 10
    check(opt, ForwardPass("a", text(1, 10)))
    opt.close("never opened")


def test_failed_forward_leaves_no_stale_cache(opt, monkeypatch):
    check(opt, ForwardPass("a", text(1, 10)))
    with monkeypatch.context() as patch:
        patch.setattr(opt.network, "forward", lambda **_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            opt.forward([ForwardPass("a", text(2, 10))])
    check(opt, ForwardPass("a", text(1, 12)))


def test_too_long_text_is_refused(opt):
    with pytest.raises(ValueError, match="97 tokens exceeds its context of 96"):
        opt.forward([ForwardPass("a", text(1, 90), tuple(text(2, 7)))])
    check(opt, ForwardPass("a", text(1, 90), tuple(text(2, 6))))
    check(opt, ForwardPass("b", text(1, 95), (4, 5, 6), (-1, -1, -1)))  # a wide tree is one token deep
    with pytest.raises(ValueError, match="share a session"):
        opt.forward([ForwardPass("a", [4]), ForwardPass("a", [5])])


def test_eager_attention_gets_an_additive_mask():
    network = builders.network("llama", attn_implementation="eager").double()
    model = fresh(network)
    assert model._mask(torch.tensor([[True, False]])).dtype is torch.float64
    ids = text(3, 12)
    rows = model.forward([ForwardPass("a", ids, (4, 5, 6), (-1, -1, 1)), ForwardPass("b", ids[:5])])
    expected = uncached_rows(network, ForwardPass("a", ids, (4, 5, 6), (-1, -1, 1)))
    np.testing.assert_allclose(rows[0], expected, rtol=0, atol=2e-5)  # eager softmax is float32 in transformers


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("Mamba", {"hidden_size": 32, "num_hidden_layers": 2}, "'mamba'"),
        ("T5", {}, "'t5' is an encoder-decoder"),
    ],
)
def test_models_that_cannot_roll_back_are_refused_in_words(kind, changes, message):
    import transformers

    config = getattr(transformers, f"{kind}Config")(vocab_size=100, **changes)
    with pytest.raises(InputError, match=message):
        refuse_unfit(config, "test")


def test_refusal_comes_from_loading_too(tmp_path: Path):
    network = builders.network("Mamba", hidden_size=32, num_hidden_layers=2)
    with pytest.raises(InputError, match="'mamba'"):
        load_model(str(builders.save(network, tmp_path)), device="cpu")


def test_architecture_without_4d_masks_is_refused():
    network = builders.network("Falcon", hidden_size=32, num_hidden_layers=2, num_attention_heads=4, alibi=True)
    with pytest.raises(InputError, match="'falcon' does not run with a 4-D attention mask"):
        fresh(network)


def test_architecture_that_misreads_the_tree_is_refused(monkeypatch):
    monkeypatch.setattr(layout.Chunk, "positions", property(lambda chunk: np.arange(chunk.start, chunk.stop)))
    with pytest.raises(InputError, match="does not follow a token tree's attention mask"):
        fresh(builders.network("llama").double())
