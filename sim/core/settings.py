"""The base of everything that a user sets in YAML: frozen, strict about unknown keys, documented field by field."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, ValidationInfo, field_validator
from pydantic_core import CoreSchema


class Settings(BaseModel):
    """Keys of one part of a scenario; give every field a unit in its name, bounds and a docstring below it."""

    # Only what a scenario uses is built, and docstrings are read from the source when a schema is asked for.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_boolean_is_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and info.field_name is not None:
            annotation = cls.model_fields[info.field_name].annotation
            kinds = {annotation, *get_args(annotation)}
            if kinds & {int, float} and bool not in kinds:
                raise ValueError(f"expected a number, got {value}")
        return value

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for name, text in field_docstrings(cls).items():
            if name in properties:
                properties[name].setdefault("description", text)
        return schema


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
