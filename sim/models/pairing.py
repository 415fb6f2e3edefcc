"""Whether a draft and a target speak the same tokens: id by id, not by size."""

from __future__ import annotations

from dataclasses import dataclass

from sim.models.tokenizer import TextTokenizer

# Roles whose ids decide where a text begins and ends; the target's count.
_ROLES = ("bos", "eos", "pad")


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
