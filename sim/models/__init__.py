"""Language models: one interface, Hugging Face checkpoints, probability tables, and the embedded pair.

``load_model``, ``load_pair``, ``load_tokenizer``, ``LanguageModel`` and ``TabularModel`` can be imported from here.
Each comes with its module on first use, so that importing the package loads no framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "LanguageModel": "interface",
    "TabularModel": "tabular",
    "load_model": "loading",
    "load_pair": "loading",
    "load_tokenizer": "loading",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
