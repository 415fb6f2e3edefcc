"""Calibrations on disk: a user's cache, one file per model and host, and calibration files that hold several models."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from channels.text_files import TextFileError, check_regular
from sim.compute.calibration import Calibration, Host
from sim.compute.measurement import describe_host, measure_calibration
from sim.core.errors import InputError
from sim.core.files import cache_folder, cannot_write
from sim.models.interface import LanguageModel

CALIBRATION_FORMAT = "specran calibration 1"


def load_or_measure(
    model: LanguageModel, path: str | Path | None = None, threads: int = 1, cache: Path | None = None
) -> Calibration:
    """This model's calibration: from a file if one is named, else from the user's cache, else measured and cached.

    A cache file that is damaged, or of another model, host, PyTorch or thread count, is measured anew and replaced.

    Args:
        model: The model to be priced.
        path: Calibration file that was made somewhere; nothing is measured then.
        threads: PyTorch threads that this host's forwards are timed on.
        cache: Folder of the cache, the user's own by default.

    Raises:
        InputError: The file named cannot be read, is no calibration file, or does not hold this model.
    """
    if path is not None:
        return _find_in_file(model, Path(path))
    host = describe_host(threads)
    cached = cache_path(model.fingerprint, host, cache)
    calibration = _read_cached(cached, model.fingerprint, host)
    if calibration is None:
        calibration = measure_calibration(model, threads)
        _try_to_cache(cached, calibration)
    return calibration


def calibrate(
    models: Iterable[LanguageModel], out: str | Path | None = None, threads: int = 1, cache: Path | None = None
) -> list[Calibration]:
    """Measure models anew; into the user's cache, and into one calibration file if ``out`` names it.

    Raises:
        InputError: ``out`` cannot be written, or the cache where there is no ``out``: nothing would be kept.
    """
    calibrations = [measure_calibration(model, threads) for model in models]
    for calibration in calibrations:
        place = cache_path(calibration.model_fingerprint, calibration.host, cache)
        if out is not None:
            _try_to_cache(place, calibration)
            continue
        try:
            save([calibration], place)
        except OSError as error:
            raise cannot_write("timings", place, error) from error
    if out is not None:
        try:
            save(calibrations, Path(out))
        except OSError as error:
            raise InputError(f"cannot write calibration file {out}: {error.strerror or error}") from error
    return calibrations


def save(calibrations: Sequence[Calibration], path: Path) -> None:
    """Write a calibration file whole or not at all: into a temporary file beside it, then renamed."""
    text = (
        json.dumps({"format": CALIBRATION_FORMAT, "calibrations": [item.to_json() for item in calibrations]}, indent=2)
        + "\n"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        # mkstemp makes files that only their owner may read; a calibration is for everyone who may read the folder.
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load(path: Path) -> list[Calibration]:
    """Read a calibration file.

    Raises:
        InputError: It cannot be read or is damaged.
    """
    try:
        check_regular(path)
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except TextFileError as error:
        raise InputError(f"calibration file {error}") from error
    except OSError as error:
        raise InputError(f"cannot read calibration file {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"calibration file {path} is not JSON: {error}") from error
    if not isinstance(content, dict) or content.get("format") != CALIBRATION_FORMAT:
        raise InputError(f"calibration file {path} does not say format {CALIBRATION_FORMAT!r}")
    items = content.get("calibrations")
    if not isinstance(items, list):
        raise InputError(f"calibration file {path}: 'calibrations' must be a list")
    try:
        return [Calibration.from_json(item) for item in items]
    except ValueError as error:
        raise InputError(f"calibration file {path}: {error}") from error


def cache_path(model_fingerprint: str, host: Host, cache: Path | None = None) -> Path:
    """Where the user's cache keeps the calibration of a model on a host."""
    if cache is None:
        cache = cache_folder() / "calibrations"
    key = json.dumps({"format": CALIBRATION_FORMAT, "model": model_fingerprint, **asdict(host)}, sort_keys=True)
    return cache / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"


def _find_in_file(model: LanguageModel, path: Path) -> Calibration:
    calibrations = load(path)
    for calibration in calibrations:
        if calibration.model_fingerprint == model.fingerprint:
            return calibration
    names = ", ".join(sorted(item.model_name for item in calibrations)) or "no model"
    raise InputError(
        f"calibration file {path} was not made with this version of model {model.name!r} (it holds {names}); "
        "make one with: specran calibrate --out FILE"
    )


def _read_cached(path: Path, model_fingerprint: str, host: Host) -> Calibration | None:
    if not path.exists():
        return None
    try:
        (calibration,) = load(path)
    except (InputError, ValueError):
        return None
    if calibration.model_fingerprint != model_fingerprint or calibration.host != host:
        return None
    return calibration


def _try_to_cache(path: Path, calibration: Calibration) -> None:
    # A home folder that cannot be written costs a measurement per run, not the run.
    try:
        save([calibration], path)
    except OSError:
        return
