"""What verification costs against the forwards it follows, and what a tree costs against a chain of as many tokens."""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from sim.decoding.core.draft_tree import DraftTree
from sim.decoding.core.drafting import draw_candidates
from sim.decoding.core.random_source import KeyedRandom
from sim.decoding.core.rows import Row, Sampling
from sim.decoding.core.wire.row_codec import RowCodec, RowFormat
from sim.decoding.verification.base import RULES
from sim.models.interface import ForwardPass, LanguageModel
from tests.bench.measure import result

_VOCABULARY = 32_768
_TOP_K = 1_024
_CANDIDATES = {"single": 1, "gumbel": 1}
# The optimal transport plan without replacement is for small supports; with replacement it has no such limit.
_MODES = {"optimal": "iid"}


def _large_model(folder: Path) -> LanguageModel:
    """A Llama of about a hundred million parameters with random weights: small for a target, so a strict yardstick."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from sim.models.huggingface import HuggingFaceModel

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=_VOCABULARY, hidden_size=512, intermediate_size=1408, num_hidden_layers=8, num_attention_heads=8,
        num_key_value_heads=8, max_position_embeddings=512, tie_word_embeddings=True,
    )  # fmt: skip
    return HuggingFaceModel(
        LlamaForCausalLM(config).eval(), name="random", vocab_size=_VOCABULARY, eos_ids=frozenset(), bos_id=0,
        fingerprint="random",
    )  # fmt: skip


def _median_s(action: Callable[[int], object], repeats: int = 15) -> float:
    times = []
    for number in range(repeats):
        start = perf_counter()
        action(number)
        times.append(perf_counter() - start)
    return statistics.median(times)


def _rule_results(forward_s: float) -> list[dict[str, Any]]:
    """One position: the target's row from its logits, candidates drawn, the rule's decision."""
    rng = np.random.Generator(np.random.Philox(key=1))
    sampling = Sampling()
    logits = rng.normal(size=_VOCABULARY).astype(np.float32) * 3
    codec = RowCodec(_VOCABULARY, RowFormat(top_k=_TOP_K))
    q: Row = codec.code(sampling.row(logits + rng.normal(size=_VOCABULARY).astype(np.float32))).row
    results = []
    for entry in RULES:
        count = _CANDIDATES.get(entry.name, 4)
        mode = _MODES.get(entry.name)
        rule = entry.make(mode) if mode else entry.make()

        def position(number: int, rule: Any = rule, count: int = count, name: str = entry.name) -> None:
            rng = KeyedRandom("bench", name, number)
            candidates = draw_candidates(rule.mode, q, count, rng.at("draft"))
            rule.choose(sampling.row(logits), q, candidates, rng.at("verify"))

        seconds = _median_s(position)
        results.append(
            result(f"{entry.name}: row, {count} candidate(s) and decision over a 5-token forward, per position",
                   seconds * 5 / forward_s, "of the forward", at_most=1.0, position_ms=1e3 * seconds)
        )  # fmt: skip
    return results


def _tree(branching: list[int]) -> DraftTree:
    """A full tree of arbitrary tokens."""
    tree, frontier = DraftTree.empty(), [-1]
    row = RowCodec(_VOCABULARY, RowFormat(top_k=8)).code(Row.dense_row(np.ones(_VOCABULARY)))
    for width in branching:
        frontier = [child for node in frontier for child in tree.expand(node, row, range(1, width + 1))]
    return tree


def run() -> list[dict[str, Any]]:
    """Both comparisons on one random model with a vocabulary of 32,768."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        model = _large_model(Path(folder))
    context = list(range(1, 97))
    tree = _tree([4, 2, 2])

    def timed(block: tuple[int, ...], parents: tuple[int, ...] | None) -> float:
        model.close("bench")
        model.forward([ForwardPass("bench", context)])
        start = perf_counter()
        model.forward([ForwardPass("bench", context, block, parents)])
        return perf_counter() - start

    chain = tuple(range(1, len(tree.tokens) + 1))
    timed(chain, None), timed(tuple(tree.tokens), tree.shape)
    pairs = [(timed(tuple(tree.tokens), tree.shape), timed(chain, None)) for _ in range(9)]
    ratio = statistics.median(a / b for a, b in pairs)
    forward_s = statistics.median(timed(chain[:4], None) for _ in range(9))
    return [
        *_rule_results(forward_s),
        result(f"tree of {len(tree.tokens)} nodes over a chunk of as many tokens", ratio, "ratio", at_most=1.5,
               chunk_ms=1e3 * statistics.median(b for _, b in pairs)),
    ]  # fmt: skip
