"""What users get wrong: one message that says where and what would be right, exit code 2, and nothing left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.cli import _main
from sim.core.errors import choices
from sim.core.files import cache_folder, models_folder

_TINY = """devices: {count: 1, requests: 1}
workload: {max_new_tokens: 2}
protocol: {name: edge_only}
models: embedded
"""
# The last seed there is, and a sweep that needs two.
_LAST, _TWICE = 18446744073709551615, '{"axes":{"link.uplink_mbps":[1,2]},"replications":2}'


def wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str | bytes, command: str
) -> str:
    """The one message for a command; ``@`` is a scenario file that holds the text."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("SPECRAN_CACHE", str(tmp_path / "cache"))
    Path("case.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
    assert _main(command.replace("@", "case.yaml").split()) == 2
    captured, left = capsys.readouterr(), sorted(path.name for path in work.iterdir())
    assert left == ["case.yaml"]
    assert not captured.out
    assert captured.err.startswith("specran: ") and captured.err.count("\n") == 1
    return captured.err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("link:\n  kind: fixed\n  uplink_mbps: .nan\n", "case.yaml:3: link.uplink_mbps: input should be a finite"),
        ("link:\n  kind: fixed\n  uplink_mbps: .inf\n", "case.yaml:3: link.uplink_mbps: input should be a finite"),
        (
            "link:\n  kind: nr\n  bandwidth_mhz: 21\n",
            "case.yaml:3: link.bandwidth_mhz: at 30 kHz in FR1",
        ),
        ("devices:\n", "case.yaml:1: devices: expected a mapping of keys, got None"),
        ("seed: 1\nlink: [fixed]\n", "case.yaml:2: link: expected a link with its keys"),
        ("devices:\n\tcount: 1\n", "case.yaml:2: not YAML"),
        ("seed: 1\n---\nseed: 2\n", "case.yaml:2: not YAML: expected a single document"),
        (b"\nseed: \x00 1\n", "case.yaml:2: not YAML: control characters are not allowed"),
        (b"\xff\xfe\x00\x01", "case.yaml:1: cannot be read as UTF-8 text"),
        ("a: &x [*x]\n", "case.yaml:1: not YAML: a YAML alias stands within what it names"),
        ("? [1, 2]\n: 3\n", "case.yaml:1: not YAML: a key must be one word or text"),
        ("seed: 1\n\nnull: 3\n", "case.yaml:3: null: unknown key 'null'"),
        ("seed: 1\n~: 3\n", "case.yaml:2: ~: unknown key '~'"),
        ("seed: 1\n: 3\n", "case.yaml:2: null: unknown key 'null'"),
        ("seed: 1\ntrue: 3\n", "case.yaml:2: true: unknown key 'true'"),
        ("seed: 1\n2: 3\n", "case.yaml:2: 2: unknown key 2"),
        ("seed: 1_000\n", "case.yaml:1: seed: expected a number, got '1_000'"),
        ("name: ../elsewhere\n", "case.yaml:1: name: a name has letters, digits"),
        ("name: ''\n", "case.yaml:1: name: a name has letters, digits"),
        ("seed: 1\nlink: {kind: ':'}\n", "case.yaml:2: link.kind: cannot load link ':'"),
        (
            "link:\n  kind: nr\n  positions_m: [[1, 2], [3, 4]]\n",
            "case.yaml:3: link.positions_m: got 2 values; valid: ",
        ),
        (
            "link:\n  kind: nr\n  snr_db: [1, 2, 3]\n",
            "case.yaml:3: link.snr_db: got 3 values; valid: one per device",
        ),
        ("link:\n  kind: nr\n  distances_m: [-4]\n", "case.yaml:3: link.distances_m.0: input should be greater"),
        ("sweep:\n  axes:\n    seed.x: [1]\n", "case.yaml:3: sweep.axes.seed.x: seed is 1, which has no keys below it"),
        ("sweep:\n  variants: [a]\n", "case.yaml:2: sweep.variants: expected a mapping of keys"),
        ("sweep:\n  axes:\n    link.uplink_mbps: []\n", "case.yaml:3: sweep.axes.link.uplink_mbps: the axis is empty"),
        ("sweep:\n  seed: 1\n", "case.yaml:2: sweep.seed: unknown key 'seed'"),
        ("sweep:\n  link.uplink_mbps: []\n", "case.yaml:2: sweep.link.uplink_mbps: the axis is empty"),
        ("sweep:\n  link.uplink_mbps: [1, x]\n", "case.yaml:2: sweep.link.uplink_mbps: input should be a valid number"),
        (
            "sweep:\n  link.uplink_mbsp: [1]\n",
            "case.yaml:2: sweep.link.uplink_mbsp: unknown key 'uplink_mbsp' (did you",
        ),
        (
            "sweep:\n  link.uplink_mbps: [1]\n  axes: {link.uplink_mbps: [1]}\n",
            "case.yaml:1: sweep: 'link.uplink_mbps' is given here and among the axes",
        ),
        ("sweep:\n  replicatons: 3\n", "unknown key 'replicatons' (did you mean 'replications'?); valid: axes, keep"),
        ("sweep:\n  replications: true\n", "case.yaml:2: sweep.replications: expected a number, got True"),
        (
            "sweep:\n  axes: {protocol.top_k: [true]}\n",
            "case.yaml:2: sweep.axes.protocol.top_k: expected a number, got True",
        ),
        ("sweep:\n  precision: 2%\n  replications: 3\n", "case.yaml:2: sweep.precision: the first 3 replications are"),
        (
            "sweep:\n  axes:\n    link.uplink_mbps: {from: 1, to: .inf, points: 3}\n",
            "case.yaml:3: sweep.axes.link.uplink_mbps: from and to of a range must be finite numbers",
        ),
        (
            "sweep:\n  axes:\n    link.uplink_mbps: {from: 2, to: 2, points: 3}\n",
            "case.yaml:3: sweep.axes.link.uplink_mbps: the axis has the value 2 twice",
        ),
        (
            "sweep:\n  zip:\n    link.uplink_mbps: [1, 2]\n    link.downlink_mbps: [1]\n",
            "case.yaml:2: sweep.zip: zipped axes must have equal lengths, got 2 of link.uplink_mbps, 1 of link.down",
        ),
        (
            "sweep:\n  axes: {protocol.top_k: [4]}\n  variants: {a: {}, full: {protocol.name: dsd}}\n",
            "case.yaml:2: sweep.axes.protocol.top_k: unknown key 'top_k' of protocol 'dsd': it belongs to ",
        ),
        (
            "sweep:\n  axes: {protocol.top_k: [4]}\n  variants: {a: {}, b: {protocol.top_k: 9}}\n",
            "case.yaml:2: sweep.axes.protocol.top_k: variant 'b' sets this key, too",
        ),
    ],
)
def test_wrong_scenarios(tmp_path, monkeypatch, capsys, text: str | bytes, says: str):
    assert says in wrong(tmp_path, monkeypatch, capsys, text, "validate @")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("run @ --set seed.x=1", "--set seed.x: input should be a valid integer"),
        ("run @ --set link..x=1", "--set link..x: unknown key ''"),
        (
            "run @ --set edge.continuous.max_num_seqs=2",
            "the keys of engine 'continuous' stand beside 'engine', without 'continuous' in front",
        ),
        ("run @ --window 0:1", "--window is about --timeline"),
        ("run @ --set edge.max_batch=2 --set edge.batch_windows_s=1", "--set edge.batch_windows_s: unknown key"),
        (
            "run @ --set devices.duration_s=3 --set devices.requests=5",
            "--set devices.requests: requests has no meaning with duration_s",
        ),
        (
            "run @ --set devices.duration_s=3 --set devices.arrivals=gamma",
            "--set devices.arrivals: arrivals: gamma needs arrival_rate_hz or total_rate_hz",
        ),
        (
            'run @ --set devices=[{"name":"phones","count":1}] --set devices.phones.colour=1',
            "--set devices.phones.colour: unknown key 'colour' (did you mean 'count'?)",
        ),
        (
            'run @ --set compute.edge={"kind":"roofline","model_size":"8B","hardware":{"hardwareclass":"hbm-gpu"}}',
            "--set compute.edge.hardware.hardwareclass: unknown key 'hardwareclass' (did you mean 'hardware_class'?)",
        ),
        ("validate @ --set workload.max_new_tokens=0", "--set workload.max_new_tokens: input should be greater"),
        ("validate @ --vary edge.max_batch=1,0", "--vary edge.max_batch: input should be greater than or equal to 1"),
        (
            'sweep @ --set devices=[{"name":"phones"}] --vary devices.phones.link.snr_db=1',
            "--vary devices.phones.link.snr_db: unknown key 'snr_db' of link 'fixed'",
        ),
        (
            'sweep @ --set devices=[{"name":"phones"}] --vary devices.phones.compute.per_token_s=-1',
            "--vary devices.phones.compute.per_token_s: ",
        ),
        ("sweep @ --scheduler nowhere", "--scheduler: expected tcp://HOST:PORT, tls://HOST:PORT or local"),
        ("sweep @ --scheduler tcp://127.0.0.1:99999", "--scheduler: expected tcp://HOST:PORT"),
        ("run @ --set link.kind=nrr", "--set link.kind: unknown link 'nrr' (did you mean 'nr'?)"),
        ("sweep @ --vary link.uplink_mbps=", "--vary link.uplink_mbps: the axis is empty"),
        ("sweep @ --vary link.uplink_mbps=a,b", "--vary link.uplink_mbps: input should be a valid number"),
        ("sweep @ --vary edge.max_batch=1 --vary edge.max_batch=2", "--vary edge.max_batch: given twice"),
        ("sweep @ --vary edge.max_batch=1,,2", "--vary edge.max_batch: '1,,2' is no list of values"),
        ("sweep @ --vary edge.max_batch=1,2 --set sweep.axes=3", "--set sweep.axes: expected a mapping of keys, got 3"),
        (
            "sweep @ --vary protocol.name=tslt,edge_only --vary protocol.top_k=4",
            "--vary protocol.top_k: unknown key 'top_k' of protocol 'edge_only': it belongs to ",
        ),
        ("sweep @ --vary workload.prompts=no.txt", "--vary workload.prompts: no.txt: cannot be read"),
        ("sweep @ --seed -1", "Invalid value for '--seed'"),
        ("tape record @ --vary protocol.top_kk=1", "--vary protocol.top_kk: unknown key 'top_kk'"),
        ("tape record @ --set workload.prompts=no.txt", "--set workload.prompts: no.txt: cannot be read"),
        ("tape prune --max-gb nan", "--max-gb must be a number of gigabytes, zero or more, got nan"),
        ("tape prune --max-gb 1e400", "--max-gb must be a number of gigabytes, zero or more, got inf"),
        ("capacity @ --slo-share nan", "'--slo-share': must be a finite number from 0.01 to 1, got nan"),
        ("capacity @ --tolerance inf", "'--tolerance': must be a finite number from 0.001 to 1, got inf"),
        ("capacity @ --vary nope", "--vary nope: expected a key with a number to begin with"),
        ("run @ --set seed=1_000", "--set seed: expected a number, got '1_000'"),
        ("run @ --seed 1_000", "Invalid value for '--seed'"),
        ("run @ --seed 1.5", "Invalid value for '--seed'"),
        ("run @ --seed 1e20", "Invalid value for '--seed'"),
        ("run @ --seed -1", "'--seed': expected a whole number from 0 to 18446744073709551615, got '-1'"),
        ("channel record cdl_a --out x.npz --seed -1", "'--seed': expected a whole number from 0 to 1844674407370955"),
        (
            f"validate @ --seed {_LAST} --set sweep={_TWICE}",
            f" replications, got {_LAST}; valid: 0 to 18446744073708551612",
        ),
        (f"sweep @ --seed {_LAST} --set sweep={_TWICE}", "specran: --seed leaves no room for the seeds of 2 replic"),
        (
            f"run @ --set seed={_LAST} --set sweep={_TWICE}",
            "--set seed: leaves no room for the seeds of 2 replications",
        ),
        (
            f"channel calibrate @ --seed {_LAST} --set sweep={_TWICE} --set link.kind=nr --set link.carrier_ghz=28",
            "specran: --seed leaves no room for the seeds of 2 replications",
        ),
        ("run @ --set protocol.name=../bad:nothing", "'../bad' is no name of a module"),
        ("run @ --set protocol.name=json:nothing", "module 'json' registers no protocol"),
        ("prove ../bad:nothing", "'../bad' is no name of a module"),
        ("plot .", "no table here"),
        ("compare . nowhere", "no table here"),
        ("tape export", "give --parquet FILE"),
    ],
)
def test_wrong_options(tmp_path, monkeypatch, capsys, options: str, says: str):
    assert says in wrong(tmp_path, monkeypatch, capsys, _TINY, options)


def test_long_lists_of_names_are_cut_to_the_nearest(tmp_path, monkeypatch, capsys):
    hardware = 'compute.edge={"kind":"roofline","model_size":"8B","hardware":"h100-sxm"}'
    says = wrong(tmp_path, monkeypatch, capsys, _TINY, f"validate @ --set {hardware}")
    assert "(did you mean 'h100'?); valid: " in says and "h100-nvl, " in says and "raspberry" not in says
    assert says.endswith(" more (specran list hardware)\n") and len(says) < 300
    assert choices("b", ["a", "b"]) == "a, b"


def test_vary_over_a_sweep_that_is_wrong_or_zipped(tmp_path, monkeypatch, capsys):
    text = f"{_TINY}sweep:\n  axes: [1]\n"
    says = wrong(tmp_path, monkeypatch, capsys, text, "sweep @ --vary link.uplink_mbps=1,2")
    assert "case.yaml:6: sweep.axes: expected a mapping of keys, got [1]" in says
    Path("case.yaml").write_text(f"{_TINY}sweep:\n  zip: {{link.uplink_mbps: [1]}}\n")
    assert _main(["sweep", "case.yaml", "--vary", "link.uplink_mbps=1,2"]) == 2
    assert "--vary link.uplink_mbps: 'link.uplink_mbps' is both an axis and a zip" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("workload: {prompts: no.jsonl}", "case.yaml:3: workload.prompts: no.jsonl: cannot be read"),
        (
            "devices: {arrivals: no.csv}",
            "case.yaml:3: devices.arrivals: expected closed, poisson, gamma, weibull, constant, trace or a file",
        ),
        ("models: {target: ./no_model}", "case.yaml:3: models.target: cannot load model './no_model'"),
        ("link: {kind: nr, fading_trace: no.npz}", "case.yaml:3: link.fading_trace: "),
        (
            "link: {kind: trace, uplink_trace: no.csv, downlink_mbps: 3}",
            "case.yaml:3: link.uplink_trace: no.csv: ",
        ),
    ],
)
def test_files_that_are_not_there(tmp_path, monkeypatch, capsys, line: str, says: str):
    """Found by the run, and told with file, line and key all the same."""
    head = "seed: 1" if line.startswith("models") else "models: embedded"
    text = f"{head}\nprotocol: {{name: edge_only}}\n{line}\n"
    assert says in wrong(tmp_path, monkeypatch, capsys, text, "run @")


def test_a_cache_that_is_a_file_or_cannot_be_made(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    Path("case.yaml").write_text(_TINY)
    monkeypatch.setenv("SPECRAN_CACHE", str(tmp_path / "file"))
    assert _main(["run", "case.yaml"]) == 2
    assert "SPECRAN_CACHE: " in capsys.readouterr().err
    monkeypatch.setenv("SPECRAN_CACHE", str(tmp_path / "file" / "below"))
    assert _main(["run", "case.yaml"]) == 2
    captured = capsys.readouterr().err
    assert captured.startswith("specran: cannot write ") and "below" in captured and captured.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["case.yaml", "file"]


def test_a_file_name_that_is_no_folder_name_serves(tmp_path, monkeypatch, capsys):
    path = tmp_path / "my first try!.yaml"
    path.write_text(_TINY)
    assert _main(["validate", str(path)]) == 0


def test_a_cache_in_the_home_folder_is_found_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SPECRAN_CACHE", "~/x")
    assert cache_folder() == tmp_path / "home" / "x"
    monkeypatch.setenv("SPECRAN_MODELS", "~/m")
    assert models_folder() == tmp_path / "home" / "m"
    monkeypatch.setenv("SPECRAN_CACHE", "~no-such-user/x")
    assert _main(["tape", "list"]) == 2
    assert "SPECRAN_CACHE: ~no-such-user/x: there is no such user's home" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("run case.yaml --out /proc/x", "cannot write results to /proc/x"),
        ("tape export --parquet /proc/x.parquet", "cannot write the tape's rounds to /proc/x.parquet: no file can be"),
        ("tape export case.yaml --folder /proc/x", "cannot write the tape to /proc/x: no file can be made there"),
        ("tape export case.yaml --archive /proc/x.zip", "cannot write the tape to /proc/x.zip: no file can be"),
    ],
)
def test_where_no_file_can_be_made_is_wrong_input(tmp_path, monkeypatch, capsys, command: str, says: str):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPECRAN_CACHE", str(tmp_path / "cache"))
    Path("case.yaml").write_text(_TINY)
    if "case.yaml --" in command and "tape" in command:
        assert _main(["tape", "record", "case.yaml", "--jobs", "1"]) == 0
        capsys.readouterr()
    assert _main(command.split()) == 2
    captured = capsys.readouterr().err
    assert says in captured and captured.count("\n") == 1
