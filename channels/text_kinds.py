"""What a text looks like, whatever the name of its file says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


def is_json_object(line: str) -> bool:
    """Whether a line is a JSON object and nothing else."""
    text = line.strip()
    return text[:1] == "{" and text[-1:] == "}" and isinstance(_value_of(text), dict)


def is_json_list(lines: Sequence[str]) -> bool:
    """Whether lines make one JSON list of objects, at least one."""
    if not lines or lines[0].lstrip()[:1] != "[" or lines[-1].rstrip()[-1:] != "]":
        return False
    value = _value_of("\n".join(lines))
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _value_of(text: str) -> Any:
    """What a text means as JSON, None if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
