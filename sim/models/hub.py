"""Models of the Hugging Face hub, and how its libraries are kept quiet and quoted."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from sim.core.errors import InputError

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
SNAPSHOT_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.py"]
# Taken where there are no safetensors files.
PICKLED_FILES = ["pytorch_model.bin", "pytorch_model-*.bin"]
# Other folders, and a second copy of the weights under names that are not those of transformers.
LEFT_OUT = ["*/*", "consolidated*.safetensors"]


@lru_cache(maxsize=16)
def hub_snapshot(name: str, weights: bool = True) -> Path:
    """A model's files from the Hugging Face hub, downloaded if they are not here.

    Args:
        name: Of the repository.
        weights: Whether the weights too.

    Raises:
        InputError: The hub has no such model, or cannot be reached.
    """
    quiet_transformers()
    from huggingface_hub import snapshot_download

    try:
        left_out = LEFT_OUT if weights else [*LEFT_OUT, "*.safetensors"]
        folder = Path(snapshot_download(name, allow_patterns=SNAPSHOT_FILES, ignore_patterns=left_out))
        if weights and not any(folder.glob("*.safetensors")):
            snapshot_download(name, allow_patterns=PICKLED_FILES, ignore_patterns=LEFT_OUT)
        return folder
    except Exception as error:
        raise InputError(
            f"cannot load model {name!r}: no folder of that name here, and the Hugging Face hub says: "
            f"{first_line(error)}"
        ) from error


_MAX_CHARS = 300


def first_line(error: Exception) -> str:
    """What an error of a library says, in one line of bounded length; what a colon announces comes along."""
    first, *others = [line.strip() for line in str(error).strip().splitlines()] or [""]
    if first.endswith(":") and others:
        first = f"{first} {others[0]}"
    return f"{type(error).__name__}: {first[:_MAX_CHARS]}" if first else type(error).__name__


def quiet_transformers() -> None:
    """Keep transformers and the hub from writing bars and notices to stderr."""
    from huggingface_hub.utils.tqdm import disable_progress_bars
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    disable_progress_bars()
