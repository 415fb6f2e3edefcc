"""What a verification rule is, and the registry of their names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

from sim.core.errors import InputError
from sim.core.registry import Registry
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.rows import Row

MODES = ("iid", "without_replacement", "top_k_plus_sample", "top_k", "shared_noise")

# With one candidate these modes of drawing are the same.
_ONE_SAMPLE = frozenset({"iid", "without_replacement", "top_k_plus_sample"})


@dataclass(frozen=True, slots=True)
class Choice:
    """A rule's decision at one position.

    Attributes:
        accepted: Index of the accepted candidate, or None.
        token: The accepted candidate's id, or the correction.
    """

    accepted: int | None
    token: int


class Rule(ABC):
    """Accepts one of the candidates of a position or corrects.

    Attributes:
        exact_for: Modes of drawing candidates (``sim.decoding.core.drafting.draw_candidates``) for which the emitted
            token follows the target's row exactly; every pairing with another is refused.
        max_candidates: Most candidates per position that it can handle, or None.
    """

    exact_for: ClassVar[frozenset[str]]
    max_candidates: ClassVar[int | None] = None

    def __init__(self, mode: str | None = None) -> None:
        """Remember how candidates are drawn, by default in the first mode for which the rule is exact."""
        self.mode = mode if mode is not None else next(known for known in MODES if known in self.exact_for)

    @abstractmethod
    def choose(self, p: Row, q: Row, candidates: Sequence[int], rng: RandomSource) -> Choice:
        """Decide one position.

        Args:
            p: The target's row.
            q: The row that the candidates were drawn from.
            candidates: Token ids in draw order, at least one.
            rng: Random source.
        """

    @classmethod
    def too_long(cls, mode: str, candidates: int, row_length: int) -> str | None:  # noqa: ARG003
        """Why rows of so many tokens are more than the rule can handle; None if they are not, as with most rules."""
        return None


RULES: Registry[type[Rule]] = Registry("verification rule", "sim.decoding.verification")


def proposal_of(row: Row, token: int) -> float:
    """Probability with which a candidate was drawn.

    Raises:
        ValueError: None, so that it cannot have been drawn from this row.
    """
    probability = row.prob(token)
    if probability <= 0:
        raise ValueError(f"candidate {token} has no probability in the row it was drawn from")
    return probability


def find_rule(name: str, mode: str, candidates: int, row_length: int | None = None) -> Rule:
    """A rule by name, for candidates drawn in a given mode.

    Args:
        name: RegistryEntry name.
        mode: One of ``MODES``.
        candidates: Most candidates per position.
        row_length: Most tokens of the rows that they are drawn from, None where that is not known yet.

    Raises:
        InputError: No such rule, the pairing is not exact, or the rows are longer than the rule can handle.
    """
    entry = RULES.find(name)
    rule = entry.make
    if not entry.loaded:
        # Of a user's own code that is not to run nothing but the name is known; the scenario is only checked.
        return cast(Rule, rule)
    if rule.max_candidates is not None and candidates > rule.max_candidates:
        raise InputError(
            f"verification rule {name!r} tests {rule.max_candidates} candidate(s) per position, got {candidates}"
        )
    if mode == "shared_noise" and candidates > 1:
        raise InputError(f"shared_noise draws 1 candidate per position, got {candidates}")
    alike = _ONE_SAMPLE if candidates == 1 and mode in _ONE_SAMPLE else frozenset({mode})
    if not alike & rule.exact_for:
        exact = ", ".join(sorted(rule.exact_for))
        raise InputError(f"verification rule {name!r} is not exact for candidates drawn {mode!r}; exact for: {exact}")
    if row_length is not None and (problem := rule.too_long(mode, candidates, row_length)):
        raise InputError(problem)
    return rule(mode)
