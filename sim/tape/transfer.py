"""A tape for another machine: recorded where the models and a GPU are, replayed on a machine that has neither."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sim.core.errors import InputError, RunError
from sim.core.files import cache_folder, cannot_write, write_atomically
from sim.core.user_code import remote_code_is_trusted
from sim.inputs.imported import check_models, describe_models, store_models, store_prompts
from sim.inputs.scenario_models import model_info_of, model_names
from sim.inputs.tokenised_requests import encode_prompt, planned_by_kind, prompt_key
from sim.inputs.versions import decoding_code
from sim.inputs.workload import contents_to_encode
from sim.models.info import ModelInfo
from sim.scenario.schema import Scenario
from sim.tape.archive import ABOUT, TapeArchive, write_archive
from sim.tape.key import Addresses
from sim.tape.store import TapeProblem, TapeStore, decode_entry

EXPORT_FORMAT = "specran tape folder 3"


def export_folder(scenarios: Sequence[Scenario], store: TapeStore, folder: Path) -> int:
    """Write what another machine needs to replay these scenarios: entries, model metadata, tokenised prompts.

    Compute that is calibrated needs a calibration file on the other machine, or hardware named in the scenario.

    Returns:
        How many entries.

    Raises:
        InputError: A request is not on tape yet.
        RunError: The folder cannot be written, or another process has pruned the tape.
    """
    keys, about = recorded_keys(scenarios, store), _describe(scenarios)
    try:
        for key, data in _wanted_entries(keys, store):
            write_atomically(folder / "entries" / f"{key}.json", data)
        write_atomically(folder / ABOUT, json.dumps(about, sort_keys=True).encode())
    except OSError as error:
        raise cannot_write("the tape", folder, error) from error
    return len(keys)


def export_archive(scenarios: Sequence[Scenario], store: TapeStore, path: Path) -> int:
    """Write what ``export_folder`` writes into one compressed file, which is read where it lies.

    Returns:
        How many entries.

    Raises:
        InputError: A request is not on tape yet.
        RunError: The file cannot be written, or another process has pruned the tape.
    """
    keys, about = recorded_keys(scenarios, store), _describe(scenarios)
    try:
        write_archive(path, about, _wanted_entries(keys, store))
    except OSError as error:
        raise cannot_write("the tape", path, error) from error
    return len(keys)


def _describe(scenarios: Sequence[Scenario]) -> dict[str, Any]:
    """What a tape says of itself, sealed: the code that decoded, facts of the models, prompts as token ids."""
    models: dict[str, dict[str, Any]] = {}
    prompts: dict[str, dict[str, list[int]]] = {}
    for scenario in (kind.scenario for whole in scenarios for kind in whole.by_kind()):
        models_info = model_info_of(scenario)
        _note_models(scenario, models_info, models)
        _note_prompts(scenario, models_info, prompts)
    about = {"format": EXPORT_FORMAT, "code": decoding_code(), "models": list(models.values()), "prompts": prompts}
    return {**about, "sha256": _seal(about)}


def _wanted_entries(keys: Sequence[str], store: TapeStore) -> Iterator[tuple[str, bytes]]:
    for key in keys:
        data = store.read(key)
        if data is None:
            raise RunError(f"tape entry {key[:12]} vanished while the tape was being exported; export it again")
        yield key, data


def recorded_keys(scenarios: Sequence[Scenario], store: TapeStore) -> list[str]:
    """Keys of all requests of these scenarios, each once.

    Raises:
        InputError: One is not on tape yet.
    """
    keys: dict[str, None] = {}
    for scenario, planned_requests in (one for whole in scenarios for one in planned_by_kind(whole)):
        addresses = Addresses(scenario, model_info_of(scenario))
        for planned in planned_requests:
            key = addresses.of(planned)
            if key not in keys and not store.has(key):
                raise InputError("not all requests of the scenario are on tape; record them first: specran tape record")
            keys[key] = None
    return list(keys)


def _seal(about: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def _note_models(scenario: Scenario, models_info: dict[str, ModelInfo], models: dict[str, dict[str, Any]]) -> None:
    names = model_names(scenario.models, tuple(models_info))
    models[str(sorted(names.items()))] = describe_models(names, scenario.models.dtype, models_info)


def _note_prompts(
    scenario: Scenario, models_info: dict[str, ModelInfo], prompts: dict[str, dict[str, list[int]]]
) -> None:
    leader = models_info.get("target") or next(iter(models_info.values()))
    known = prompts.setdefault(leader.fingerprint, {})
    for content in contents_to_encode(scenario):
        if (key := prompt_key(content)) not in known:
            known[key] = list(encode_prompt(leader, remote_code_is_trusted(), content))


def import_tape(source: Path, store: TapeStore) -> int:
    """Take over what ``export_folder`` or ``export_archive`` wrote; damaged entries are refused, known ones left alone.

    Returns:
        How many entries were new.

    Raises:
        InputError: It is no such folder or file, or holds an entry that cannot be trusted.
        RunError: The cache cannot be written.
    """
    about = _read_about(source)
    entries = _entries_of_folder(source) if source.is_dir() else TapeArchive(source).entries()
    own = TapeStore(store.folder)  # what lies in a second place is not in this tape
    added = sum(_import_entry(source, key, data, own) for key, data in entries)
    own.sync()
    try:
        store_models(about["models"])
        store_prompts(about["prompts"])
    except OSError as error:
        raise cannot_write("the imported tape", cache_folder(), error) from error
    encode_prompt.cache_clear()
    return added


def _entries_of_folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted((folder / "entries").glob("*.json")):
        try:
            yield path.stem, path.read_bytes()
        except OSError as error:
            raise InputError(f"{path}: cannot be trusted: {error}") from error


def _read_about(source: Path) -> dict[str, Any]:
    """What a tape's folder or archive says of itself.

    Raises:
        InputError: It is no tape, was changed, or was made by another version of the code.
    """
    try:
        about: dict[str, Any] = (
            json.loads((source / ABOUT).read_text(encoding="utf-8")) if source.is_dir() else TapeArchive(source).about()
        )
        if about["format"] != EXPORT_FORMAT:
            raise ValueError(f"format {about['format']!r}, not {EXPORT_FORMAT!r}")
        if about.pop("sha256") != _seal(about):
            raise ValueError("its content does not have the hash that it states")
        for described in about["models"]:
            check_models(described)
        for known in about["prompts"].values():
            if not all(type(token) is int for ids in known.values() for token in ids):
                raise ValueError("a prompt is no list of token ids")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{source}: not a tape folder or archive that specran tape export has written: {error}"
        ) from error
    if about["code"] != decoding_code():
        raise InputError(
            f"{source}: recorded by another version of SpecRAN, whose decoding may differ; use that one here"
        )
    return about


def _import_entry(source: Path, key: str, data: bytes, store: TapeStore) -> bool:
    try:
        decode_entry(key, data)
    except TapeProblem as error:
        raise InputError(f"{source}: entry {key}: cannot be trusted: {error}") from error
    if store.has(key):
        return False
    store.write(key, data)
    return True
