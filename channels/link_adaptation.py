"""Link adaptation: the outer loop that steers the error rate to its target."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from channels._validation import require_between, require_positive

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class OuterLoop:
    """Outer-loop link adaptation: an offset in dB that is added to the reported SINR.

    ACK: offset += up; NACK: offset -= down; up / down = target / (1 - target), so that the mean step vanishes exactly
    when the error rate of first transmissions equals the target. A larger step reacts faster and wanders more.

    Attributes:
        target_bler: error rate to hold, in (0, 1).
        nack_step_db: down, the step on a NACK.
        min_offset_db, max_offset_db: the offset is kept between them.
    """

    target_bler: float = 0.1
    nack_step_db: float = 1.0
    min_offset_db: float = -20.0
    max_offset_db: float = 20.0

    def __post_init__(self) -> None:
        require_between("target_bler", self.target_bler, 1e-6, 1 - 1e-6)
        require_positive("nack_step_db", self.nack_step_db)
        if not self.min_offset_db <= 0 <= self.max_offset_db:
            raise ValueError(
                f"offset range: got {self.min_offset_db} to {self.max_offset_db}; valid: a range that holds 0"
            )

    @property
    def ack_step_db(self) -> float:
        """Up = down * target / (1 - target)."""
        return self.nack_step_db * self.target_bler / (1 - self.target_bler)

    def step_db(self, is_ack: npt.ArrayLike) -> Array:
        """Signed step for each outcome. [...]."""
        return np.where(np.asarray(is_ack, dtype=bool), self.ack_step_db, -self.nack_step_db)

    def updated(self, offset_db: npt.ArrayLike, is_ack: npt.ArrayLike) -> Array:
        """Offsets after the outcomes of first transmissions. Broadcasts."""
        moved = np.asarray(offset_db, dtype=np.float64) + self.step_db(is_ack)
        return np.clip(moved, self.min_offset_db, self.max_offset_db)
