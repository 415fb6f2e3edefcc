"""Drafts of another vocabulary: bytes of tokens, readings of texts, rows, and the exact law of the text."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sim.cli import _main
from sim.core.errors import InputError
from sim.models.cross_vocabulary import CrossVocabularyModel, VocabularyMap
from sim.models.describe import describe_model, describe_pair
from sim.models.interface import ForwardPass
from sim.models.loading import load_pair
from sim.models.tabular import TabularModel
from sim.models.token_bytes import bytes_by_id
from sim.models.tokenizer import TextTokenizer
from tests.models import builders
from tests.protocols.conftest import TOLERANCE, distance

# Ids 0 to 4 of the draft and 0 to 3 of the target; "ab" and "d" have no like, eos is a role and not a text.
DRAFT_TOKENS = ("<end>", "b", "a", "ab", "Ġa")
TARGET_TOKENS = ("a", "d", "b", "Ġa", "bab", "<eos>")


def tokenizer(name: str, tokens: tuple[str, ...], eos: int) -> TextTokenizer:
    vocabulary = {text: token for token, text in enumerate(tokens)}
    return TextTokenizer(
        name, vocabulary, {"eos": eos}, lambda text: [], lambda ids: "", all_special_ids=frozenset({eos})
    )


@pytest.fixture
def draft():
    model = TabularModel.random(5, len(DRAFT_TOKENS), name="draft")
    model.tokenizer = tokenizer("draft", DRAFT_TOKENS, 0)
    return model


@pytest.fixture
def target_tokenizer():
    return tokenizer("target", TARGET_TOKENS, 5)


@pytest.fixture
def crossed(draft, target_tokenizer):
    return CrossVocabularyModel(draft, target_tokenizer, len(TARGET_TOKENS), draft.eos_ids)


def test_tokens_are_compared_by_their_bytes():
    level = tokenizer("level", ("Ġthe", "Ã©", "Ċ", "!", "<s>"), 4)
    piece = tokenizer("piece", ("▁the", "é", "<0x0A>", "!", "<s>"), 4)
    assert bytes_by_id(level) == bytes_by_id(piece) == {0: b" the", 1: "é".encode(), 2: b"\n", 3: b"!"}


def test_texts_are_read_as_the_longest_tokens_of_the_draft(draft, target_tokenizer):
    shared = VocabularyMap(draft.tokenizer, target_tokenizer, begin_id=0)
    assert [shared.read(token) for token in range(6)] == [(2,), (0,), (1,), (4,), (1, 3), (0,)]
    assert shared.shared_targets.tolist() == [0, 2, 3, 5]
    assert shared.shared.tolist() == [2, 1, 4, 0]


def test_rows_are_the_drafts_over_shared_tokens_alone(draft, crossed):
    row = crossed.forward([ForwardPass("s", [0, 4, 2])])[0][0]
    own = draft.forward([ForwardPass("own", [2, 1, 3, 1])])[0][0]
    assert row[[0, 2, 3, 5]].tolist() == own[[2, 1, 4, 0]].tolist()
    assert np.isneginf(row[[1, 4]]).all()


def test_a_row_does_not_depend_on_what_is_context_and_what_is_block(crossed):
    """Chains, trees and single tokens; token 4 is two tokens of the draft."""
    path = [4, 0, 4, 2]
    single = [crossed.forward([ForwardPass(("one", cut), [3, *path[:cut]])])[0][-1] for cut in range(5)]
    for first_row in range(5):
        rows = crossed.forward([ForwardPass(("chain", first_row), [3], tuple(path), first_row=first_row)])[0]
        np.testing.assert_array_equal(rows, single[first_row:])
    tree = ForwardPass("tree", [3], (4, 1, 0, 2), (-1, -1, 0, 0))
    rows = crossed.forward([tree])[0]
    for row, text in zip(rows, ([3], [3, 4], [3, 1], [3, 4, 0], [3, 4, 2]), strict=True):
        np.testing.assert_array_equal(row, crossed.forward([ForwardPass(tuple(text), text)])[0][0])


def test_the_draft_is_priced_by_the_tokens_that_it_reads(crossed):
    assert crossed.new_tokens(ForwardPass("s", [0, 4], (4,))) == 5
    crossed.forward([ForwardPass("s", [0, 4], (4,))])
    assert crossed.new_tokens(ForwardPass("s", [0, 4, 4, 2], ())) == 1


@pytest.mark.parametrize(("name", "keys"), [("dsd", {}), ("tslt", {"top_k": 2}), ("dssd", {})])
def test_the_text_is_the_targets(name, keys, draft, target_tokenizer):
    """Exact enumeration, of pairs whose draft can propose four of the target's six tokens."""
    target = TabularModel.random(6, len(TARGET_TOKENS))
    crossed = CrossVocabularyModel(draft, target_tokenizer, len(TARGET_TOKENS), draft.eos_ids)
    assert distance(name, crossed, target, length=2, draft_length=1, **keys) <= TOLERANCE


def test_vocabularies_without_a_common_token_are_refused(draft):
    with pytest.raises(InputError, match="draft draft and target other have no token in common"):
        CrossVocabularyModel(draft, TextTokenizer("other", {"x": 0, "y": 1}, {}, list, str), 2, draft.eos_ids)


def test_a_reading_beyond_the_drafts_context_is_refused(draft, crossed):
    draft.max_context = 6
    with pytest.raises(InputError, match=r"models\.draft: .* reads a text as 8 tokens of its own, more than its"):
        crossed.forward([ForwardPass("s", list(itertools.repeat(4, 4)))])


def test_a_check_of_two_vocabularies_says_how_many_tokens_they_share(tmp_path, capsys):
    """As many as a run says that the draft proposes; special tokens count by what they are for."""
    for name, odd in (("draft", "strange"), ("target", None)):
        builders.save(builders.network("opt"), tmp_path / name, tokenizer=builders.words(100, odd=odd))
    words = ["models", "check", str(tmp_path / "draft"), "--with", str(tmp_path / "target")]
    assert _main(words) == 1
    draft, _ = load_pair(str(tmp_path / "draft"), str(tmp_path / "target"), draft_vocabulary="shared_tokens")
    assert "it proposes the 99 of its 100 tokens that both have" in draft.notes[-1]
    said = "99 tokens are in both vocabularies; models.draft_vocabulary: shared_tokens pairs the two by them"
    assert capsys.readouterr().out.splitlines()[-1] == f"  note: {said}"
    assert _main([*words[:4], words[2]]) == 0
    assert "shared_tokens" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ({"draft": 90, "target": 100}, "rows of 90 tokens and target {target} of 100; the others are never proposed"),
        (
            {"draft": 100, "target": 90},
            "rows of 100 tokens and target {target} of 90; the draft's are cut to the target's",
        ),
    ],
)
def test_a_pair_whose_rows_differ_in_width_is_told_alike_by_check_and_run(rows, said, tmp_path):
    folders = {role: str(tmp_path / role) for role in rows}
    for role, vocab_size in rows.items():
        builders.save(
            builders.network("Llama", vocab_size=vocab_size, **builders.MODERN),
            tmp_path / role,
            tokenizer=builders.words(100),
        )
    found = describe_pair(*(describe_model(folder) for folder in folders.values()))
    draft, _ = load_pair(*folders.values())
    assert found["possible"] and found["shared_tokens"] == 90
    assert (
        [note for note in found["notes"] if "has rows of" in note]
        == [note for note in draft.notes if "has rows of" in note]
        == [f"draft {folders['draft']} has {said.format(**folders)}"]
    )
