"""The embedded pair is what its model card says: complete, small, loadable offline, and a believable pair."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sim.models.training.card import CARD_FILE, read_figures
from sim.models.training.evaluate import agreement, perplexity
from sim.models.training.pair import (
    PROMPTS_FILE,
    ROLES,
    SAMPLE_EVERY,
    LoadedPair,
    load_model,
    load_pair,
    load_prompts,
    measure_on_prompts,
    prompt_sequences,
    total_bytes,
)

FOLDER = Path(__file__).parents[2] / "sim" / "models" / "embedded"
MAX_TOTAL_BYTES = 25_000_000
# Same bf16 weights in float32 arithmetic: hosts differ in the order of sums only.
RELATIVE_TOLERANCE = 2e-3


@pytest.fixture(scope="module")
def pair() -> LoadedPair:
    return load_pair(FOLDER)


@pytest.fixture(scope="module")
def prompts() -> list[dict[str, str]]:
    return load_prompts(FOLDER / PROMPTS_FILE)


@pytest.fixture(scope="module")
def card() -> dict:
    return read_figures(FOLDER / CARD_FILE)


def test_pair_is_complete_and_small():
    for role in ROLES:
        for name in ("config.json", "generation_config.json", "model.safetensors", "tokenizer.json"):
            assert (FOLDER / role / name).stat().st_size > 0
        assert not list((FOLDER / role).glob("*.py"))
    everything = sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file())
    assert total_bytes(FOLDER) < everything <= MAX_TOTAL_BYTES


@pytest.mark.parametrize("role", (*ROLES, "middle"))
def test_weights_are_bfloat16_llama_without_custom_code(role):
    from safetensors import safe_open

    config = json.loads((FOLDER / role / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert "auto_map" not in config
    assert "auto_map" not in json.loads((FOLDER / role / "tokenizer_config.json").read_text())
    with safe_open(FOLDER / role / "model.safetensors", "pt") as weights:
        assert {weights.get_slice(name).get_dtype() for name in weights.keys()} == {"BF16"}  # noqa: SIM118


def test_tokenizers_are_identical_id_by_id():
    from transformers import AutoTokenizer

    draft, target = (AutoTokenizer.from_pretrained(FOLDER / role, local_files_only=True) for role in ROLES)
    size = len(target)
    assert size >= 8192
    assert len(draft) == size
    assert draft.convert_ids_to_tokens(range(size)) == target.convert_ids_to_tokens(range(size))
    assert draft.special_tokens_map == target.special_tokens_map


def test_special_tokens_agree_everywhere(pair):
    end = pair.tokenizer.eos_token_id
    assert pair.tokenizer.convert_ids_to_tokens(end) == "<|endoftext|>"
    for model in (pair.draft, pair.target):
        for config in (model.config, model.generation_config):
            assert (config.bos_token_id, config.eos_token_id, config.pad_token_id) == (end, end, end)
        assert model.config.vocab_size == len(pair.tokenizer)


@pytest.mark.parametrize("text", ["def f(x):\n    return x\n", "héllo, 世界 \t\r\n\x00 🙂", " leading", ""])
def test_tokenizer_round_trips_any_text_and_adds_nothing(pair, text):
    ids = pair.tokenizer(text)["input_ids"]
    assert pair.tokenizer.eos_token_id not in ids
    assert pair.tokenizer.decode(ids) == text


def test_end_of_text_is_learnt(pair):
    """After a finished file the target expects the end far more than in the middle of a statement."""
    import torch

    def end_probability(text: str) -> float:
        ids = torch.tensor([pair.tokenizer(text)["input_ids"]])
        with torch.inference_mode():
            return float(pair.target(ids).logits[0, -1].softmax(-1)[pair.tokenizer.eos_token_id])

    finished = 'if __name__ == "__main__":\n    unittest.main()\n'
    assert end_probability(finished) > 10 * end_probability("class Name:\n    def __init__(self")


def test_prompts_are_many_unique_and_of_sane_length(pair, prompts):
    assert len(prompts) >= 96
    assert all(set(prompt) == {"id", "source", "text"} for prompt in prompts)
    for key in ("id", "text"):
        assert len({prompt[key] for prompt in prompts}) == len(prompts)
    lengths = [len(pair.tokenizer(prompt["text"])["input_ids"]) for prompt in prompts]
    assert min(lengths) >= 24 and max(lengths) <= 160
    assert all(not Path(prompt["source"]).is_absolute() for prompt in prompts)


def test_card_figures_are_reproduced_on_the_prompts(pair, prompts, card):
    published = card["figures"]["prompts"]
    found = measure_on_prompts(pair, prompts)
    assert found["target_perplexity"] == pytest.approx(published["target_perplexity"], rel=RELATIVE_TOLERANCE)
    assert found["draft_perplexity"] == pytest.approx(published["draft_perplexity"], rel=RELATIVE_TOLERANCE)
    assert found["acceptance_t1"]["acceptance_mean"] == pytest.approx(
        published["acceptance_t1"]["acceptance_mean"], rel=RELATIVE_TOLERANCE
    )
    assert found["acceptance_t1"]["num_positions"] == published["acceptance_t1"]["num_positions"]
    assert 0.55 <= found["acceptance_t1"]["acceptance_mean"] <= 0.85
    assert found["target_perplexity"] < 0.9 * found["draft_perplexity"]


def test_card_promises_a_believable_pair(card):
    figures = card["figures"]
    held_out = figures["held_out"]
    assert held_out["target_perplexity"] < 0.9 * held_out["draft_perplexity"]
    assert 0.55 <= held_out["acceptance_t1"]["acceptance_mean"] <= 0.85
    assert 0.55 <= figures["on_policy"]["t1"]["acceptance_mean"] <= 0.85
    assert figures["total_bytes"] == total_bytes(FOLDER)


def test_positions_far_beyond_the_short_windows_stay_sane(pair, prompts):
    """A context of 500 tokens predicts no worse than three times the perplexity of a fresh start."""
    import math

    import torch

    ids = pair.tokenizer("\n".join(prompt["text"] for prompt in prompts))["input_ids"][:501]
    tokens = torch.tensor([ids])
    with torch.inference_mode():
        losses = torch.nn.functional.cross_entropy(
            pair.target(tokens[:, :-1]).logits[0], tokens[0, 1:], reduction="none"
        )
    assert math.exp(float(losses[300:].mean())) < 3 * math.exp(float(losses[:200].mean()))


def test_the_middle_model_lies_between(pair, prompts):
    """Better than the draft, and nearer to both than they are to each other, as its card says."""
    middle = load_model(FOLDER / "middle")
    figures = read_figures(FOLDER / "middle" / CARD_FILE)["figures"]
    texts = prompt_sequences(pair, prompts[::SAMPLE_EVERY])

    def perplexity_of(model):
        return perplexity(model, texts)

    def acceptance(lower, upper):
        return agreement(lower, upper, texts, 1.0, min_context=8).acceptance_mean

    assert perplexity_of(pair.target) < perplexity_of(middle) < perplexity_of(pair.draft)
    assert min(acceptance(pair.draft, middle), acceptance(middle, pair.target)) > acceptance(pair.draft, pair.target)
    for key in ("draft_under_middle", "middle_under_target"):
        assert figures[key]["acceptance_mean"] > 0.69
    assert figures["parameters"] == sum(parameter.numel() for parameter in middle.parameters())


def test_the_middle_model_has_the_pair_s_tokenizer():
    assert (FOLDER / "middle" / "tokenizer.json").read_bytes() == (FOLDER / "target" / "tokenizer.json").read_bytes()
