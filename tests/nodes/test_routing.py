"""Which replica a request goes to, by what each policy may look at."""

from __future__ import annotations

from sim.serving.base import RequestInfo
from sim.serving.routing.registry import ROUTINGS


def chosen(name: str, *asked: tuple[int | None, list[int]]) -> list[int]:
    """Replicas for requests of these chat sessions, each with the load that it finds."""
    routing = ROUTINGS.find(name).make()
    return [routing.choose(RequestInfo(n, (1, 2), salt=salt), load) for n, (salt, load) in enumerate(asked)]


def test_round_robin_takes_turns_whatever_the_load():
    assert chosen("round_robin", (None, [9, 0]), (None, [9, 0]), (None, [9, 0])) == [0, 1, 0]


def test_least_loaded_takes_the_first_of_equals():
    assert chosen("least_loaded", (None, [2, 1, 1]), (None, [0, 1, 0])) == [1, 0]


def test_a_session_stays_where_its_history_is():
    assert chosen("session_affinity", (7, [1, 0]), (7, [0, 9]), (8, [0, 9]), (None, [0, 9])) == [1, 1, 0, 0]
