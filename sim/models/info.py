"""What is known of a model without loading it: enough to plan, key and replay requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sim.models.interface import LanguageModel


@dataclass(frozen=True)
class ModelInfo:
    """A model's name, content address and limits; the attributes are those of ``LanguageModel``."""

    name: str
    vocab_size: int
    max_context: int
    eos_ids: frozenset[int]
    bos_id: int
    fingerprint: str
    num_parameters: int

    @classmethod
    def of(cls, model: LanguageModel) -> ModelInfo:
        """The facts of a loaded model."""
        return cls(**{field: getattr(model, field) for field in cls.__dataclass_fields__})

    def to_plain(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {**asdict(self), "eos_ids": sorted(self.eos_ids)}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> ModelInfo:
        """Back from JSON."""
        return cls(**{**plain, "eos_ids": frozenset(plain["eos_ids"])})


class DeferredModel:
    """A model that is loaded when something beyond its facts is asked of it.

    Args:
        facts: What is known of it.
        load: Loads it.
    """

    def __init__(self, facts: ModelInfo, load: Callable[[], LanguageModel]) -> None:
        self._load = load
        self._model: LanguageModel | None = None
        for field in ModelInfo.__dataclass_fields__:
            setattr(self, field, getattr(facts, field))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if self._model is None:
            self._model = self._load()
        return getattr(self._model, name)


def files_stamp(folder: Path) -> list[list[str | int]]:
    """Names, sizes and times of a model folder's files; changes whenever its content may have."""
    files = sorted(path for path in folder.iterdir() if path.suffix in (".safetensors", ".json", ".model"))
    return [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files]
