"""Whether a draft and a target speak the same tokens: id by id, not by size."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sim.models.tokenizer import TextTokenizer

# Roles of which a model has one id; what ends its texts, more than the tokenizer knows.
_ROLES = ("bos", "pad")


@dataclass(frozen=True, slots=True)
class Match:
    """How two vocabularies fit.

    Attributes:
        problem: Why the two cannot be a pair, or None.
        notes: What differs and does no harm, one sentence each.
    """

    problem: str | None = None
    notes: tuple[str, ...] = ()


def compare_tokens(draft: TextTokenizer, target: TextTokenizer) -> Match:
    """Compare two tokenizers id by id.

    Ids that one of them has at its end and the other lacks are no harm: the draft never proposes ids that it does not
    know, and its own further ids are cut from its rows. Nor are other special ids: those of the target end a text.
    Padding of the models' heads is not looked at: rows are cut to the tokenizer's ids before any softmax.
    """
    both = min(len(draft), len(target))
    mine, theirs = draft.strings, target.strings
    first = next((token for token in range(both) if mine.get(token) != theirs.get(token)), None)
    if first is not None:
        return Match(
            f"draft {draft.name} and target {target.name} do not share a tokenizer: id {first} is "
            f"{_shown(draft, first)} for the draft and {_shown(target, first)} for the target "
            f"({len(draft.vocabulary)} and {len(target.vocabulary)} tokens)"
        )
    return Match(notes=(*_length_notes(draft, target), *_role_notes(draft, target)))


def notes_of_ends(
    draft: TextTokenizer, target: TextTokenizer, draft_ends: Collection[int], target_ends: Collection[int]
) -> tuple[str, ...]:
    """That a draft and a target that speak the same tokens end texts with different ones.

    Args:
        draft: Tokenizer of the draft.
        target: Tokenizer of the target.
        draft_ends: Ids of the draft's own vocabulary that its files say end a text.
        target_ends: Those of the target, the only ones that a run ends a text with.
    """
    if set(draft_ends) == set(target_ends):
        return ()
    return (
        f"texts of draft {draft.name} end with {_ids(draft, draft_ends)}, those of target {target.name} with "
        f"{_ids(target, target_ends)}; the target's count",
    )


def notes_of_rows(draft: TextTokenizer, target: TextTokenizer, draft_rows: int, target_rows: int) -> tuple[str, ...]:
    """That rows of two models with the same tokens are of different widths, which their tokenizers do not tell.

    Args:
        draft: Tokenizer of the draft.
        target: Tokenizer of the target.
        draft_rows: Tokens that the draft's rows have.
        target_rows: Tokens that the target's rows have.
    """
    if len(draft) != len(target) or draft_rows == target_rows:
        return ()
    widths = f"draft {draft.name} has rows of {draft_rows} tokens and target {target.name} of {target_rows}"
    what = "the others are never proposed" if draft_rows < target_rows else "the draft's are cut to the target's"
    return (f"{widths}; {what}",)


def _ids(tokenizer: TextTokenizer, tokens: Collection[int]) -> str:
    return " or ".join(_role(tokenizer, token) for token in sorted(tokens)) or "no token"


def _length_notes(draft: TextTokenizer, target: TextTokenizer) -> list[str]:
    extra = len(target) - len(draft)
    if extra > 0:
        return [f"target {target.name} has {extra} more tokens than draft {draft.name}, which never proposes them"]
    if extra < 0:
        return [
            f"draft {draft.name} has {-extra} more tokens than target {target.name}; its rows are cut to the target's"
        ]
    return []


def _role_notes(draft: TextTokenizer, target: TextTokenizer) -> list[str]:
    notes = []
    for role in _ROLES:
        own, other = draft.special_ids.get(role), target.special_ids.get(role)
        if own != other:
            notes.append(
                f"the {role} token is {_role(draft, own)} for draft {draft.name} and {_role(target, other)} for target "
                f"{target.name}; the target's counts"
            )
    return notes


def _role(tokenizer: TextTokenizer, token: int | None) -> str:
    return "none" if token is None else f"id {token} ({_shown(tokenizer, token)})"


def _shown(tokenizer: TextTokenizer, token: int) -> str:
    text = tokenizer.strings.get(token)
    return "missing" if text is None else repr(text)
