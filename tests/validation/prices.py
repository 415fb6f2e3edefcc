"""Prices of the roofline against measured hardware: published decode, prefill and batch times and energies.

The points stand in ``tests/compute/measured_points.csv``. All together agree within 8 % on average, each within 25 %; a
row says whether the figures of its class or runtime were fitted with the point in sight.
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.compute.measured_points import MeasuredPoint, mean_absolute_error, rows
from tests.validation.registry import Row, between, near, section

PRICES = "prices against measured hardware"
_OF_POINTS = "tests/compute/measured_points.csv"


def point_row(point: MeasuredPoint, tolerance: float) -> Row:
    """A measured point and its price."""
    used = "the figures of its class or runtime were fitted with it in sight" if point.use == "fit" else ""
    note = "; ".join(part for part in (point.note, used) if part)
    return near(f"{point.what} [{point.unit}]", point.source, point.expected, point.got, rel=tolerance, note=note)


@section(PRICES)
def measured_points() -> Iterable[Row]:
    """Every published time beside its price."""
    for point in rows():
        if point.unit != "J/token":
            yield point_row(point, 0.25)


@section(PRICES)
def errors_of_all_points() -> Iterable[Row]:
    """The mean and the largest absolute error over all points, those of energy included."""
    points = rows()
    worst = max(points, key=lambda point: abs(point.error))
    judged = [point for point in points if point.use == "judged"]
    parts = ((f"all {len(points)} points", points), (f"the {len(judged)} that nothing was fitted to", judged))
    for name, chosen in parts:
        error = 100 * mean_absolute_error(chosen)
        yield between(f"mean absolute error over {name} [%]", _OF_POINTS, 0.0, 8.0, error)
    note = worst.what
    yield between("largest absolute error of a point [%]", _OF_POINTS, 0.0, 25.0, 100 * abs(worst.error), note=note)
