"""The scripts that made the draft of SmolLM2, on a tiny random target: rows, losses, checkpoints, folder."""

from __future__ import annotations

import json
import os
import platform
import random
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from sim.models.interface import ForwardPass
from sim.models.loading import load_model
from sim.models.sources import BASE_KEY
from sim.models.training.smollm2.blocks import Blocks
from sim.models.training.smollm2.evaluate import answers_of, overlap_on
from sim.models.training.smollm2.network import NORM, Network, StepNetwork, block_ends, copy_layers, load_target
from sim.models.training.smollm2.prompts import kinds, make_prompt
from sim.models.training.smollm2.samples import SampleStore, as_rows, read_samples, write_samples
from sim.models.training.smollm2.sampling import MAX_ANSWER, MAX_MESSAGE, Text, draw, draw_by_best, sample_texts
from sim.models.training.smollm2.ship import quantise, read_folder, shipped_values, write_folder
from sim.models.training.smollm2.train import STATE_FILE, Plan, hidden_at, losses_of, read_state, train
from tests.models.builders import network as build
from tests.models.builders import save

ROOT = Path(__file__).resolve().parents[2]
ANSWER_IDS = [3, 4]


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    return load_target(
        save(build("llama", attention_bias=False, tie_word_embeddings=True), tmp_path_factory.mktemp("target"))
    )


@pytest.fixture(scope="module")
def samples(target):
    draws = random.Random(3)

    def new_text():
        if draws.random() < 0.5:
            return Text([1, 5, 6, 7], 1.0, "free", 2, writes_prompt=True)
        return Text([1, *(draws.randrange(8, 60) for _ in range(5)), *ANSWER_IDS], draws.choice([1.0, 0.7]), "code", 0)

    with torch.no_grad():
        blocks = block_ends(target.sizes.num_layers, 2)
        texts = sample_texts(target, new_text, ANSWER_IDS, 8, torch.Generator().manual_seed(1), blocks)
        return [next(texts) for _ in range(24)]


@pytest.fixture(scope="module")
def folder(samples, tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    write_samples(folder / "s1-0000.npz", samples[:16])
    write_samples(folder / "s1-0001.npz", samples[16:])
    return folder


def test_one_token_at_a_time_and_whole_texts_agree_with_the_product(target):
    texts = torch.tensor([[1, 9, 20, 33, 5], [1, 14, 2, 7, 8]])
    network, steps = Network(target, target.parameters), StepNetwork(target, target.parameters, 2, 8)
    whole = network.head(network(texts)).detach()
    # The second text lags behind the first by two places, and begins anew where it had been before.
    for place in range(5):
        late = max(0, place - 2)
        hidden = steps.step(torch.stack([texts[0, place], texts[1, late]]), torch.tensor([place, late]))
    found = network.head(hidden)
    assert torch.allclose(found[0], whole[0, 4], atol=1e-4)
    assert torch.allclose(found[1], whole[1, 2], atol=1e-4)
    model = load_model(str(target.folder), dtype="float32")
    for row, text in enumerate(texts.tolist()):
        assert np.allclose(_logits(model, text), whole[row, -1].numpy(), atol=1e-4)


def _logits(model, text):
    return model.forward([ForwardPass(("test", 0), tuple(text))])[0][-1]


def test_samples_carry_the_rows_that_they_were_drawn_from(target, samples, folder):
    assert {one.kind for one in samples} == {"free", "code"}
    read = read_samples(folder / "s1-0000.npz", best=8)
    network = Network(target, target.parameters, kept_after=block_ends(target.sizes.num_layers, 2))
    for one in read[:6]:
        assert one.num_rows == len(one.tokens) - one.start - 1
        rows = as_rows([one], pad_id=2)
        hidden = hidden_at(network, rows)
        logs, best = torch.log_softmax(network.head(hidden), -1).topk(8, -1)
        assert torch.allclose(hidden, rows.hidden, atol=2e-2)
        assert torch.allclose(network.kept[0].flatten(0, 1)[rows.places], rows.between[:, 0], atol=2e-2)
        assert torch.allclose(logs, rows.log_probs, atol=2e-2)
        assert (best[:, 0] == rows.best[:, 0]).float().mean() > 0.9
    for one in samples:
        assert one.tokens[one.answer - 1 : one.answer + 1].tolist() == ANSWER_IDS
        weights = as_rows([one], pad_id=2).weights
        assert one.answer <= one.start + MAX_MESSAGE + len(ANSWER_IDS)
        assert len(one.tokens) <= one.answer + MAX_ANSWER + 1
        assert weights[one.answer - one.start - 1] < 1 < weights[one.answer - one.start]
        assert weights.mean().item() == pytest.approx(1)


def draw_by_best_two(logits, temperatures, draws):
    best = torch.log_softmax(logits, -1).topk(2, -1)
    return draw_by_best(logits, *best, temperatures, draws)


@pytest.mark.parametrize("temperature", [0.5, 1.0])
@pytest.mark.parametrize("by", [draw, draw_by_best_two])
def test_tokens_are_drawn_as_often_as_they_are_likely(by, temperature):
    """A chi-square of 60,000 draws over two blocks of tokens; false alarm 1e-6."""
    draws = torch.Generator().manual_seed(7)
    logits = torch.full((20_000, 512), -30.0)
    likely = torch.tensor([0, 255, 256, 300, 511])
    logits[:, likely] = torch.tensor([0.0, 1.0, 0.5, -1.0, 2.0])
    found = torch.cat([by(logits, torch.full((20_000,), temperature), draws) for _ in range(3)])
    expected = torch.softmax(logits[0, likely] / temperature, -1).numpy() * 60_000
    counts = np.array([(found == token).sum().item() for token in likely.tolist()])
    assert counts.sum() == 60_000
    assert ((counts - expected) ** 2 / expected).sum() < 33.4  # of 4 degrees of freedom


def test_where_all_tokens_are_among_the_best_one_of_them_is_drawn():
    logits = torch.randn(500, 6, generator=torch.Generator().manual_seed(2))
    best = torch.log_softmax(logits, -1).topk(6, -1)
    drawn = draw_by_best(logits, *best, torch.ones(500), torch.Generator().manual_seed(3))
    assert set(drawn.tolist()) == set(range(6))


def test_a_store_keeps_the_newest_rows(samples, folder):
    rows = [sum(one.num_rows for one in part) for part in (samples[:16], samples[16:])]
    for name, age in (("s1-0000.npz", 0), ("s1-0001.npz", 10)):  # the second file is the older one
        os.utime(folder / name, ns=(10**18 - age * 10**9,) * 2)
    store = SampleStore(folder, max_rows=rows[0] + samples[-1].num_rows)
    store.refresh()
    assert sum(one.num_rows for one in store.train) <= rows[0] + samples[-1].num_rows
    assert [one.tokens.tolist() for one in store.train] == [one.tokens.tolist() for one in [samples[-1], *samples[:16]]]
    everything = SampleStore(folder)
    everything.refresh()
    assert len(everything.train) == len(samples)


def test_a_store_leaves_states_of_blocks_where_they_lie(target, folder, tmp_path):
    with_states, without = SampleStore(folder), SampleStore(folder, between=False)
    for store in (with_states, without):
        store.refresh()
    for one, other in zip(with_states.train, without.train, strict=True):
        assert one.between.shape[1] == 1 and other.between.shape == (one.num_rows, 0, one.between.shape[2])
        assert np.array_equal(one.hidden, other.hidden) and np.array_equal(one.ids, other.ids)
    plan = Plan(tokens_per_step=400, steps=2, decay_steps=1)
    assert train(target, copy_layers(target, (0, 1)), without, plan, tmp_path, [].append).step == 2


MEMORY = """
import resource, sys
from sim.models.training.allocation import keep_freed_memory
is_kept = keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(64_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(int(is_kept), faults())
"""


def test_freed_memory_is_used_again_without_its_pages_being_mapped_anew():
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, cwd=ROOT, check=True)
    is_kept, faults = (int(one) for one in done.stdout.split())
    assert is_kept == (platform.libc_ver()[0] == "glibc")
    assert not is_kept or faults < 1000, "64 MB have 15,625 pages of 4 KiB"


def test_losses_are_those_of_the_whole_softmax_where_all_of_it_is_sampled(target, folder):
    rows = as_rows(read_samples(folder / "s1-0000.npz")[:4], pad_id=2)
    draft = copy_layers(target, [0])
    network = Network(target, draft)
    hidden = hidden_at(network, rows)
    everything = len(target.embedding)
    losses = losses_of(hidden, rows, target.embedding, torch.Generator().manual_seed(1), True, everything)
    best = torch.unique(rows.best[:, :32])
    is_best = torch.isin(rows.best, best)
    draft_log = torch.log_softmax(network.head(hidden), -1).gather(1, rows.best)
    p = torch.where(is_best, rows.log_probs.exp(), 0.0)
    divergence = (p * (rows.log_probs - draft_log)).sum(-1)
    overlap = torch.minimum(p, draft_log.exp()).sum(-1)
    cool_log = torch.log_softmax(network.head(hidden) / 0.7, -1).gather(1, rows.best)
    cool = torch.minimum(torch.softmax(rows.log_probs / 0.7, -1), cool_log.exp()).sum(-1)
    means = [(rows.weights * one).mean().item() for one in (divergence, 1 - overlap, 1 - cool)]
    found = (losses.divergence, losses.variation, losses.cool_variation)
    assert [one.item() for one in found] == pytest.approx(means, abs=1e-5)


def test_training_goes_on_from_its_checkpoint_and_brings_the_draft_nearer(target, folder, tmp_path):
    messages = []
    store = SampleStore(folder, held_out=["s1-0001.npz"])
    first = train(target, copy_layers(target, [0]), store, Plan(1e-2, 400, 20, 5), tmp_path, messages.append)
    assert (first.step, len(store.held_out)) == (20, 8)
    second = train(target, copy_layers(target, [0]), store, Plan(1e-2, 400, 60, 20), tmp_path, messages.append)
    assert second.step == 60
    assert second.rows > first.rows
    assert len(messages) == 3
    draft, progress = read_state(tmp_path / STATE_FILE)
    assert progress == second
    rows = as_rows(store.held_out, pad_id=2)
    losses = [
        losses_of(hidden_at(Network(target, one), rows), rows, target.embedding, torch.Generator().manual_seed(1))
        for one in (copy_layers(target, [0]), draft)
    ]
    assert losses[1].divergence < losses[0].divergence


def test_samples_that_come_while_training_goes_on_are_taken_up(target, samples, tmp_path, monkeypatch):
    """Not only after all that were there have been seen, which can be half an hour later."""
    monkeypatch.setattr("sim.models.training.smollm2.train.STEPS_BETWEEN_READS", 2)
    monkeypatch.setattr("sim.models.training.smollm2.train.SAY_EVERY", 1)
    write_samples(tmp_path / "s1-0000.npz", samples[:12])
    store = SampleStore(tmp_path)
    texts_then = []

    def say(_):
        texts_then.append(len(store.train))
        if len(texts_then) == 1:
            write_samples(tmp_path / "s1-0001.npz", samples[12:])

    longest = max(len(one.tokens) for one in samples)  # a step holds one text, so that an epoch takes twelve
    done = train(target, copy_layers(target, [0]), store, Plan(1e-2, longest, 5, 1), tmp_path / "work", say)
    assert done.step == 5
    assert texts_then == [12, 12, 24, 24, 24]


def test_blocks_of_a_target_are_of_like_size():
    assert block_ends(30, 5) == (5, 11, 17, 23)
    assert block_ends(30, 4) == (6, 14, 21)
    assert block_ends(2, 1) == ()


def test_the_target_is_no_distance_from_its_own_blocks(target, folder):
    """Where each block is one layer, the layers do just what blocks do; places before the first row count, too."""
    batch = [*read_samples(folder / "s1-0000.npz"), *read_samples(folder / "s1-0001.npz")]
    rows, starts = as_rows(batch, pad_id=2), [one.start for one in batch]
    blocks = Blocks(target, target.sizes.num_layers, batch)
    assert max(starts) > 0
    own = Network(target, target.parameters, kept_after=blocks.ends)
    assert blocks.losses(own, rows, starts).max() < 1e-4
    own(rows.ids)
    assert blocks.drift(own.kept, rows) < 1e-4
    swapped = Network(target, copy_layers(target, [1, 0]), kept_after=blocks.ends)
    swapped(rows.ids)
    assert blocks.losses(swapped, rows, starts).min() > 0.01 < blocks.drift(swapped.kept, rows)


def test_layers_that_learn_by_themselves_come_nearer_to_their_blocks(target, folder, tmp_path):
    messages = []
    store = SampleStore(folder)
    start = copy_layers(target, [1, 0])
    plan = Plan(1e-2, 400, 40, 5, block_steps=40)
    train(target, start, store, plan, tmp_path, messages.append)
    first, last = (sum(float(one) for one in text.rpartition("blocks ")[2].split(", ")) for text in messages)
    assert last < first
    draft, _ = read_state(tmp_path / STATE_FILE)
    rows, starts = as_rows(store.train, pad_id=2), [one.start for one in store.train]
    blocks = Blocks(target, 2, store.train)
    after, before = (blocks.losses(Network(target, one), rows, starts) for one in (draft, copy_layers(target, [1, 0])))
    assert (after < before).all()
    with pytest.raises(ValueError, match="hold no states at the ends of 1 blocks"):
        train(target, copy_layers(target, [0]), store, plan, tmp_path / "other", messages.append)


def test_rate_warms_up_stays_and_falls_to_zero():
    plan = Plan(rate=1.0, steps=100, decay_steps=20)
    assert [plan.rate_at(step) for step in (29, 50, 80, 90, 100)] == [1.0, 1.0, 1.0, 0.5, 0.0]
    assert plan.rate_at(0) < 0.1
    blocks = Plan(rate=1.0, steps=200, decay_steps=20, block_steps=80)
    assert [blocks.rate_at(step) for step in (29, 40, 60, 79)] == [1.0, 1.0, 0.5, 0.025]
    assert blocks.rate_at(80) < 0.1 < blocks.rate_at(150) == 1


def test_overlap_of_the_target_with_itself_is_one_and_answers_end(target):
    prompts = [[1, 9, 3, 4], [1, 10, 11, 12, 3, 4]]
    texts = answers_of(target, prompts, 1.0, 12, seed=1)
    for prompt, text in zip(prompts, texts, strict=True):
        assert text[: len(prompt)] == prompt
        assert len(text) == len(prompt) + 12 or text[-1] == target.eos_id
        assert target.eos_id not in text[len(prompt) : -1]
    same = overlap_on(target, target.parameters, prompts, 1.0, 12)
    assert same.mean == pytest.approx(1, abs=1e-6)  # rows are float32
    assert same.same_best == 1
    assert same.target_entropy_bits == pytest.approx(same.draft_entropy_bits)
    other = overlap_on(target, copy_layers(target, [1]), prompts, 1.0, 12)
    assert other.mean < same.mean
    assert other.rows == sum(map(len, texts)) - sum(map(len, prompts))


def test_eight_bits_are_within_half_a_step():
    weight = torch.randn(6, 40) * torch.logspace(-3, 3, 6)[:, None]
    weight[2] = 0
    rounded, scale = quantise(weight)
    assert rounded.dtype is torch.int8
    assert ((rounded.float() * scale[:, None] - weight).abs() <= scale[:, None] * 0.501).all()


def test_what_is_shipped_loads_as_a_model_with_the_norm_that_was_trained(target, tmp_path):
    draft = copy_layers(target, [1, 0])
    draft[NORM] = draft[NORM] * 1.5 + 0.1
    overlap = overlap_on(target, shipped_values(draft), [[1, 9, 3, 4]], 1.0, 8)
    write_folder(tmp_path, target, draft, [1, 0], {"steps": 3, "rows": 40, "decayed": False}, [overlap])
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["num_hidden_layers"] == 2
    config[BASE_KEY] = str(target.folder)
    (tmp_path / "config.json").write_text(json.dumps(config))
    again, shipped = read_folder(tmp_path), shipped_values(draft)
    assert all(torch.equal(again[name], shipped[name]) for name in shipped.keys() | again.keys())
    text = [1, 9, 20, 33, 5]
    logits = _logits(load_model(str(tmp_path), dtype="float32"), text)
    network = Network(target, shipped_values(draft))
    assert np.allclose(logits, network.head(network(torch.tensor([text])))[0, -1].numpy(), atol=1e-4)
    exact = Network(target, draft)
    exact_logits = exact.head(exact(torch.tensor([text])))[0, -1].numpy()
    assert not np.array_equal(logits, exact_logits)
    assert np.abs(logits - exact_logits).max() < 0.1 * exact_logits.std()
    card = (tmp_path / "MODEL_CARD.md").read_text()
    assert f"{overlap.mean:.3f}" in card
    assert "had not" in card


def test_training_prompts_are_of_eight_kinds_and_none_ships():
    draws = random.Random(1)
    made = [make_prompt(draws) for _ in range(2000)]
    assert {kind for kind, _ in made} == set(kinds())
    assert len(kinds()) == 8
    texts = {text for _, text in made}
    assert len(texts) > 1500
    assert not any("{number" in text or "{person" in text or "{a " in text for text in texts)
    lines = (ROOT / "sim/models/smollm2/prompts.jsonl").read_text(encoding="utf-8").splitlines()
    shipped = {message["content"] for line in lines for message in json.loads(line)["messages"]}
    assert not shipped & texts


def test_wheel_leaves_the_training_out():
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert "sim/models/training" in wheel["exclude"]
    outside = [p for p in (ROOT / "sim").rglob("*.py") if "training" not in p.relative_to(ROOT).parts]
    assert not [p for p in outside if "sim.models.training" in p.read_text(encoding="utf-8")]
