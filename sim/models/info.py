"""What is known of a model without loading it: enough to plan, key and replay requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sim.models.fingerprint import file_state
from sim.models.interface import LanguageModel


@dataclass(frozen=True)
class ModelInfo:
    """A model's name, content address and limits; the attributes are those of ``LanguageModel``.

    Attributes:
        special_ids: Ids of all special tokens of its tokenizer, ascending.
    """

    name: str
    vocab_size: int
    max_context: int
    eos_ids: frozenset[int]
    bos_id: int
    fingerprint: str
    num_parameters: int
    notes: tuple[str, ...] = ()
    special_ids: tuple[int, ...] = ()
    numerics: str = ""

    @classmethod
    def of(cls, model: LanguageModel) -> ModelInfo:
        """The metadata of a loaded model."""
        special = () if model.tokenizer is None else tuple(sorted(model.tokenizer.all_special_ids))
        fields = [field for field in cls.__dataclass_fields__ if field != "special_ids"]
        return cls(**{field: getattr(model, field) for field in fields}, special_ids=special)

    def to_plain(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {**asdict(self), "eos_ids": sorted(self.eos_ids)}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> ModelInfo:
        """Back from JSON.

        Raises:
            ValueError, TypeError, KeyError: It is no such metadata.
        """
        lists = {field: tuple(plain.get(field, ())) for field in ("notes", "special_ids")}
        info = cls(**{**plain, **lists, "eos_ids": frozenset(plain["eos_ids"])})
        counts = (info.vocab_size, info.max_context, info.bos_id, info.num_parameters, *info.eos_ids, *info.special_ids)
        texts = (info.name, info.fingerprint, info.numerics, *info.notes)
        if not all(type(count) is int for count in counts) or not all(isinstance(text, str) for text in texts):
            raise ValueError("not a model's metadata")
        return info


class DeferredModel:
    """A model that is loaded when something beyond its metadata is asked of it.

    Args:
        info: What is known of it.
        load: Loads it.
    """

    def __init__(self, info: ModelInfo, load: Callable[[], LanguageModel]) -> None:
        self._load = load
        self._model: LanguageModel | None = None
        for field in ModelInfo.__dataclass_fields__:
            setattr(self, field, getattr(info, field))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if self._model is None:
            self._model = self._load()
        return getattr(self._model, name)


def files_stamp(folders: Iterable[Path]) -> list[list[str | int]]:
    """Names and states of the files in a model's folders; changes whenever their content may have."""
    files = [path for folder in folders for path in sorted(folder.iterdir()) if path.is_file()]
    return [[path.name, *file_state(path)] for path in files]
