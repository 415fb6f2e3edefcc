"""Load of cells by time of day."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from sim.core.errors import InputError, unknown_name_message
from sim.core.yaml_text import read_values

_FILE = Path(__file__).with_name("load_profiles.yaml")


@cache
def _profiles() -> dict[str, Any]:
    read: dict[str, Any] = read_values(_FILE.read_text(encoding="utf-8"))
    return read


def profile_factors(profile: str | list[float]) -> list[float]:
    """Factors of a day by a name in ``load_profiles.yaml``, or as given.

    Raises:
        InputError: No such profile, or factors that are no shares.
    """
    if isinstance(profile, str):
        if profile not in _profiles():
            raise InputError(unknown_name_message("load profile", profile, _profiles()))
        return [float(factor) for factor in _profiles()[profile]]
    if not profile or min(profile) < 0 or max(profile) > 1:
        raise InputError("other_profile: expected factors from 0 to 1")
    return profile
