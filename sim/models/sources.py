"""From a model's name to the folder that holds its files: shipped, fetched, converted, local, or of the hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sim.core.errors import InputError, shortened, unknown_name_message
from sim.models.checkpoint import LAYERS_FILE, check_folder, read_json, weight_files
from sim.models.fetch import is_fetched, smollm2_target
from sim.models.gguf_files import converted_folder
from sim.models.hub import HUB_ID, hub_snapshot
from sim.models.limits import LAYER_KEYS, layer_count, text_config

EMBEDDED, SMOLLM2 = "embedded/", "smollm2/"
_HERE = Path(__file__).parent
SHIPPED_FOLDERS = {EMBEDDED: _HERE / "embedded", SMOLLM2: _HERE / "smollm2"}
SHIPPED_NAMES = ("embedded/draft", "embedded/middle", "embedded/target", "smollm2/draft", "smollm2/target")
SMOLLM2_TARGET = "smollm2/target"
# What a layers-only folder calls the model that the rest of its weights is taken from.
BASE_KEY = "base_model"
LAYERS_MARK = "#layers="
_KINDS = "a folder, a .gguf file or a hub id"


@dataclass(frozen=True)
class ModelSource:
    """Where a model's files lie.

    Attributes:
        name: What the user called it.
        folder: Holds ``config.json`` and the weights.
        base: Holds embedding, last norm, head and tokenizer of a model that ships its layers only; else None.
        layers: Which of the folder's layers make up the model, None for all of them.
        is_hub: Whether the folder is a snapshot of the Hugging Face hub.
    """

    name: str
    folder: Path
    base: Path | None = None
    layers: tuple[int, ...] | None = None
    is_hub: bool = False

    @property
    def folders(self) -> list[Path]:
        """All folders that the model is made of."""
        return [self.folder] if self.base is None else [self.folder, self.base]

    @property
    def tokenizer_folder(self) -> Path:
        """Where its tokenizer lies."""
        return self.folder if self.base is None else self.base

    @property
    def has_weights(self) -> bool:
        """Whether there are files of weights; those of a hub model may not have been downloaded."""
        return bool(weight_files(self.folder))


def find_model(name: str, weights: bool = True) -> ModelSource:
    """Find a model's files, downloading or converting them if need be.

    Args:
        name: ``embedded/...`` or ``smollm2/...``, a GGUF file, a local folder, or a Hugging Face hub id. Followed by
            ``#layers=8`` it is the model made of its first eight layers, by ``#layers=0,7,14`` of those three.
        weights: Whether weights of the hub are downloaded too; else they may be missing.

    Raises:
        InputError: There is no such model, or its folder cannot be used.
    """
    plain, mark, selection = name.partition(LAYERS_MARK)
    source = _find_whole(plain, weights)
    if not mark:
        return source
    num_layers = layer_count(text_config(read_json(source.folder / "config.json")))
    return ModelSource(name, source.folder, source.base, _parse_layers(selection, name, num_layers), source.is_hub)


def resolve_folder(name: str) -> Path:
    """The folder that holds a model's configuration and weights.

    Raises:
        InputError: As ``find_model``.
    """
    return find_model(name).folder


def is_here(name: str) -> bool:
    """Whether a model's files are on this machine; nothing is downloaded to find out."""
    plain = name.partition(LAYERS_MARK)[0]
    if plain.startswith(SMOLLM2):
        return is_fetched()
    return plain.startswith(EMBEDDED) or Path(plain).expanduser().exists()


def _find_whole(name: str, weights: bool = True) -> ModelSource:
    if name.startswith(tuple(SHIPPED_FOLDERS)):
        return _shipped(name)
    path = Path(name).expanduser()
    if not name.strip():
        raise InputError(f"a model's name must not be empty; give {_KINDS}")
    if f"{name}/" in SHIPPED_FOLDERS and not path.exists():
        roles = ", ".join(one for one in SHIPPED_NAMES if one.startswith(f"{name}/"))
        raise InputError(f"{name!r} names several models; give one of {roles}")
    if path.suffix.lower() == ".gguf":
        return ModelSource(name, converted_folder(path, name))
    if path.is_dir():
        return _local(name, path)
    if path.exists():
        raise InputError(f"cannot load model {name!r}: {path} is a file; give {_KINDS}")
    if not HUB_ID.fullmatch(name):
        raise InputError(f"cannot load model {name!r}: no such folder, and not a Hugging Face hub id (owner/name)")
    folder = hub_snapshot(name, weights)
    if weights:
        check_folder(folder, name)
    return ModelSource(name, folder, is_hub=True)


def _shipped(name: str) -> ModelSource:
    if name not in SHIPPED_NAMES:
        kind = name.split("/", maxsplit=1)[0]
        raise InputError(
            unknown_name_message(f"{kind} model", name, [one for one in SHIPPED_NAMES if one.startswith(kind)])
        )
    if name == SMOLLM2_TARGET:
        return ModelSource(name, smollm2_target())
    prefix, role = name.split("/")
    folder = SHIPPED_FOLDERS[f"{prefix}/"] / role
    if not (folder / "config.json").is_file():
        raise InputError(f"cannot load model {name!r}: its files are missing from this installation")
    return _local(name, folder)


def _local(name: str, folder: Path) -> ModelSource:
    check_folder(folder, name)
    if not (folder / LAYERS_FILE).is_file():
        return ModelSource(name, folder)
    base = read_json(folder / "config.json").get(BASE_KEY)
    if not isinstance(base, str):
        raise InputError(
            f"cannot load model {name!r}: {folder} holds {LAYERS_FILE}, but its config.json does not say by "
            f"{BASE_KEY!r} which model the rest is taken from"
        )
    whole = _find_whole(base)
    if whole.base is not None:
        raise InputError(f"cannot load model {name!r}: its base model {base!r} has a base model itself")
    return ModelSource(name, folder, whole.folder)


def _parse_layers(selection: str, name: str, num_layers: int | None) -> tuple[int, ...]:
    """Layers from ``8`` (the first eight) or ``0,7,14``."""
    parts = selection.split(",")
    if num_layers is None:
        keys = ", ".join(LAYER_KEYS)
        raise InputError(f"cannot load model {name!r}: its config.json does not state its layers by one of {keys}")
    if not all(part.strip().isdecimal() for part in parts):
        raise InputError(f"{name!r}: layers must be a number, such as 8, or several, such as 0,7,14; got {selection!r}")
    # More digits than any number of layers has.
    numbers = [min(int(part.strip()[:9]), num_layers + 1) for part in parts]
    got = shortened(selection)
    if len(parts) == 1:
        if not 1 <= numbers[0] <= num_layers:
            raise InputError(f"{name!r}: of the model's layers the first 1 to {num_layers} can be taken; got {got}")
        return tuple(range(numbers[0]))
    if max(numbers) >= num_layers:
        raise InputError(f"{name!r}: the model has {num_layers} layers, 0 to {num_layers - 1}; got {got}")
    if len(set(numbers)) < len(numbers):
        raise InputError(f"{name!r}: each layer can be taken once; got {got}")
    return tuple(numbers)
