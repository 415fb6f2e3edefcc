"""The base of everything that a user sets in YAML: frozen, strict about unknown keys, bounded, documented by field."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from types import NoneType
from typing import Any, ClassVar, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    GetJsonSchemaHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError

from sim.core.errors import Key, choices, did_you_mean, shortened

# What a key's suffix says of its unit, and the largest magnitude where the field states no bound of its own: far
# beyond what can be meant, and small enough that sums of times in nanoseconds stay within 64 bits. Longer ones first.
UNITS: tuple[tuple[str, str, float], ...] = (
    ("_bits_per_s", "bit/s", 1e15),
    ("_per_s", "1/s", 1e12),
    ("_mbps", "Mbit/s", 1e9),
    ("_kmh", "km/h", 1e4),
    ("_dbm", "dBm", 1e3),
    ("_dbi", "dBi", 1e3),
    ("_bytes", "byte", 1e12),
    ("_bits", "bit", 1e9),
    ("_tokens", "token", 1e9),
    ("_slots", "slot", 1e9),
    ("_ghz", "GHz", 1e6),
    ("_mhz", "MHz", 1e9),
    ("_khz", "kHz", 1e9),
    ("_deg", "degree", 1e4),
    ("_hz", "Hz", 1e12),
    ("_db", "dB", 1e3),
    ("_ns", "ns", 1e15),
    ("_ms", "ms", 1e9),
    ("_s", "s", 1e6),
    ("_m", "m", 1e8),
    ("_j", "J", 1e9),
    ("_w", "W", 1e6),
)
_LARGEST = 1e12
_NUMBERS = (int, float)  # A bool is none of them.
_UNBOUNDED = (str, BaseModel)
_LISTS = (list, tuple)
_UNKNOWN_KEY = "unknown_key"
_KEYS_LISTED = " (specran list keys)"
# Control characters, line separators and marks that turn the direction of writing: none of them belongs in a value.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


class Settings(BaseModel):
    """Keys of one part of a scenario; give every field a unit in its name, bounds and a docstring below it."""

    # Only what a scenario uses is built, and docstrings are read from the source when a schema is asked for.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    # Fields whose values belong to other keys, which have bounds of their own.
    unbounded_fields: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _only_known_keys(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and cls.model_config.get("extra") == "forbid":
            valid = cls.model_fields
            unknown = [key for key in data if key not in valid]
            if unknown:
                raise problems_error([((key,), unknown_key(key, valid), data[key]) for key in unknown])
        return data

    @field_validator("*", mode="before")
    @classmethod
    def _plain_values(cls, value: Any, info: ValidationInfo) -> Any:
        # What most values are comes first: the points of a sweep have their fields checked a hundred thousand times.
        if value is None or type(value) in _NUMBERS or isinstance(value, BaseModel):
            return value
        if isinstance(value, bool) and info.field_name is not None:
            annotation = cls.model_fields[info.field_name].annotation
            kinds = {annotation, *get_args(annotation)}
            if kinds & {int, float} and bool not in kinds:
                raise ValueError(f"expected a number, got {value}")
        if isinstance(value, str) and "_" in value and info.field_name is not None:
            # Python reads 1_000 as a number, YAML 1.2 as a text.
            annotation = cls.model_fields[info.field_name].annotation
            if {*(get_args(annotation) or (annotation,))} <= {int, float, NoneType}:
                raise ValueError(f"expected a number, got {shortened(value)}")
        for text in _strings(value):
            if _CONTROL.search(text):
                raise ValueError(f"expected text without control characters, got {shortened(text)}")
        return value

    @field_validator("*", mode="after")
    @classmethod
    def _within_bounds(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None or isinstance(value, _UNBOUNDED) or info.field_name is None:
            return value
        largest = default_bound(cls, info.field_name)
        if largest is not None:
            for number in (value,) if type(value) in _NUMBERS else _numbers(value):
                if number > largest:
                    raise ValueError(f"input should be less than or equal to {largest:g}, got {number:g}")
                if number < -largest:
                    raise ValueError(f"input should be greater than or equal to {-largest:g}, got {number:g}")
        return value

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler(core_schema)
        add_meanings(cls, handler.resolve_ref_schema(schema).get("properties", {}))
        return schema


def problems_error(problems: Sequence[tuple[Key, str, Any]], kind: str = _UNKNOWN_KEY) -> ValidationError:
    """An error that validators of a part raise for keys within it, reported with the whole path from the root.

    Args:
        problems: Path from the part down, what is wrong, and what was given.
        kind: Pydantic's type of the error.
    """
    details = [
        InitErrorDetails(type=PydanticCustomError(kind, "{text}", {"text": text}), loc=where, input=given)
        for where, text, given in problems
    ]
    return ValidationError.from_exception_data("settings", details)


def unknown_key(key: object, valid: Mapping[str, Any]) -> str:
    """Say that a key is none of a part's, and which ones are."""
    if not valid:
        return f"unknown key {shortened(key)}; there are no keys here"
    return f"unknown key {shortened(key)}{did_you_mean(key, valid)}; valid: {choices(key, sorted(valid), _KEYS_LISTED)}"


def add_meanings(settings: type[Settings], properties: dict[str, Any]) -> None:
    """Give the properties of a JSON schema what stands below each field, and the bounds that no field states.

    Args:
        settings: Whose schema it is.
        properties: By name; changed in place.
    """
    meanings = field_docstrings(settings)
    for name, schema in properties.items():
        if name in meanings:
            schema.setdefault("description", meanings[name])
        largest = default_bound(settings, name) if name in settings.model_fields else None
        for part in (schema, *schema.get("anyOf", [])):
            if largest is not None and part.get("type") in ("integer", "number"):
                part.setdefault("maximum", largest)
                if "exclusiveMinimum" not in part:
                    part.setdefault("minimum", -largest)


def unit_of_key(name: str) -> str:
    """The unit that a key's name ends in, empty if it has none."""
    return next((unit for suffix, unit, _ in UNITS if name.endswith(suffix)), "")


@lru_cache(maxsize=1 << 12)
def default_bound(settings: type[Settings], name: str) -> float | None:
    """The largest magnitude of a field that states no upper bound of its own; None if it does."""
    field = settings.model_fields[name]
    if name in settings.unbounded_fields or any(
        getattr(part, "le", None) is not None or getattr(part, "lt", None) is not None for part in field.metadata
    ):
        return None
    return next((largest for suffix, _, largest in UNITS if name.endswith(suffix)), _LARGEST)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _strings(key)
            yield from _strings(item)
    elif isinstance(value, _LISTS):
        for item in value:
            yield from _strings(item)


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, _NUMBERS):
        if not isinstance(value, bool):
            yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _numbers(item)
    elif isinstance(value, _LISTS):
        for item in value:
            yield from _numbers(item)


def field_docstrings(settings: type[Settings]) -> dict[str, str]:
    """What stands below each field of a class and of those that it inherits from."""
    found: dict[str, str] = {}
    for part in reversed(settings.__mro__):
        if not issubclass(part, Settings) or part is Settings:
            continue
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(part))).body
        assert isinstance(definition, ast.ClassDef)
        for field, text in zip(definition.body, definition.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                doc = text.value if isinstance(text, ast.Expr) else None
                if isinstance(doc, ast.Constant) and isinstance(doc.value, str):
                    found[field.target.id] = inspect.cleandoc(doc.value)
    return found
