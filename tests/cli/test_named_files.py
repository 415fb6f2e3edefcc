"""``specran validate`` opens the files that a scenario names, as a run would, and says what it did not open."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sim.cli import _main
from sim.core.errors import InputError
from sim.models.sources import SHIPPED_FOLDERS

_SCENARIO = """devices: {count: 2, requests: 1}
protocol: {name: edge_only}
models: embedded
"""
_CSV = "a,b\n1,2\n"


@pytest.fixture
def work(tmp_path, monkeypatch) -> Path:
    """A folder with a scenario, some files that are no good, and a cache of its own."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("SPECRAN_CACHE", str(tmp_path / "cache"))
    Path("case.yaml").write_text(_SCENARIO)
    Path("empty.txt").write_text("\n")
    Path("binary.txt").write_bytes(b"\x80\x81\xff")
    Path("other.csv").write_text(_CSV)
    Path("short.csv").write_text("time_s,device\n0.5,0\n")
    Path("broken.jsonl").write_text('{"text": "def f"}\n{"texts": "x"}\n')
    Path("times.json").write_text("{}")
    np.savez("other.npz", a=np.zeros(3))
    Path("weights.gguf").write_bytes(b"PK\x03\x04")
    Path("bare").mkdir()
    for name in ("pipe.csv", "pipe.txt", "pipe.npz", "pipe.json", "pipe.yaml", "pipe.gguf"):
        os.mkfifo(name)
    return work


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("workload.prompts=no.jsonl", "--set workload.prompts: no.jsonl: cannot be read: No such file"),
        ("workload.prompts=empty.txt", "holds no prompt"),
        ("workload.prompts=binary.txt", "binary.txt:1: cannot be read as UTF-8 text"),
        ("workload.prompts=broken.jsonl", "broken.jsonl:2: broken prompt line"),
        ("workload.prompts=other.csv", "--set workload.prompts: "),
        ("devices.arrivals=no.csv", "--set devices.arrivals: expected closed, poisson"),
        ("devices.arrivals=other.csv", "--set devices.arrivals: "),
        ("devices.arrivals=short.csv", "short.csv: 0 arrivals for device 1, which issues 1 requests"),
        ("devices={count: 1, arrivals: poisson, total_rate_hz: 1, diurnal: no.csv}", "devices.diurnal: no.csv: cannot"),
        ("link={kind: trace, uplink_trace: no.csv, downlink_mbps: 1}", "--set link.uplink_trace: "),
        ("link={kind: trace, uplink_trace: other.csv, downlink_mbps: 1}", "--set link.uplink_trace: "),
        ("link={kind: nr, fading_trace: no.npz}", "--set link.fading_trace: no.npz: no such fading trace"),
        ("link={kind: nr, fading_trace: other.npz}", "--set link.fading_trace: "),
        ("compute.edge={kind: calibrated, file: no.json}", "--set compute.edge.file: cannot read calibration file"),
        ("compute.edge={kind: calibrated, file: times.json}", "times.json does not say format"),
        ("compute.edge={kind: table, file: no.csv}", "no.csv: cannot be read: No such file"),
        ("workload.prompts=pipe.txt", "--set workload.prompts: pipe.txt is a pipe; only regular files are read"),
        ("devices.arrivals=pipe.csv", "--set devices.arrivals: pipe.csv is a pipe"),
        (
            "devices={count: 1, arrivals: poisson, total_rate_hz: 1, diurnal: pipe.csv}",
            "--set devices.diurnal: pipe.csv",
        ),
        ("link={kind: trace, uplink_trace: pipe.csv, downlink_mbps: 1}", "--set link.uplink_trace: pipe.csv is a pipe"),
        ("link={kind: nr, fading_trace: pipe.npz}", "--set link.fading_trace: pipe.npz is a pipe"),
        ("compute.edge={kind: calibrated, file: pipe.json}", "--set compute.edge.file: pipe.json is a pipe"),
        ("compute.edge={kind: table, file: pipe.csv}", "--set compute.edge.file: pipe.csv is a pipe"),
        ("models.target=pipe.gguf", "--set models.target: pipe.gguf is a pipe; only regular files are read"),
        ("models.target=./nope", "--set models.target: cannot load model './nope': no such folder"),
        ("models.target=bare", "the folder bare holds no config.json"),
        ("models.target=weights.gguf", "it is no GGUF file"),
        ("models.target=~nobody-of-that-name/x", "--set models.target: Could not determine home directory"),
        (f"devices.arrivals=a.{'x' * 4000}", "--set devices.arrivals: File name too long"),
        ("models.target=embedded/targt", "did you mean 'embedded/target'?"),
    ],
)
def test_what_a_run_would_refuse(work, capsys, change: str, says: str):
    assert _main(["validate", "case.yaml", "--set", change]) == 2
    captured = capsys.readouterr()
    assert says in captured.err and captured.err.count("\n") == 1
    assert not captured.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["validate", "pipe.yaml"], "pipe.yaml: is a pipe; only regular files are read"),
        (["run", "case.yaml", "--set", "models.target=pipe.gguf"], "--set models.target: pipe.gguf is a pipe"),
        (
            ["sweep", "case.yaml", "--vary", "workload.prompts=chat,pipe.txt"],
            "--vary workload.prompts: pipe.txt is a pipe",
        ),
        (["run", "/dev/zero"], "/dev/zero: is a device; only regular files are read"),
        (["price", "--hardware", "pipe.yaml", "--model", "8B"], "pipe.yaml: is a pipe"),
        (["channel", "import", "pipe.csv", "--format", "csv"], "channel import: pipe.csv: is a pipe"),
        (["tape", "import", "pipe.npz"], "pipe.npz: is a pipe"),
    ],
)
def test_no_command_waits_for_a_pipe(work, capsys, arguments: list[str], says: str):
    assert _main(arguments) == 2
    captured = capsys.readouterr()
    assert says in captured.err and captured.err.count("\n") == 1


@pytest.mark.parametrize("reader", ["trace", "recording", "calibration", "timings", "prompts"])
def test_readers_themselves_refuse_a_pipe(work, reader: str):
    from channels.bandwidth_traces import load_trace
    from channels.recorded import FadingTrace
    from sim.compute.calibration_files import load
    from sim.compute.table_fit import fit_table
    from sim.inputs.prompts import read_prompts

    readers = {
        "trace": load_trace,
        "recording": FadingTrace.load,
        "calibration": load,
        "timings": fit_table,
        "prompts": lambda path: read_prompts(str(path)),
    }
    with pytest.raises((ValueError, InputError), match=r"pipe\.csv: is a pipe; only regular files are read"):
        readers[reader](Path("pipe.csv"))


def test_a_file_of_an_axis_is_opened_too(work, capsys):
    assert _main(["validate", "case.yaml", "--vary", "workload.prompts=chat,no.jsonl"]) == 2
    assert "--vary workload.prompts: no.jsonl: cannot be read" in capsys.readouterr().err


def test_a_file_that_no_run_reads_is_no_problem(work, capsys):
    assert _main(["validate", "case.yaml", "--set", "compute.cloud={kind: calibrated, file: no.json}"]) == 0
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("nosuch/thing", "models.target 'nosuch/thing': not here; asked of the Hugging Face hub when run"),
        ("smollm2/target", "models.target 'smollm2/target': smollm2/target is not here; fetched when run (93 MB)"),
    ],
)
def test_what_is_left_to_a_run_is_said(work, capsys, monkeypatch, model: str, says: str):
    monkeypatch.setenv("SPECRAN_MODELS", str(work / "models"))
    monkeypatch.setenv("HF_HOME", str(work / "hub"))
    assert _main(["validate", "case.yaml", "--set", f"models.target={model}"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "case.yaml: valid\n"
    assert captured.err == f"not opened: {says}\n"


def test_what_models_check_tells_of_folders_and_pairs_is_said(work, capsys):
    """Weights, networks and tokenizers are not read."""
    folder = str(SHIPPED_FOLDERS["embedded/"] / "target")
    Path("own").symlink_to(folder)
    tslt = ["--set", "protocol={name: tslt}", "--set"]
    assert _main(["validate", "case.yaml", *tslt, "models={draft: embedded/draft, target: own}"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "not opened: models.target 'own': its weights and network; specran models check own tells whether a run would "
        "refuse it",
        "not opened: models: whether the two make a pair; specran models check embedded/draft --with own tells",
    ]
    assert _main(["validate", "case.yaml", *tslt, "models={draft: embedded/draft, target: embedded/target}"]) == 0
    assert not capsys.readouterr().err


def test_the_keys_of_a_users_own_protocol_are_said_to_be_unchecked(work, capsys):
    Path("mine.py").write_text("raise SystemExit('never imported')\n")
    assert _main(["validate", "case.yaml", "--set", "protocol={name: 'mine:one', wyde: 3}"]) == 0
    told = capsys.readouterr().err
    assert "not checked, because no code of yours runs here: the keys of protocol.name 'mine:one'" in told
    assert "specran run checks them before it decodes" in told
    assert "not opened: models: which of them the protocol runs" in told


def test_nothing_heavy_is_imported_for_it(work):
    code = "import sys; from sim.cli import _main; rc = _main(sys.argv[1:]); print([m for m in sys.modules if m in "
    code += "('torch', 'transformers', 'pandas', 'matplotlib')], rc)"
    lines = [json.dumps({"text": "def f", "category": "code"})]
    Path("mine.jsonl").write_text("\n".join(lines))
    command = [sys.executable, "-c", code, "validate", "quickstart", "--set", "workload.prompts=mine.jsonl"]
    done = subprocess.run([*command, "--set", "models=embedded"], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["quickstart: valid", "[] 0"], done.stderr
