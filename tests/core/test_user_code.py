"""A user's own code: where it is looked for, when it runs, and who may let a checkpoint's code run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from sim.cli import _main
from sim.core import user_code
from sim.core.errors import InputError
from sim.scenario.loading import load_scenario
from sim.scenario.user_code import user_code_hashes

_PROTOCOL = """
from pathlib import Path
from sim.decoding import ChainSettings, protocol
from sim.decoding.protocols.edge_only import edge_only
Path(__file__).with_name("ran.txt").write_text("{tag}")
class OwnSettings(ChainSettings):
    '''Keys.'''
    extra: int = 0
    '''One more.'''
@protocol("{name}", OwnSettings, lossless=True, models=("target",))
def own(request, settings, rng):
    '''Say {tag}.'''
    yield from edge_only(request, settings, rng)
"""


@pytest.fixture(autouse=True)
def clean_modules(monkeypatch: pytest.MonkeyPatch):
    """Modules of one test are not known to the next one."""
    from sim.decoding.protocols.registry import PROTOCOLS

    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    with PROTOCOLS.restored_afterwards(), user_code.user_code_forgotten():
        yield
    for name in set(sys.modules) - before:
        if name.startswith("own_"):
            del sys.modules[name]


def write_module(folder: Path, module: str, tag: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{module}.py"
    path.write_text(_PROTOCOL.format(tag=tag, name=f"{module}_{tag}"))
    return path


def write_scenario(folder: Path, protocol: str, more: str = "") -> Path:
    path = folder / "case.yaml"
    path.write_text(f"protocol: {protocol}\n{more}")
    return path


def test_a_module_is_looked_for_beside_the_scenario_then_in_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    beside = write_module(tmp_path / "study", "own_a", "beside")
    write_module(tmp_path, "own_a", "here")
    here = write_module(tmp_path, "own_b", "here")
    load_scenario(write_scenario(tmp_path / "study", "own_a:own"))
    load_scenario(write_scenario(tmp_path / "study", "own_b:own"))
    loaded = {name: module.path for name, module in user_code.user_modules().items()}
    assert loaded == {"own_a": beside, "own_b": here}
    assert (tmp_path / "study" / "ran.txt").read_text() == "beside"


def test_a_file_beside_a_scenario_shadows_nothing_that_is_installed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "json.py").write_text("raise RuntimeError('shadowed')\n")
    (tmp_path / "own_c.py").write_text(
        "import json\nassert json.loads('1') == 1\n" + _PROTOCOL.format(tag="c", name="c")
    )
    load_scenario(write_scenario(tmp_path, "own_c:own"))
    with pytest.raises(InputError, match=r"json\.py has the name of .* which is in use; rename it"):
        load_scenario(write_scenario(tmp_path, "json:own"))


def test_two_files_of_one_name_are_not_taken_for_each_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("one", "two"):
        write_module(tmp_path / folder, "own_d", folder)
    load_scenario(write_scenario(tmp_path / "one", "own_d:own"))
    with pytest.raises(InputError, match=r"module 'own_d' is in use from .*one.*; rename one of them"):
        load_scenario(write_scenario(tmp_path / "two", "own_d:own"))


def test_a_file_that_has_changed_is_loaded_anew(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write_module(tmp_path, "own_e", "first")
    scenario = write_scenario(tmp_path, "own_e:own")
    assert load_scenario(scenario).protocol.entry.summary == "Say first."
    path.write_text(path.read_text().replace("Say first.", "Say second."))
    assert load_scenario(scenario).protocol.entry.summary == "Say second."


@pytest.mark.parametrize(
    "imports", ["import own_helper", "from own_helper import WORD", "def late():\n    import own_helper"]
)
def test_what_a_file_imports_from_its_folder_counts_as_its_own(tmp_path, monkeypatch, imports):
    monkeypatch.chdir(tmp_path)
    path = write_module(tmp_path, "own_f", "f")
    path.write_text(f"{imports}\n{path.read_text()}")
    (tmp_path / "own_helper.py").write_text("from own_deeper import WORD\nimport json\n")
    (tmp_path / "own_deeper.py").write_text("WORD = 'first'\n")
    (tmp_path / "own_stranger.py").write_text("raise RuntimeError('nobody imports this')\n")
    scenario = write_scenario(tmp_path, "own_f:own")
    before = user_code_hashes(load_scenario(scenario).dump())
    assert set(before) == {"own_f", "own_helper", "own_deeper"}
    loaded = sys.modules["own_f"]
    load_scenario(scenario)
    assert sys.modules["own_f"] is loaded
    (tmp_path / "own_deeper.py").write_text("WORD = 'the second'\n")
    after = user_code_hashes(load_scenario(scenario).dump())
    assert {name for name in before if before[name] != after[name]} == {"own_deeper"}
    assert sys.modules["own_f"] is not loaded
    assert __import__("own_helper").WORD == "the second"


def test_files_that_code_says_it_reads_count(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write_module(tmp_path, "own_r", "r")
    path.write_text(f"import own_reader\n{path.read_text()}")
    (tmp_path / "own_reader.py").write_text("DATA_FILES = ['levels.txt']\nLEVEL = open('levels.txt').read()\n")
    (tmp_path / "levels.txt").write_text("1")
    scenario = write_scenario(tmp_path, "own_r:own")
    before = user_code_hashes(load_scenario(scenario).dump())
    assert set(before) == {"own_r", "own_reader", "own_reader/levels.txt"}
    (tmp_path / "levels.txt").write_text("2")
    after = user_code_hashes(load_scenario(scenario).dump())
    assert {name for name in before if before[name] != after[name]} == {"own_reader/levels.txt"}
    assert sys.modules["own_reader"].LEVEL == "2"
    (tmp_path / "levels.txt").unlink()
    with pytest.raises(InputError, match=r"own_reader\.py: DATA_FILES names 'levels\.txt', and there is no such file"):
        user_code_hashes({"protocol": "own_r:own"})


def test_files_of_a_package_count_by_what_they_import(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    package = tmp_path / "own_package"
    write_module(package, "inner", "inner")
    (package / "__init__.py").write_text("")
    (package / "beside.py").write_text("from . import more\n")
    (package / "more.py").write_text("import numpy\n")
    path = package / "inner.py"
    path.write_text(f"from .beside import more\n{path.read_text()}")
    dump = load_scenario(write_scenario(tmp_path, "own_package.inner:own")).dump()
    names = {"own_package", "own_package.inner", "own_package.beside", "own_package.more"}
    assert set(user_code_hashes(dump)) == names


@pytest.mark.parametrize("part", ["protocol", "link", "controller", "compute", "edge", "rule", "scheduler"])
def test_validate_runs_no_code_of_a_users_own(tmp_path, monkeypatch, capsys, part):
    monkeypatch.chdir(tmp_path)
    write_module(tmp_path, "own_f", "f")
    texts = {
        "protocol": "protocol: {name: 'own_f:own', whatever: 3}\n",
        "link": "link: {kind: 'own_f:own', whatever: 3}\n",
        "controller": "controller: own_f:own\n",
        "compute": "compute: {edge: own_f:own}\n",
        "edge": "edge: {engine: 'own_f:own'}\n",
        "rule": "protocol: {name: tslt, rule: 'own_f:own'}\n",
        "scheduler": "link: {kind: nr, scheduler: 'own_f:own'}\n",
    }
    Path("case.yaml").write_text(texts[part])
    assert _main(["validate", "case.yaml"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "case.yaml: valid\n"
    assert "own_f:own" in captured.err and "no code of yours runs here" in captured.err
    assert "own_f" not in sys.modules and not Path("ran.txt").exists()
    Path("own_f.py").unlink()
    assert _main(["validate", "case.yaml"]) == 2
    assert "case.yaml:1: " in capsys.readouterr().err


def test_validate_runs_none_for_sweeps_either(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_module(tmp_path, "own_g", "g")
    Path("case.yaml").write_text(
        "sweep: {axes: {protocol.name: [tslt, 'own_g:own']}, variants: {a: {}, b: {controller.name: 'own_g:c'}}}\n"
    )
    assert _main(["validate", "case.yaml"]) == 0
    assert not Path("ran.txt").exists() and "valid" in capsys.readouterr().out


def test_the_run_says_whose_code_it_runs_and_keeps_its_prints_off_stdout(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SPECRAN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    path = write_module(tmp_path, "own_h", "h")
    path.write_text(path.read_text() + "print('hello from own code')\n")
    more = (
        "devices: {requests: 1}\nmodels: embedded\nworkload: {max_new_tokens: 2}\n"
        "compute: {edge: {kind: fixed, per_forward_s: 0.01}}\n"
    )
    scenario = write_scenario(tmp_path, "own_h:own", more)
    assert _main(["run", str(scenario), "--json"]) == 0
    captured = capsys.readouterr()
    summary = json.loads(captured.out)
    assert f"code:    {path} (module own_h)" in captured.err and "hello from own code" in captured.err
    manifest = json.loads((Path(summary["folder"]) / "manifest.json").read_text())
    assert manifest["lossless"] == "claimed"


@pytest.mark.parametrize("where", [["--jobs", "2"], ["--scheduler", "local", "--jobs", "1"]])
def test_own_code_in_workers_is_the_scenarios_and_prints_nothing_on_stdout(tmp_path, monkeypatch, capfd, where):
    monkeypatch.setenv("SPECRAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)  # where workers would find a file of that name, too
    path = write_module(tmp_path, "own_w", "w")
    path.write_text(f"{path.read_text()}import own_w_helper\nprint('hello from own code')\n")
    (tmp_path / "own_w_helper.py").write_text("WORD = 'helps'\n")
    more = (
        "devices: {requests: 1}\nmodels: embedded\nworkload: {max_new_tokens: 2}\n"
        "compute: {edge: {kind: fixed, per_forward_s: 0.01}}\n"
    )
    scenario = write_scenario(tmp_path, "own_w:own", more)
    assert _main(["sweep", str(scenario), "--vary", "seed=1,2", "--json", *where]) == 0
    captured = capfd.readouterr()
    answer = json.loads(captured.out)
    assert len(answer["points"]) == 2 and not answer["failed"]
    assert captured.err.count("hello from own code") > 1
    # What workers have recorded is found again here: both sides mean the same files by the module's name.
    assert _main(["tape", "record", str(scenario), "--set", "seed=2", "--jobs", "1"]) == 0
    assert "0 of 1 requests were decoded" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("raise ValueError('no')\n", r"own_i\.py:1: ValueError: no"),
        ("def f(:\n", r"own_i\.py:1: "),
        ("import not_there_at_all\n", r"own_i\.py:1: No module named 'not_there_at_all'"),
        ("raise SystemExit(3)\n", r"own_i\.py:1: SystemExit: 3"),
        ("own = 3\n", "'own_i:own' was imported but is not registered as a protocol"),
        ("x = 3\n", "module 'own_i' registers no protocol"),
    ],
)
def test_own_code_that_fails_is_told_with_its_line(tmp_path, monkeypatch, text, says):
    monkeypatch.chdir(tmp_path)
    Path("own_i.py").write_text(text)
    with pytest.raises(InputError, match=says):
        load_scenario(write_scenario(tmp_path, "own_i:own"))


@pytest.mark.parametrize("value", ["true", "yes", "1", "'false'"])
def test_no_scenario_lets_a_checkpoints_code_run(tmp_path, monkeypatch, capsys, value):
    monkeypatch.chdir(tmp_path)
    Path("case.yaml").write_text(f"models:\n  trust_remote_code: {value}\n")
    assert _main(["validate", "case.yaml"]) == 2
    assert "case.yaml:2: models.trust_remote_code: counts only as a flag" in capsys.readouterr().err
    assert _main(["run", "quickstart", "--set", "models.trust_remote_code=true"]) == 2
    assert "--set models.trust_remote_code: counts only as a flag" in capsys.readouterr().err
    assert not user_code.remote_code_is_trusted()


@pytest.mark.parametrize(
    "command", ["run case.yaml", "sweep case.yaml", "tape record case.yaml", "calibrate case.yaml"]
)
def test_the_flag_reaches_the_loading_of_models(tmp_path, monkeypatch, command):
    from sim.models import loading

    monkeypatch.setenv("SPECRAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    Path("case.yaml").write_text("models: {draft: d, target: t}\n")
    asked = []

    def find_model(name, weights=True):
        asked.append(user_code.remote_code_is_trusted())
        raise InputError("no models here")

    monkeypatch.setattr(loading, "find_model", find_model)
    monkeypatch.setattr("sim.inputs.scenario_models.find_model", find_model)
    loading._load_tokenizer.cache_clear()
    assert _main(command.split()) == 2
    assert _main([*command.split(), "--trust-remote-code"]) == 2
    assert asked[0] is False and asked[-1] is True


def test_a_checkpoints_code_does_not_run_unasked(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SPECRAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "model"
    folder.mkdir()
    mark = "from pathlib import Path\nPath('ran.txt').write_text('ran')\n"
    (folder / "own_model.py").write_text(mark)
    config = {
        "architectures": ["OwnForCausalLM"],
        "model_type": "own",
        "auto_map": {"AutoConfig": "own_model.OwnConfig", "AutoModelForCausalLM": "own_model.OwnForCausalLM"},
        "max_position_embeddings": 64,
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["own_model.OwnTokenizer", None]}})
    )
    import torch
    from safetensors.torch import save_file

    save_file({"w": torch.zeros(1)}, folder / "model.safetensors")
    assert _main(["run", "quickstart", "--set", "models={draft: ./model, target: ./model}"]) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert not Path("ran.txt").exists()
