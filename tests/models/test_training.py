"""Training of the embedded pair: corpus rules, deterministic and resumable steps, distillation, exact rounds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sim.models.training.architecture import Architecture, start_embedding_from
from sim.models.training.batches import BLOCK_TOKENS, BlockSampler
from sim.models.training.corpus import load_corpus
from sim.models.training.evaluate import agreement, perplexity, play_rounds
from sim.models.training.optimiser import orthogonalise
from sim.models.training.train import Budget, cross_entropy, distillation_from, fit, rate_share

TINY = Architecture(hidden_size=16, num_layers=1, num_heads=2, intermediate_size=32, vocab_size=64)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def stream():
    """A stream with something to learn: a noisy cycle over sixty tokens."""
    generator = np.random.Generator(np.random.Philox(key=[7, 0]))
    ids = np.arange(20 * BLOCK_TOKENS) % 60
    noisy = generator.random(len(ids)) < 0.2
    ids[noisy] = generator.integers(60, size=noisy.sum())
    return ids.astype(np.uint16)


def test_corpus_leaves_out_duplicates_tables_and_other_encodings(tmp_path):
    text = "def function_{0}():\n    '''Return the number {0}, which is as good as any other.'''\n    return {0}\n"
    for index in range(60):
        (tmp_path / f"module_{index}.py").write_text(text.format(index))
    (tmp_path / "copy.py").write_text(text.format(3))
    (tmp_path / "table.py").write_text("table = (" + "12345, " * 100 + ")\n")
    (tmp_path / "latin.py").write_bytes(
        b"# \xe9 latin-1 text that is long enough to be considered as a file of it\n" * 3
    )
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "foreign.py").write_text(text.format("foreign"))
    corpus = load_corpus(tmp_path)
    paths = {source.path for source in corpus.train + corpus.held_out}
    assert len(paths) == 60
    assert {"table.py", "latin.py", "site-packages/foreign.py"}.isdisjoint(paths)
    assert not {source.sha256 for source in corpus.train} & {source.sha256 for source in corpus.held_out}
    assert all(source.is_held_out for source in corpus.held_out)
    (tmp_path / "module_0.py").write_text(text.format(1000))
    assert load_corpus(tmp_path).sha256 != corpus.sha256


def test_every_block_is_seen_once_an_epoch(stream):
    sampler = BlockSampler(np.arange(len(stream), dtype=np.uint16), blocks_per_step=3, seed=1)
    starts = []
    for step in range(6):
        inputs, labels = sampler.inputs_and_labels(step)
        assert (labels == inputs + 1).all()
        assert inputs.shape[1] == (512 if step % 4 == 3 else 256)
        starts += inputs.ravel()[::BLOCK_TOKENS].tolist()
    assert len(set(starts)) == sampler.blocks_per_epoch == 18


def test_training_is_deterministic_and_resumes_where_it_stopped(stream, tmp_path):
    def train(folder: str, steps: int) -> tuple[dict, float]:
        model = TINY.build(seed=3)
        done = fit(model, BlockSampler(stream, 1, 3), cross_entropy, Budget(steps=steps), tmp_path / folder, CPU)
        return model.state_dict(), done.last_loss

    whole, loss = train("whole", 12)
    fit_partly(tmp_path / "parts", stream, stop_after=4, total=12)
    resumed, resumed_loss = train("parts", 12)
    assert loss == resumed_loss < 4.2
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name


def fit_partly(folder, stream, stop_after: int, total: int) -> None:
    """Run as if to `total`, interrupted after `stop_after` steps."""

    class Interrupted(Exception):
        pass

    class Stopping(BlockSampler):
        def inputs_and_labels(self, step):
            if step == stop_after:
                raise Interrupted
            return super().inputs_and_labels(step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sim.models.training.train.CHECKPOINT_EVERY_S", -1.0)
        with pytest.raises(Interrupted):
            fit(TINY.build(seed=3), Stopping(stream, 1, 3), cross_entropy, Budget(steps=total), folder, CPU)


def test_distilled_draft_comes_nearer_to_its_target(stream, tmp_path):
    target = TINY.build(seed=1)
    fit(target, BlockSampler(stream, 1, 1), cross_entropy, Budget(steps=80), tmp_path / "target", CPU)
    draft = TINY.build(seed=2)
    windows = [torch.from_numpy(stream[:257].astype(np.int64))[None]]
    before = agreement(draft, target, windows, 1.0, min_context=32)
    fit(draft, BlockSampler(stream, 1, 2), distillation_from(target), Budget(steps=80), tmp_path / "draft", CPU)
    after = agreement(draft, target, windows, 1.0, min_context=32)
    assert before.num_positions == after.num_positions == 257 - 32
    assert after.acceptance_mean > before.acceptance_mean + 0.05
    itself = agreement(target, target, windows, 1.0, min_context=32)
    assert itself.acceptance_mean == pytest.approx(1.0, abs=1e-5)
    assert itself.argmax_agreement == 1.0


def test_untrained_perplexity_is_the_vocabulary_size(stream):
    windows = [torch.from_numpy(stream[:257].astype(np.int64))[None]]
    assert perplexity(TINY.build(seed=1), windows) == pytest.approx(64, rel=0.05)


def test_rounds_of_a_model_with_itself_accept_everything():
    model = TINY.build(seed=1)
    played = play_rounds(model, model, [[1, 2, 3]], 1.0, draft_length=3, max_new_tokens=8, seed=0)
    assert played.accepted_share_of_tested == 1.0
    assert played.tokens_per_round == 4.0
    assert played.acceptance_mean == pytest.approx(
        1.0, abs=1e-6
    )  # float32 rows of one row and of four differ in rounding


def test_rounds_accept_as_often_as_the_rows_overlap():
    """Tested positions accept with probability 1 - TV each: the counted share is within four standard errors."""
    draft, target = TINY.build(seed=1), TINY.build(seed=2)
    played = play_rounds(draft, target, [[1, 2, 3], [4, 5]], 0.1, draft_length=3, max_new_tokens=250, seed=0)
    num_accepted = (played.tokens_per_round - 1) * played.num_rounds
    num_tested = num_accepted / played.accepted_share_of_tested
    assert 0.3 < played.acceptance_mean < 0.9
    assert played.accepted_share_of_tested == pytest.approx(played.acceptance_mean, abs=4 * 0.5 / num_tested**0.5)


@pytest.mark.parametrize("shape", [(3, 16, 40), (3, 40, 16), (1, 24, 24)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape):
    matrices = torch.from_numpy(np.random.Generator(np.random.Philox(key=[1, 1])).normal(size=shape)).float()
    singular = torch.linalg.svdvals(orthogonalise(matrices))
    # The coefficients trade precision for speed: the iteration ends between about 0.7 and 1.2.
    assert float(singular.min()) > 0.3 and float(singular.max()) < 1.3


def test_draft_embedding_keeps_the_targets_geometry():
    target, draft = Architecture(32, 1, 2, 32, vocab_size=64).build(seed=1), TINY.build(seed=2)
    basis = torch.linalg.qr(torch.randn(32, 16, generator=torch.Generator().manual_seed(0))).Q
    with torch.no_grad():
        flat = target.get_input_embeddings().weight
        flat.copy_(flat @ basis @ basis.T)
    start_embedding_from(draft, target)
    small, large = draft.get_input_embeddings().weight[:50], target.get_input_embeddings().weight[:50]
    ratio = (small @ small.T).norm() / (large @ large.T).norm()
    torch.testing.assert_close(small @ small.T, ratio * (large @ large.T), rtol=1e-3, atol=1e-5)


def test_rate_warms_up_holds_and_falls_to_zero():
    assert rate_share(0, None) == pytest.approx(1 / 40)
    assert rate_share(100, None) == 1.0
    assert rate_share(500, 1000) == 1.0
    assert rate_share(750, 1000) == pytest.approx(0.5)
    assert rate_share(1000, 1000) == 0.0


@pytest.mark.parametrize("wrong", [{}, {"minutes": 1.0, "steps": 2}, {"minutes": 0.0}, {"steps": -1}])
def test_budget_refuses_what_is_no_budget(wrong):
    with pytest.raises(ValueError, match="budget"):
        Budget(**wrong)
