"""The models that a scenario names: loaded, or their metadata from the cache or an imported tape."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from sim.core.errors import InputError
from sim.core.files import cache_folder, read_json_object, update_json_object
from sim.core.user_code import remote_code_is_trusted
from sim.inputs.imported import find_models
from sim.inputs.versions import decoding_code
from sim.models.fingerprint import library_versions
from sim.models.info import ModelInfo, files_stamp
from sim.models.interface import LanguageModel
from sim.models.sources import find_model, is_here
from sim.scenario.schema import ModelsSettings, Scenario


def model_names(settings: ModelsSettings, roles: Sequence[str]) -> dict[str, str]:
    """What the user called the model of each role.

    Raises:
        InputError: A role that the protocol needs has no model.
    """
    names = {role: getattr(settings, role, None) for role in roles}
    for role, name in names.items():
        if name is None:
            raise InputError(f"the protocol needs a {role} model and none is named", f"models.{role}")
    if str(names.get("middle", "")).startswith("embedded/") and not settings.target.startswith("embedded/"):
        raise InputError(
            f"the protocol needs a middle model that goes with {settings.target}; name one", "models.middle"
        )
    return {role: re.sub(r"^target(?=#layers=)", lambda _: settings.target, str(name)) for role, name in names.items()}


@contextmanager
def naming_key_at_fault(names: Mapping[str, str]) -> Iterator[None]:
    """Say the model's key too, where loading fails for one of them; all its keys, if it has several roles."""
    try:
        yield
    except InputError as error:
        blamed = [role for role, name in names.items() if repr(name) in str(error)]
        if error.key or len({names[role] for role in blamed}) != 1:
            raise
        if len(blamed) > 1:
            raise InputError(f"{' and '.join(f'models.{role}' for role in blamed)}: {error.message}") from error
        raise InputError(error.message, f"models.{blamed[0]}") from error


def load_models(settings: ModelsSettings, roles: Sequence[str]) -> dict[str, LanguageModel]:
    """Load the models of these roles, checked against each other.

    Raises:
        InputError: One cannot be loaded, or they do not fit together.
    """
    from sim.models.loading import load_model, load_pair, use_threads

    use_threads(1)
    names = model_names(settings, roles)
    options: dict[str, Any] = {
        "device": settings.device,
        "dtype": settings.dtype,
        "trust_remote_code": remote_code_is_trusted(),
    }
    leader = "target" if "target" in names else next(iter(names))
    models: dict[str, LanguageModel] = {}
    with naming_key_at_fault(names):
        if len(names) == 1:
            return {leader: load_model(names[leader], **options)}
        for role, name in names.items():
            if role != leader:
                models[role], models[leader] = load_pair(
                    name, names[leader], draft_vocabulary=settings.draft_vocabulary, **options
                )
    return {role: models[role] for role in names}


def info_of_roles(settings: ModelsSettings, roles: tuple[str, ...]) -> dict[str, ModelInfo]:
    """Metadata of the models: from the cache if their files have not changed, else by loading them.

    Models that are not on this machine are known by the metadata that came with an imported tape; those that are here
    are never taken for what a tape says of them.
    """
    names = model_names(settings, roles)
    here = tuple(role for role, name in names.items() if is_here(name))
    if len(here) < len(roles):
        imported = find_models(names, settings.dtype)
        if imported is not None and all(_is_same(settings, role, imported[role]) for role in here):
            return imported
    return _cached_info(settings, roles, info_cache_key(names, settings), cache_folder() / "models.json")


def _is_same(settings: ModelsSettings, role: str, imported: ModelInfo) -> bool:
    """Whether a model that is here is the one that an imported tape means."""
    return info_of_roles(settings, (role,))[role].fingerprint == imported.fingerprint


@lru_cache(maxsize=64)
def _cached_info(settings: ModelsSettings, roles: tuple[str, ...], cache_key: str, path: Path) -> dict[str, ModelInfo]:
    try:
        return {role: ModelInfo.from_plain(plain) for role, plain in read_json_object(path)[cache_key].items()}
    except (KeyError, TypeError, AttributeError, ValueError):
        pass
    models_info = {role: ModelInfo.of(model) for role, model in load_models(settings, roles).items()}
    store_info(cache_key, models_info)
    return models_info


def info_cache_key(names: dict[str, str], settings: ModelsSettings) -> str:
    """What metadata is cached by: names, files and numerics of models on this machine.

    Raises:
        InputError: A model is not here.
    """
    with naming_key_at_fault(names):
        stamp = {role: [name, files_stamp(find_model(name).folders)] for role, name in names.items()}
    made_by = [decoding_code(), library_versions("torch", "transformers", "numpy", "numba")]
    return json.dumps([stamp, settings.draft_vocabulary, settings.device, settings.dtype, made_by], sort_keys=True)


def store_info(cache_key: str, models_info: dict[str, ModelInfo]) -> None:
    """Keep metadata for the next time."""
    plain = {role: info.to_plain() for role, info in models_info.items()}
    update_json_object(cache_folder() / "models.json", lambda known: {**known, cache_key: plain})


def model_info_of(scenario: Scenario) -> dict[str, ModelInfo]:
    """Facts of the models that a scenario's protocol needs, by role."""
    return info_of_roles(scenario.models, tuple(scenario.protocol.trait("models")))
