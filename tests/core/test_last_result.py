"""The last result is remembered for the very same objects, and for no equal ones."""

from __future__ import annotations

from sim.core.last_result import last_result


def test_objects_count_and_not_what_they_equal():
    calls = []

    @last_result
    def joined(*parts: list[int]) -> list[int]:
        calls.append(len(parts))
        return [item for part in parts for item in part]

    one, same, more = [1], [1], [2]
    assert joined(one, more) == joined(one, more) == [1, 2] and len(calls) == 1
    assert joined(same, more) == [1, 2] and len(calls) == 2
    assert joined(same) == [1] and joined(one, more) == [1, 2] and len(calls) == 4
