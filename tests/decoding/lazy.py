"""Exact laws of trees at less cost: draws below a node are only followed where verification looks at that node.

What was drawn below a candidate that was not accepted cannot touch the text, if verification walks one path and every
node has random numbers of its own. Here such draws are left at whatever comes first until verification asks for the
target's row at their node; then the run begins anew with these draws followed branch by branch. That the shortcut gives
what full enumeration gives is a test of its own (``test_law_matrix.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

import pytest

from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.rows import Row
from sim.decoding.protocols import exchange
from sim.decoding.verification import round as verification

Key = tuple[Hashable, ...]


class Branch(BaseException):  # control flow: what wraps the errors of a protocol lets it pass
    """A draw that the path does not say the outcome of."""

    def __init__(self, key: Key, options: list[tuple[int, float]]) -> None:
        super().__init__(key)
        self.key = key
        self.options = options


class Look(BaseException):
    """Verification asks for the row at a node whose candidates' draws were not followed yet."""

    def __init__(self, node: Key) -> None:
        super().__init__(node)
        self.node = node


class LazyDraw(RandomSource):
    """A random source with given outcomes by key, and the drafted nodes whose draws are followed.

    Args:
        told: Outcome of each draw on the path.
        opened: ``(position, node)`` of the drafted nodes that verification has looked at on this path.
        address: Where this source stands.
    """

    def __init__(self, told: dict[Key, int], opened: frozenset[Key], address: Key = ()) -> None:
        self.told = told
        self.opened = opened
        self._address = address
        self._count = 0

    def at(self, purpose: str, *address: int) -> LazyDraw:
        return LazyDraw(self.told, self.opened, (*self._address, purpose, *address))

    def _outcome(self, options: list[tuple[int, float]]) -> int:
        key = (*self._address, self._count)
        self._count += 1
        if key in self.told:
            return self.told[key]
        options = [option for option in options if option[1] > 0]
        if self._address[0] == "draft" and self._address[1:] not in self.opened:
            return options[0][0]
        raise Branch(key, options)

    def bernoulli(self, probability: float) -> bool:
        probability = min(1.0, max(0.0, probability))
        return bool(self._outcome([(1, probability), (0, 1.0 - probability)]))

    def categorical(self, row: Row) -> int:
        return self._outcome([(token, float(p)) for token, p in enumerate(row.dense())])


def lazy_law(run: Callable[[RandomSource], Hashable], patch: pytest.MonkeyPatch) -> dict[Hashable, float]:
    """The law of what ``run`` returns, a tree protocol that verifies with ``verification.round.verify``."""
    verify = verification.verify

    def watched(rows, draft, rule, position, draw):
        after = rows.after

        def looked(node: int) -> Row:
            place = (position + draft.depth_of(node), node)
            if draft.children(node) and place not in draw.opened:
                raise Look(place)
            return after(node)

        rows.after = looked
        return verify(rows, draft, rule, position, draw)

    patch.setattr(exchange, "verify", watched)
    outcomes: dict[Hashable, float] = {}
    waiting: list[tuple[dict[Key, int], frozenset[Key], float]] = [({}, frozenset(), 1.0)]
    while waiting:
        told, opened, weight = waiting.pop()
        try:
            outcome = run(LazyDraw(told, opened))
        except Branch as branch:
            waiting += [({**told, branch.key: value}, opened, weight * p) for value, p in branch.options]
        except Look as look:
            waiting.append((told, opened | {look.node}, weight))
        else:
            outcomes[outcome] = outcomes.get(outcome, 0.0) + weight
    return outcomes
