"""Published times and energies of language-model steps on named hardware, beside what the roofline says of them.

The table holds a row per point. ``use`` says whether a class's or runtime's figures were set or fitted with the point
in sight (``fit``) or without it (``judged``); what they were fitted to stands in the tables of ``sim/compute/data``.

Work: ``linear`` (linear layers of ``size`` tokens), ``decode`` (``size`` sequences of a ``context``), ``prompt`` (of
``size`` tokens), ``mixed`` (decoding with ``length`` prompt tokens for each sequence), ``static`` (``size`` prompts of
``context`` tokens in one step, then ``length`` steps of decoding).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sim.compute.base import WorkSize
from sim.compute.roofline import RooflineCompute, RooflineSettings, price_model

TABLE = Path(__file__).with_name("measured_points.csv")


@dataclass(frozen=True)
class MeasuredPoint:
    """A measured figure and the priced one.

    Attributes:
        what: Hardware, model, precision and work.
        source: Where the measured figure was published.
        unit: Unit of both.
        expected: The measured figure.
        got: The priced one.
        use: ``fit`` or ``judged``.
        note: What should be known of the measured figure.
    """

    what: str
    source: str
    unit: str
    expected: float
    got: float
    use: str
    note: str

    @property
    def error(self) -> float:
        """Relative error of the priced figure."""
        return self.got / self.expected - 1.0


def rows() -> list[MeasuredPoint]:
    """All measured points, priced."""
    return list(_rows())


def mean_absolute_error(points: list[MeasuredPoint]) -> float:
    """Mean absolute relative error (MAPE, as a share)."""
    return sum(abs(point.error) for point in points) / len(points)


def _rows() -> Iterator[MeasuredPoint]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            got = _price(row)
            yield MeasuredPoint(
                row["what"], row["source"], row["unit"], float(row["expected"]), got, row["use"], row["note"]
            )


def _model(row: dict[str, str]) -> RooflineCompute:
    keys: dict[str, Any] = {
        "hardware": row["hardware"],
        "model_size": row["model"],
        "runtime": row["runtime"],
        "weights": row["weights"],
        "num_processors": int(row["processors"]),
    }
    if row["bytes_per_weight"]:
        keys["bytes_per_weight"] = float(row["bytes_per_weight"])
    if row["cached"]:
        keys["bytes_per_cached_value"] = float(row["cached"])
    return price_model(RooflineSettings(**keys))


def _price(row: dict[str, str]) -> float:
    model, size = _model(row), int(row["size"])
    context, length = int(row["context"] or 0), int(row["length"] or 0)
    if row["work"] == "linear":
        return 1e3 * _linear_s(model, size)
    if row["work"] == "prompt":
        return 1e3 * model.price([WorkSize(size, size, 1)]).seconds
    if row["work"] == "static":
        return size * length / _static_s(model, size, context, length)
    batch = [WorkSize(1, context, 1)] * size
    if row["work"] == "mixed":
        batch = [*batch, WorkSize(length * size, context // 2, 0)]
    price = model.price(batch)
    if row["unit"] == "J/token":
        return (price.joules + model.idle_power_w * price.seconds) / size
    return 1e3 * price.seconds


def _linear_s(model: RooflineCompute, tokens: int) -> float:
    """Linear layers alone: no attention, no head, nothing exchanged."""
    step = replace(model.step, shape=model.shape.linear_layers_only())
    cost = step.cost([WorkSize(tokens, tokens, 0)])
    return cost.seconds - cost.all_reduce_s


def _static_s(model: RooflineCompute, size: int, prompt: int, length: int) -> float:
    total_s = model.price([WorkSize(prompt, prompt, 1)] * size).seconds
    return total_s + sum(model.price([WorkSize(1, prompt + done, 1)] * size).seconds for done in range(1, length))


if __name__ == "__main__":
    for point in rows():
        print(
            f"{point.what:<60} {point.expected:>9g} {point.got:>9.4g} {point.unit:<8} {point.error:+7.1%} {point.use}"
        )
    for use in ("judged", "fit"):
        chosen = [point for point in rows() if point.use == use]
        worst = max(chosen, key=lambda point: abs(point.error))
        print(f"{use}: {len(chosen)} points, mean error {mean_absolute_error(chosen):.1%}, worst {worst.error:+.1%}")
