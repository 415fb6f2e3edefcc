"""The command line as a user meets it: exit codes, one clear message, JSON alone on stdout, nothing half-written."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

QUICK = [
    "--set", "devices.count=2", "--set", "devices.requests=1", "--set", "workload.max_new_tokens=6",
    "--set", "compute={device: {kind: fixed, per_token_s: 0.001}, edge: {kind: fixed, per_forward_s: 0.003}}",
    "--set", "link={kind: fixed, uplink_mbps: 2}", "--set", "models=embedded",
]  # fmt: skip


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that the commands of this module share."""
    return tmp_path_factory.mktemp("cache")


def specran(cache: Path, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    root = Path(__file__).resolve().parent.parent.parent
    environment = {**os.environ, "SPECRAN_CACHE": str(cache), "PYTHONPATH": str(root), "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-m", "sim.cli", *arguments], capture_output=True, text=True, env=environment, cwd=cwd
    )


def test_run_writes_a_complete_folder_and_json_alone_on_stdout(cache: Path, tmp_path: Path):
    done = specran(cache, "run", "quickstart", *QUICK, "--set", "name=mine", "--out", str(tmp_path), "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["requests"] == 2 and summary["e2e_mean_s"] > 0
    (folder,) = (tmp_path / "mine").iterdir()
    assert Path(summary["folder"]) == folder
    names = {path.name for path in folder.iterdir()}
    assert {"scenario.yaml", "summary.json", "requests.parquet", "requests.csv", "manifest.json", "figures"} <= names
    again = specran(cache, "run", str(folder / "scenario.yaml"), "--out", str(tmp_path / "again"))
    assert again.returncode == 0, again.stderr
    (second,) = (tmp_path / "again" / "mine").iterdir()
    assert second.name == folder.name
    for table in ("requests.parquet", "rounds.parquet"):
        assert (second / table).read_bytes() == (folder / table).read_bytes()


@pytest.mark.parametrize("group", [[], ["tape"], ["channel"]])
def test_a_group_without_a_command_shows_its_help(group: list[str], capsys: pytest.CaptureFixture[str]):
    from sim.cli import _main

    assert _main(group) == 2
    captured = capsys.readouterr().err
    assert captured.startswith("Usage: specran") and captured.strip().splitlines()[-1].startswith("  ")
    assert "see specran --help" not in captured


@pytest.mark.parametrize(("first", "second"), [("SIGINT", "SIGINT"), ("SIGTERM", "SIGINT"), ("SIGHUP", "SIGHUP")])
def test_an_interrupt_is_told_in_one_line(cache: Path, tmp_path: Path, first: str, second: str):
    code = f"""
import signal, sys, threading
from sim.cli import interrupts, main
from sim.sweep import executors
interrupts._PATIENCE_S = 1e9  # on a machine with much to do the second may come late
executors.InProcess.run = lambda self, pieces: signal.raise_signal(signal.{first})
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # of nohup's children it is set aside
# As the interpreter waits for its threads and workers.
threading._register_atexit(lambda: signal.raise_signal(signal.{second}))
sys.argv[1:] = ["sweep", "quickstart", "--jobs", "1", "--vary", "link.bandwidth_mhz=10"]
main()
"""
    root = Path(__file__).resolve().parent.parent.parent
    environment = {**os.environ, "SPECRAN_CACHE": str(cache), "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 130
    assert done.stderr == (
        "specran: interrupted; finished points are kept, go on with: "
        "specran sweep quickstart --jobs 1 --vary link.bandwidth_mhz=10 --resume\n"
    )
    assert not list(tmp_path.iterdir())


def test_of_several_interrupts_the_first_alone_is_raised():
    code = (
        "import os, signal\n"
        "from sim.cli.interrupts import Interrupts\n"
        # A suite in the background of a shell ignores interrupts, and its children with it.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "handlers, raised = Interrupts(), 0\n"
        "for _ in range(3):\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    except KeyboardInterrupt:\n"
        "        raised += 1\n"
        "handlers.end()\n"
        "print(raised)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


def test_an_interrupt_that_a_library_swallows_is_not_lost():
    code = """
import signal, sys, time
from sim import cli

def swallow(arguments):
    try:
        signal.raise_signal(signal.SIGTERM)
    except BaseException:
        pass
    time.sleep(60)

cli._run = swallow
sys.argv[1:] = ["tape", "list"]
cli.main()
"""
    root = Path(__file__).resolve().parent.parent.parent
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(root)}
    )
    assert (done.returncode, done.stderr) == (130, "specran: interrupted; what was finished is kept\n")


def test_an_interrupt_is_told_once_however_slowly():
    """What raises a lost interrupt again must not take one for lost that is just being told."""
    code = """
import signal, sys, time
from sim import cli

def returns_as_typer_does(arguments):
    try:
        signal.raise_signal(signal.SIGTERM)
    except KeyboardInterrupt:
        return 130

class Slow:
    def write(self, text):
        time.sleep(0.3)
        sys.__stderr__.write(text)

    def flush(self):
        pass

cli.interrupts._AGAIN_S = 0.1
cli._run = returns_as_typer_does
sys.stderr = Slow()
sys.argv[1:] = ["tape", "list"]
cli.main()
"""
    root = Path(__file__).resolve().parent.parent.parent
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(root)}
    )
    assert (done.returncode, done.stderr) == (130, "specran: interrupted; what was finished is kept\n")


def test_seed_changes_the_folder_and_the_bytes(cache: Path, tmp_path: Path):
    folders = []
    for seed in ("1", "2"):
        done = specran(cache, "run", "quickstart", *QUICK, "--seed", seed, "--out", str(tmp_path), "--json")
        folders.append(Path(json.loads(done.stdout)["folder"]))
    assert folders[0] != folders[1]
    assert (folders[0] / "requests.parquet").read_bytes() != (folders[1] / "requests.parquet").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "no_such_scenario"], "no such file or bundled scenario"),
        (["run", "quickstart", "--set", "link.uplink_mbps=-1"], "--set link.uplink_mbps"),
        (["run", "quickstart", "--set", "protocol.top_kk=1"], "did you mean 'top_k'"),
        (["run", "quickstart", "--set", "nonsense"], "expects key.path=value"),
        (["run", "quickstart", "--set", "devices.count=0"], "devices.count"),
        (["run", "quickstart", "--set", "models.draft=/no/such/folder"], "/no/such/folder"),
        (["run", "quickstart", "--set", "workload.prompts=/no/prompts.jsonl"], "/no/prompts.jsonl"),
        (["run", "quickstart", "--set", "workload.max_new_tokens=50000"], "context"),
        (["run", "quickstart", "--seed", "many"], "--seed"),
        (["sweep", "quickstart", "--vary", "link.bandwith_mhz=1,2"], "did you mean 'bandwidth_mhz'"),
        (["sweep", "quickstart", "--vary", "link.bandwidth_mhz="], "empty"),
        (["plot", "/no/such/results"], "no such file or folder"),
        (["list", "nonsense"], "unknown kind"),
        (["validate", "no_such_scenario"], "no such file"),
        (["nonsense"], "No such command"),
    ],
)
def test_wrong_input_exits_with_2_one_message_and_writes_nothing(
    cache: Path, tmp_path: Path, arguments: list[str], says: str
):
    done = specran(cache, *arguments, cwd=tmp_path)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_broken_prompt_line_is_named(cache: Path, tmp_path: Path):
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"text": "def f"}\n{"text": 3}\n')
    done = specran(cache, "run", "quickstart", "--set", f"workload.prompts={prompts}", "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert f"{prompts}:2" in done.stderr
    assert not (tmp_path / "out").exists()


def test_results_that_cannot_be_written_give_one_message(cache: Path, tmp_path: Path):
    (tmp_path / "file").write_text("")
    done = specran(cache, "run", "quickstart", *QUICK, "--out", str(tmp_path / "file"))
    assert done.returncode == 2
    assert "cannot write results" in done.stderr and "Traceback" not in done.stderr


def test_time_left_is_told_from_work_done_now(monkeypatch):
    """Ninety resumed points took no time: the ten that are left take ten times what the first of them took."""
    from rich.progress import TimeRemainingColumn

    from sim.cli.output import ProgressBars

    bars = ProgressBars()
    now = [100.0]
    monkeypatch.setattr(bars._progress, "get_time", lambda: now[0])
    bars("simulating", 90, 100)
    (task,) = bars._progress.tasks
    assert task.time_remaining is None
    for done in (91, 92, 93):
        now[0] += 5.0
        bars("simulating", done, 100)
    assert task.time_remaining == pytest.approx(7 * 5, abs=6)
    assert TimeRemainingColumn().render(task).plain.endswith(("35", "30", "40"))


@pytest.mark.parametrize(
    "kind", ["protocols", "rules", "links", "controllers", "compute", "hardware", "scenarios", "orchestrators"]
)
def test_list_gives_a_line_per_name(cache: Path, kind: str):
    done = specran(cache, "list", kind)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines and all(len(line.split(maxsplit=1)) == 2 for line in lines)


def test_schema_is_json_schema(cache: Path):
    schema = json.loads(specran(cache, "schema").stdout)
    assert {"protocol", "link", "devices", "compute"} <= set(schema["properties"])
    (nr,) = [keys for keys in schema["properties"]["link"]["anyOf"] if keys.get("title") == "nr"]
    # What stands below each field, inherited ones too.
    assert nr["properties"]["tdd_pattern"]["description"].startswith("Slots of one period")
    assert all("description" in key for key in nr["properties"].values())
    assert all("description" in key for key in schema["$defs"]["DevicesSettings"]["properties"].values())
    sweep = schema["$defs"]["SweepSettings"]
    (short,) = sweep["patternProperties"].values()
    assert sweep["properties"]["axes"]["additionalProperties"] == short
    assert {kind["type"] for kind in short["anyOf"]} == {"array", "object"}


def test_the_readmes_notebook_runs(cache: Path, tmp_path: Path):
    readme = (Path(__file__).resolve().parent.parent.parent / "README.md").read_text()
    code = next(block for block in readme.split("```python\n") if block.startswith("from sim import")).split("```")[0]
    # As it stands, also as a script: workers do not run it again.
    (tmp_path / "notebook.py").write_text(code)
    root = Path(__file__).resolve().parent.parent.parent
    environment = {**os.environ, "SPECRAN_CACHE": str(cache), "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "notebook.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("512") == 1 and not done.stderr
    assert len(list((tmp_path / "results").rglob("report.html"))) == 1


def test_a_users_own_protocol_is_found_by_module_and_name(cache: Path, tmp_path: Path):
    readme = (Path(__file__).resolve().parent.parent.parent / "README.md").read_text()
    code = next(block for block in readme.split("```python\n") if "def greedy_pairs" in block).split("```")[0]
    (tmp_path / "mine.py").write_text(code)
    done = specran(
        cache, "run", "quickstart", *QUICK, "--set", "protocol={name: 'mine:greedy_pairs'}", "--json", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["acceptance_rate"] > 0


def test_the_readmes_sweeps_and_runs_are_not_refused():
    """As far as their points, without running them; the models that one names are those of a hub."""
    from sim.scenario.loading import load_scenario
    from sim.scenario.overrides import changes_of, parse_axes
    from sim.scenario.points import expand

    readme = (Path(__file__).resolve().parent.parent.parent / "README.md").read_text()
    commands = [
        shlex.split(line) for line in readme.splitlines() if line.startswith(("specran run ", "specran sweep "))
    ]
    assert len(commands) >= 3
    for _, verb, name, *options in commands:
        pairs = list(zip(options[::2], options[1::2], strict=True))
        changes = changes_of([value for option, value in pairs if option == "--set"], None)
        axes = parse_axes(value for option, value in pairs if option == "--vary")
        assert {option for option, _ in pairs} <= {"--set", "--vary", "--scheduler"}
        scenario = load_scenario(name, changes, axes, check=expand if verb == "sweep" else None)
        assert scenario.name == name


def test_the_readmes_yaml_is_a_sweep(tmp_path: Path):
    from sim.scenario.loading import load_scenario
    from sim.scenario.points import expand

    readme = (Path(__file__).resolve().parent.parent.parent / "README.md").read_text()
    (block,) = readme.split("```yaml\n")[1:]
    path = tmp_path / "case.yaml"
    path.write_text(block.split("```")[0])
    scenario = load_scenario(path)
    assert scenario.sweep is not None and scenario.sweep.precision == 0.02
    assert len(expand(scenario)) == 7 * 3 * 2 * 20
