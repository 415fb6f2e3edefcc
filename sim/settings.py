"""The base of everything that a user sets in YAML: frozen, strict about unknown keys, documented field by field."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Keys of one part of a scenario; give every field a unit in its name, bounds and a description."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)
