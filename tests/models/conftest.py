"""Random checkpoints saved once per run, and the uncached oracle that every cached forward is held against."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sim.models.interface import ForwardPass, Logits
from tests.models import builders

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a random checkpoint of an architecture."""
    folders: dict[str, Path] = {}

    def saved(kind: str) -> Path:
        if kind not in folders:
            folder = tmp_path_factory.mktemp(kind)
            folders[kind] = builders.save(builders.network(kind), folder)
        return folders[kind]

    return saved


def uncached_rows(network: Any, forward: ForwardPass, vocab_size: int = builders.VOCAB_SIZE) -> Logits:
    """Every wanted row by a plain forward over its own path, without cache, mask or batch."""
    rows = []
    for row in range(forward.first_row, len(forward.block) + 1):
        path: list[int] = []
        node = row - 1
        while node >= 0:
            path.insert(0, forward.block[node])
            node = forward.parent_nodes[node]
        ids = torch.tensor([[*forward.context, *path]])
        with torch.inference_mode():
            rows.append(network(input_ids=ids, use_cache=False).logits[0, -1, :vocab_size].numpy())
    return np.stack(rows)
