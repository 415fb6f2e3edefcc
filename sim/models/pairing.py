"""Whether a draft and a target speak the same tokens: id by id, not by size."""

from __future__ import annotations

from sim.core.errors import InputError
from sim.models.tokenizer import TextTokenizer


def check_same_tokens(draft: TextTokenizer, target: TextTokenizer) -> None:
    """Compare two tokenizers id by id, strings and special ids.

    Padding of the models' heads is not looked at: rows are cut to the tokenizer's ids before any softmax.

    Raises:
        InputError: They differ; the message names the first differing id and both strings.
    """
    if draft.vocabulary != target.vocabulary:
        ids = sorted(draft.strings.keys() | target.strings.keys())
        first = next(token for token in ids if draft.strings.get(token) != target.strings.get(token))
        raise InputError(
            f"draft {draft.name} and target {target.name} do not share a tokenizer: id {first} is "
            f"{_shown(draft, first)} for the draft and {_shown(target, first)} for the target "
            f"({len(draft.vocabulary)} and {len(target.vocabulary)} tokens)"
        )
    # A missing padding or unknown token changes no text; a different beginning or end does.
    for role in ("bos", "eos"):
        own, other = draft.special_ids.get(role), target.special_ids.get(role)
        if own is not None and other is not None and own != other:
            raise InputError(
                f"draft {draft.name} and target {target.name} do not share a tokenizer: the {role} token is "
                f"id {own} ({_shown(draft, own)}) for the draft and id {other} ({_shown(target, other)}) for the target"
            )


def _shown(tokenizer: TextTokenizer, token: int) -> str:
    text = tokenizer.strings.get(token)
    return "missing" if text is None else repr(text)
