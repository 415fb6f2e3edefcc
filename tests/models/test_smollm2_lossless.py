"""Losslessness over a real chat model in float32: its rows, its key-value caches, the verifiers that runs use.

Where the target is not in the cache it is fetched; where it cannot be fetched, these tests fail with that message.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest

from sim.decoding.core.draft_tree import DraftTree
from sim.decoding.core.drafting import candidate_rng, draw_candidates
from sim.decoding.core.random_source import KeyedRandom
from sim.decoding.core.request import Request
from sim.decoding.core.rows import Row, Sampling, overlap
from sim.decoding.core.wire.row_codec import CodedRow, RowCodec, RowFormat
from sim.decoding.drivers.instant import InstantDriver
from sim.decoding.protocols.registry import PROTOCOLS, sites_of
from sim.decoding.verification.base import Rule, find_rule
from sim.decoding.verification.round import TargetRows, verify
from sim.inputs.prompts import read_prompts
from sim.models.interface import ForwardPass, LanguageModel
from sim.models.loading import load_pair
from tests.decoding.test_negative_controls import InvertedRatio
from tests.decoding.test_sampled_path import g_test

DRAFT, TARGET = "smollm2/draft", "smollm2/target"
PROMPTS, TOKENS = 20, 3
# Two best logits that are nearer than this may change places between batches: texts are compared up to there.
NEAR_TIE = 1e-3
DRAWS = 20_000
TARGET_TOP_K = 256
FALSE_ALARM = 1e-6
LOSSLESS = [entry.name for entry in PROTOCOLS if entry.traits["lossless"]]
KEYS: dict[str, dict[str, Any]] = {
    "tk_slt": {"draft_length": 2},
    "hsd": {"blocks": [1, 2]},
    "residual": {"draft_length": 2},
    "prompt_lookup": {"draft_length": 2},
}


@pytest.fixture(scope="module")
def pair() -> tuple[LanguageModel, LanguageModel]:
    draft, target = load_pair(DRAFT, TARGET)
    assert str(target.vocab_size) == "49152"
    return draft, target


@pytest.fixture(scope="module")
def prompts(pair: tuple[LanguageModel, LanguageModel]) -> list[list[int]]:
    """The first words of questions of all kinds, as plain text."""
    tokenizer = pair[1].tokenizer
    assert tokenizer is not None
    chats = read_prompts("chat")
    texts = [chat[-1][1] for prompt in chats[:: len(chats) // PROMPTS] if (chat := prompt.chat)]
    return [list(tokenizer.encode(text))[:8] for text in texts[:PROMPTS]]


@pytest.fixture(scope="module")
def greedy(pair: tuple[LanguageModel, LanguageModel], prompts: list[list[int]]) -> list[list[int]]:
    """The target alone, token by token; each text ends before a near tie."""
    _, target = pair
    texts = [list(prompt) for prompt in prompts]
    sure = [True] * len(texts)
    for _ in range(TOKENS):
        rows = target.forward([ForwardPass(("alone", place), text) for place, text in enumerate(texts)])
        for place, (text, row) in enumerate(zip(texts, rows, strict=True)):
            second, best = np.partition(row[-1], -2)[-2:]
            sure[place] = sure[place] and bool(best - second > NEAR_TIE)
            if sure[place]:
                text.append(int(row[-1].argmax()))
    target.forget_all()
    return [text[len(prompt) :] for text, prompt in zip(texts, prompts, strict=True)]


def texts_of(name: str, models: dict[str, LanguageModel], prompts: list[list[int]], first_id: int) -> list[Request]:
    """What a protocol writes after each prompt at temperature 0, side by side; each was fed before."""
    entry = PROTOCOLS.find(name)
    keys = KEYS.get(name, {"draft_length": 2} if "draft_length" in entry.settings.model_fields else {})
    settings = entry.settings(**keys)
    requests = []
    for place, prompt in enumerate(prompts):
        request = Request(first_id + place, prompt, 49_152, TOKENS, sampling=Sampling(temperature=0))
        for role, site in sites_of(entry, settings).items():
            models[role].copy_session(("prompt", place), (request.id, site.value, role))
        requests.append(request)
    protocols = [entry.make(request, settings, KeyedRandom(1, "request", request.id)) for request in requests]
    InstantDriver(models, encodes=False).run_all(protocols, requests=requests)
    for request in requests:
        for model in models.values():
            model.close_request(request.id)
    return requests


def test_every_lossless_protocol_writes_what_the_target_writes_at_temperature_0(pair, prompts, greedy):
    """Token for token on 20 prompts, every verification a forward of its own over caches that were rolled back."""
    draft, target = pair
    assert sum(len(text) for text in greedy) > 0.9 * PROMPTS * TOKENS
    for model in pair:
        model.forward([ForwardPass(("prompt", place), prompt) for place, prompt in enumerate(prompts)])
    rounds = []
    for number, name in enumerate(LOSSLESS):
        models = {"draft": draft, "middle": draft, "target": target}
        for place, request in enumerate(texts_of(name, models, prompts, number * PROMPTS)):
            assert request.tokens[: len(greedy[place])] == greedy[place], (name, place)
            rounds += request.rounds
    share = sum(round_.accepted for round_ in rounds) / sum(round_.tested for round_ in rounds)
    assert 0.1 < share < 0.95  # drafts are accepted, and rejected too


class RealRows(TargetRows):
    """Rows after the tokens of one text, each computed once."""

    def __init__(self, source: RowsOfTexts, text: tuple[int, ...], drafted: Sequence[int]) -> None:
        self._source, self._text, self._drafted = source, text, tuple(drafted)

    def wait_for(self, node: int) -> Generator[Any, Any, None]:
        yield from ()

    def after(self, node: int) -> Row:
        text = (*self._text, *self._drafted[: node + 1])
        # A third token is drawn and not looked at: any row will do, for the time that the real ones would take.
        return self._source.p(text if len(text) < 2 else ())


class RowsOfTexts:
    """Rows of target and draft that follow a prompt and up to one token more."""

    def __init__(self, pair: tuple[LanguageModel, LanguageModel], prompt: list[int]) -> None:
        self._pair, self._prompt = pair, prompt
        self._codec = RowCodec(49_152, RowFormat(top_k=64))
        self.p, self.q = cache(self._p), cache(self._q)

    def _logits(self, model: LanguageModel, text: tuple[int, ...]) -> Any:
        # A block after a prompt that stays cached.
        return model.forward([ForwardPass("rows", self._prompt, text, first_row=len(text))])[0][0]

    def _p(self, text: tuple[int, ...]) -> Row:
        """As ``workload.top_k`` cuts it, for the time that rows after every token of the vocabulary would take."""
        dense = Sampling(1.0, top_k=TARGET_TOP_K).row(self._logits(self._pair[1], text)).dense()
        ids = np.flatnonzero(dense)
        return Row.sparse_row(len(dense), ids, dense[ids])

    def _q(self, text: tuple[int, ...]) -> CodedRow:
        return self._codec.code(Sampling(1.0).row(self._logits(self._pair[0], text)))


def drawn(rows: RowsOfTexts, rule: Rule, seed: int) -> tuple[int, int]:
    """The first two tokens that rounds of one drafted token emit, drawn and verified as runs do it."""
    text: tuple[int, ...] = ()
    rng = KeyedRandom(seed, "request", 0)
    while len(text) < 2:
        coded, tree, position = rows.q(text), DraftTree.empty(), len(text)
        tree.expand(-1, coded, draw_candidates("iid", coded.row, 1, candidate_rng("iid", rng, position)))
        run = verify(RealRows(rows, text, tree.tokens), tree, rule, position, rng)
        try:
            next(run)
        except StopIteration as end:
            text = (*text, *tree.path_to(end.value.last_accepted), end.value.token)
    return text[0], text[1]


def p_value(rows: RowsOfTexts, texts: list[tuple[int, int]]) -> float:
    """Of a G-test of pairs of tokens against p(first) p(second | first); what is expected too rarely is one cell."""
    counts: dict[tuple[int, int], int] = {}
    for pair in texts:
        counts[pair] = counts.get(pair, 0) + 1
    observed, probs = [], []
    first = rows.p(()).dense()
    for token in np.flatnonzero(first * len(texts) >= 5).tolist():
        both = first[token] * rows.p((token,)).dense()
        for second in np.flatnonzero(both * len(texts) >= 5).tolist():
            observed.append(counts.get((token, second), 0))
            probs.append(both[second])
    observed.append(len(texts) - sum(observed))
    probs.append(1.0 - sum(probs))
    return g_test(np.array(observed), np.array(probs))


def test_20000_draws_at_temperature_1_follow_the_target(pair):
    """A G-test of the first two positions; the level is one false alarm in a million."""
    tokenizer = pair[1].tokenizer
    prompt = tokenizer.encode_chat([{"role": "user", "content": "Name a colour."}])
    rows = RowsOfTexts(pair, list(prompt))
    assert 0.3 < overlap(rows.p(()), rows.q(()).row) < 0.95
    rule = find_rule("single", "iid", 1)
    assert p_value(rows, [drawn(rows, rule, seed) for seed in range(DRAWS)]) > FALSE_ALARM
    # A verifier with the ratio upside down is found out by a fifth of the draws.
    assert p_value(rows, [drawn(rows, InvertedRatio(), seed) for seed in range(DRAWS // 5)]) < FALSE_ALARM
