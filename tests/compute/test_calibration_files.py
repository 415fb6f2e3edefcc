"""Calibrations on disk: what is written is read back, damage and another host are noticed, files are made whole."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sim.compute import calibration_files
from sim.compute.calibration import Calibration, Host
from sim.compute.calibration_files import cache_path, calibrate, load, load_or_measure, save
from sim.compute.measurement import describe_host, measure_calibration
from sim.core.errors import InputError, RunError
from tests.compute.conftest import ClockedModel

MakeModel = Callable[..., ClockedModel]


@pytest.fixture(autouse=True)
def count_measurements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Measure on the model's own clock, and note each time."""
    measured: list[str] = []

    def measure(model: ClockedModel, threads: int = 1) -> Calibration:
        measured.append(model.fingerprint)
        return measure_calibration(model, threads, clock=model.clock)

    monkeypatch.setattr(calibration_files, "measure_calibration", measure)
    return measured


def test_measured_once_then_cached(make_model: MakeModel, tmp_path: Path, count_measurements: list[str]) -> None:
    first = load_or_measure(make_model(noise=0.1), cache=tmp_path)
    again = load_or_measure(make_model(noise=0.1), cache=tmp_path)
    assert again == first
    assert again.content_hash == first.content_hash
    assert count_measurements == ["clocked-0"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: text.replace("specran calibration 1", "specran calibration 0"),
        lambda text: text.replace('"token_s": ', '"token_s": 1'),
        lambda text: text.replace('"token_s": ', '"token_s": -'),
        lambda text: text.replace('"row_s"', '"rows_s"'),
        lambda text: text.replace("clocked-0", "clocked-1"),
        lambda text: text.replace('"threads": 1', '"threads": 2'),
        lambda text: json.dumps({**json.loads(text), "calibrations": []}),
    ],
)
def test_damaged_cache_is_measured_anew(
    make_model: MakeModel, tmp_path: Path, count_measurements: list[str], damage: Callable[[str], str]
) -> None:
    first = load_or_measure(make_model(), cache=tmp_path)
    (path,) = tmp_path.iterdir()
    intact = path.read_text()
    path.write_text(damage(intact))
    assert path.read_text() != intact
    assert load_or_measure(make_model(), cache=tmp_path) == first
    assert len(count_measurements) == 2
    assert path.read_text() == intact


def test_other_model_host_torch_or_threads_has_its_own_entry() -> None:
    host = Host("cpu", "2.9.0", 1)
    others = [replace(host, cpu="other"), replace(host, torch_version="2.10.0"), replace(host, threads=2)]
    paths = {cache_path("model", other) for other in [host, *others]} | {cache_path("other model", host)}
    assert len(paths) == 5


def test_other_host_is_measured_anew(
    make_model: MakeModel, tmp_path: Path, count_measurements: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    load_or_measure(make_model(), cache=tmp_path)
    monkeypatch.setattr(calibration_files, "describe_host", lambda threads: Host("another cpu", "2.9.0", threads))
    load_or_measure(make_model(), cache=tmp_path)
    assert len(count_measurements) == 2


def test_file_is_the_same_on_every_host(
    make_model: MakeModel, tmp_path: Path, count_measurements: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, cache = tmp_path / "made" / "times.json", tmp_path / "cache"
    made = calibrate([make_model(), make_model(seed=1)], file, cache=cache)
    assert load(file) == made
    monkeypatch.setattr(calibration_files, "describe_host", lambda threads: Host("another cpu", "2.9.0", threads))
    assert load_or_measure(make_model(seed=1), file, cache=cache) == made[1]
    assert len(count_measurements) == 2


def test_calibrate_measures_anew_and_renews_the_cache(
    make_model: MakeModel, tmp_path: Path, count_measurements: list[str]
) -> None:
    load_or_measure(make_model(noise=0.3), cache=tmp_path)
    (renewed,) = calibrate([make_model()], cache=tmp_path)
    assert count_measurements == ["clocked-0", "clocked-0"]
    assert load_or_measure(make_model(), cache=tmp_path) == renewed


def test_file_without_the_model_is_refused(make_model: MakeModel, tmp_path: Path) -> None:
    calibrate([make_model()], tmp_path / "times.json", cache=tmp_path / "cache")
    with pytest.raises(InputError, match=r"was not made with this version of model 'clocked' .*specran calibrate"):
        load_or_measure(make_model(seed=3), tmp_path / "times.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read"),
        ("{", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        ("[1]", "does not say format"),
        ('{"format": "specran calibration 1"}', "must be a list"),
        ('{"format": "specran calibration 1", "calibrations": [3]}', "not a calibration"),
        ('{"format": "specran calibration 1", "calibrations": [{}]}', "content_hash"),
    ],
)
def test_bad_file_is_refused(make_model: MakeModel, tmp_path: Path, content: str | bytes | None, message: str) -> None:
    path = tmp_path / "times.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message):
        load_or_measure(make_model(), path)


def test_file_with_text_for_a_number_is_refused(make_model: MakeModel, tmp_path: Path) -> None:
    path = tmp_path / "times.json"
    calibrate([make_model()], path, cache=tmp_path)
    content = json.loads(path.read_text())
    content["calibrations"][0]["median_relative_error"] = "small"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="median_relative_error"):
        load(path)


def test_killed_while_writing_leaves_the_old_file(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "times.json"
    (old,) = calibrate([make_model()], path, cache=tmp_path / "cache")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        save([replace(old, model_name="new")], path)
    monkeypatch.undo()
    assert load(path) == [old]
    assert sorted(item.name for item in tmp_path.iterdir()) == ["cache", "times.json"]


def test_a_cache_that_cannot_be_written_costs_a_measurement_only(make_model: MakeModel, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert load_or_measure(make_model(), cache=blocked).model_fingerprint == "clocked-0"
    with pytest.raises(InputError, match="cannot write"):
        calibrate([make_model()], blocked / "times.json", cache=tmp_path / "cache")
    # Where the cache is all that is written, nothing would be kept.
    with pytest.raises((InputError, RunError), match="cannot write timings to"):
        calibrate([make_model()], cache=blocked)


def test_written_files_are_readable_by_others(make_model: MakeModel, tmp_path: Path) -> None:
    calibrate([make_model()], tmp_path / "times.json", cache=tmp_path / "cache")
    assert os.stat(tmp_path / "times.json").st_mode & 0o777 == 0o644


def test_default_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SPECRAN_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = cache_path("model", describe_host(1))
    assert "specran" in path.parts
    assert path.suffix == ".json"


def test_the_cache_is_where_the_user_wants_it(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SPECRAN_CACHE", str(tmp_path / "here"))
    load_or_measure(make_model())
    assert [path.suffix for path in (tmp_path / "here" / "calibrations").iterdir()] == [".json"]
    assert not (tmp_path / "home").exists()
