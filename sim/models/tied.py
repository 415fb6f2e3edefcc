"""Whether a head that is stored beside its embedding is the same tensor, of which a model then has one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from sim.models.checkpoint import tensors_of_file
from sim.models.pickled import is_pickled, load_pickled
from sim.models.safetensors_head import Tensor

_EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embed_in.weight")
_HEADS = ("lm_head.weight", "embed_out.weight")
_CHUNK_BYTES = 1 << 24


def head_stored_twice(files: Iterable[Path], max_bytes: int) -> Tensor | None:
    """The head of a model that ties it to its embedding, if the files hold both and both are equal.

    Args:
        files: Of its weights.
        max_bytes: Two larger tensors are not read but believed to be equal.
    """
    found = [(path, name, tensor) for path in files for name, tensor in tensors_of_file(path).items()]
    # Of tensors that share their values in one file one only has a place.
    stored = [one for one in found if one[2].stop > one[2].start]
    ends = [next((one for one in stored if one[1].endswith(names)), None) for names in (_EMBEDDINGS, _HEADS)]
    if ends[0] is None or ends[1] is None:
        return None
    (_, _, embedding), (_, _, head) = ends[0], ends[1]
    if (embedding.dtype, embedding.shape) != (head.dtype, head.shape):
        return None
    is_large = head.stop - head.start > max_bytes
    return head if is_large or _are_equal(ends[0], ends[1]) else None


def _are_equal(one: tuple[Path, str, Tensor], other: tuple[Path, str, Tensor]) -> bool:
    (path, name, tensor), (other_path, other_name, other_tensor) = one, other
    if is_pickled(path):
        import torch

        return torch.equal(load_pickled(path)[name], load_pickled(other_path)[other_name])
    read, read_other = _reader(path, tensor), _reader(other_path, other_tensor)
    places = range(0, tensor.stop - tensor.start, _CHUNK_BYTES)
    return all(np.array_equal(read(place), read_other(place)) for place in places)


def _reader(path: Path, tensor: Tensor) -> Callable[[int], np.ndarray[tuple[int], np.dtype[np.uint8]]]:
    """Reads some bytes of a tensor, from a place in it on."""

    def read(place: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
        count = min(_CHUNK_BYTES, tensor.stop - tensor.start - place)
        return np.fromfile(path, np.uint8, count, offset=tensor.start + place)

    return read
