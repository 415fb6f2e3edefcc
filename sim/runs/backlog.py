"""Whether requests under way grow over a window: a test of drift by batch means, whose false alarms are bounded.

The window is cut into equal parts. What each part adds to the number of requests under way is one value; their mean
over their standard error is Student's t, with whatever spread arrivals and services have (A. Law, Simulation Modeling
and Analysis, 9.5.3: batch means). What is refused is not that the queue stands still but that it could be one at load
``1 - SPARE``: such a queue loses that share of what comes, so that the share is added to what was gained.

In a stable queue what one part adds the next ones take away, which makes the test cautious over long windows. Over a
short one a queue close to saturation wanders as if it were free, and from an empty start it can go one way only, which
doubles the false alarms; they are counted in ``tests/world/test_overload.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

NUM_PARTS = 20
"""Parts of a window."""
SPARE = 0.03
"""Share of its capacity that a stable server is taken to have to spare."""
_LEVEL = 0.005
# Whatever its certainty, growth by less than so many requests, or so much of what came, is not an overload.
_MIN_GROWTH = 4
_MIN_SHARE = 0.02
# Against a division by zero: parts that all gain the same.
_MIN_DEVIATION = 1e-3


@dataclass
class Backlog:
    """Requests under way at the beginning of a window and at the ends of its parts."""

    inside: list[int] = field(default_factory=list)

    def note(self, num_inside: int) -> None:
        """The number at the next of these moments."""
        self.inside.append(num_inside)

    @property
    def growth(self) -> int:
        """Requests under way at the end less those at the beginning."""
        return self.inside[-1] - self.inside[0]

    def chance(self, issued: int) -> float:
        """How likely a queue at load ``1 - SPARE`` would gain as much or more, were it free to wander.

        Args:
            issued: Requests that came in the window.
        """
        from scipy.special import stdtr

        gains = np.diff(np.array(self.inside, dtype=float))
        if len(gains) < 2:
            return math.nan
        error = max(float(gains.std(ddof=1)), _MIN_DEVIATION) * math.sqrt(len(gains))
        return float(stdtr(len(gains) - 1, -(self.growth + SPARE * issued) / error))

    def grows(self, issued: int) -> bool:
        """Whether more came than was served, beyond what chance explains.

        Args:
            issued: Requests that came in the window.
        """
        return self.growth > max(_MIN_GROWTH, _MIN_SHARE * issued) and self.chance(issued) < _LEVEL
