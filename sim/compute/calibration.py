"""A calibration: a model's forward time on a host as six non-negative coefficients, and the fit that finds them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from sim.compute.base import WorkSize


@dataclass(frozen=True, slots=True)
class Coefficients:
    """seconds = forward + matrix [N > 1] + request (B - 1) + token N + attention sum(n c) + row sum(r).

    B forwards share the batch; each feeds n new tokens (N in all) that attend to a text of c tokens and returns r
    rows. None is negative, so time never falls when a batch, a text or a draft grows.

    Attributes:
        forward_s: One batched forward, whatever its size.
        matrix_s: Once if the batch feeds more than one token: matrix products where a single token, the step of all
            drafting, needs products with a vector only.
        request_s: Every further forward of the batch.
        token_s: Every token fed.
        attention_s: Every pair of a token fed and a token of its text.
        row_s: Every row of logits.
    """

    forward_s: float
    matrix_s: float
    request_s: float
    token_s: float
    attention_s: float
    row_s: float

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
                raise ValueError(f"{name} must be a finite number and not negative, got {value!r}")

    def seconds(self, batch: Sequence[WorkSize]) -> float:
        """Time of one batched forward [s]."""
        total = self.forward_s + self.request_s * (len(batch) - 1)
        if len(batch) > 1 or batch[0].new_tokens > 1:
            total += self.matrix_s
        for work in batch:
            total += work.new_tokens * (self.token_s + self.attention_s * work.context_tokens)
            total += self.row_s * work.num_rows
        return total


@dataclass(frozen=True, slots=True)
class Host:
    """What a timing depends on besides the model.

    Attributes:
        cpu: The processor's own name.
        torch_version: Version of PyTorch, ``none`` where it is not installed.
        threads: Threads that the forwards ran on.
    """

    cpu: str
    torch_version: str
    threads: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """One model's timing on one host.

    Attributes:
        model_name: What the model was called when it was timed; for people only.
        model_fingerprint: Content hash of the model; what a calibration is found by.
        host: Where it was timed.
        coefficients: The fit.
        median_relative_error: Median over the grid of |fitted - measured| / measured.
        max_relative_error: The largest of them.
        num_points: Batches of different size that were timed.
        num_repeats: How often each was timed; the fit is to medians.
        measured_on: Date of the timing, ISO 8601.
    """

    model_name: str
    model_fingerprint: str
    host: Host
    coefficients: Coefficients
    median_relative_error: float
    max_relative_error: float
    num_points: int
    num_repeats: int
    measured_on: str

    @property
    def content_hash(self) -> str:
        """Hash of all that prices depend on: the model and the coefficients."""
        content = {"model": self.model_fingerprint, "coefficients": asdict(self.coefficients)}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """As plain data, with the content hash that ``from_json`` checks."""
        return {**asdict(self), "content_hash": self.content_hash}

    @classmethod
    def from_json(cls, data: object) -> Calibration:
        """Rebuild from plain data.

        Raises:
            ValueError: A key is missing or of the wrong type, a coefficient is negative, or the hash does not fit.
        """
        try:
            values: dict[str, Any] = dict(data)  # type: ignore[call-overload]
            stated_hash = values.pop("content_hash")
            values["host"] = Host(**values["host"])
            values["coefficients"] = Coefficients(**values["coefficients"])
            calibration = cls(**values)
        except (TypeError, KeyError) as error:
            raise ValueError(f"not a calibration: {error}") from error
        for name in (field.name for field in fields(cls) if field.name in _NUMBERS):
            if not isinstance(getattr(calibration, name), (int, float)):
                raise ValueError(f"not a calibration: {name} is {getattr(calibration, name)!r}")
        if stated_hash != calibration.content_hash:
            raise ValueError(f"content hash is {stated_hash!r}, the coefficients hash to {calibration.content_hash!r}")
        return calibration


_NUMBERS = frozenset({"median_relative_error", "max_relative_error", "num_points", "num_repeats"})


@dataclass(frozen=True, slots=True)
class Fit:
    """Coefficients with the errors that they leave, relative to what was measured."""

    coefficients: Coefficients
    median_relative_error: float
    max_relative_error: float


def fit(batches: Sequence[Sequence[WorkSize]], seconds: Sequence[float]) -> Fit:
    """Non-negative least squares on the relative error, so that short forwards count as much as long ones.

    Args:
        batches: Batched forwards of different sizes, at least as many as there are coefficients.
        seconds: What each took [s], all above zero.

    Raises:
        ValueError: Too few points, a time that is not above zero, or lengths that differ.
    """
    from scipy.optimize import nnls

    measured = np.asarray(seconds, dtype=np.float64)  # [num_points]
    num_coefficients = len(fields(Coefficients))
    if len(batches) != len(measured) or len(batches) < num_coefficients:
        raise ValueError(f"need one time for each of {num_coefficients} batches or more, got {len(measured)} times")
    if not bool(np.all(np.isfinite(measured) & (measured > 0))):
        raise ValueError(f"every measured time must be finite and above zero, got {float(measured.min())} s at least")
    relative = np.array([_features(batch) for batch in batches]) / measured[:, None]  # [num_points, num_coefficients]
    scale = np.linalg.norm(relative, axis=0)
    scale[scale == 0] = 1.0
    solution, _ = nnls(relative / scale, np.ones(len(measured)))
    errors = np.abs(relative @ (solution / scale) - 1.0)
    coefficients = Coefficients(*(float(value) for value in solution / scale))
    return Fit(coefficients, float(np.median(errors)), float(errors.max()))


def _features(batch: Sequence[WorkSize]) -> npt.NDArray[np.float64]:
    """What each coefficient is multiplied by, in the order of ``Coefficients``: [num_coefficients]."""
    unit = np.eye(len(fields(Coefficients)))
    return np.array([Coefficients(*row).seconds(batch) for row in unit.tolist()])
