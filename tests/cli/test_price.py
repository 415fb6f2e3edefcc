"""``specran price`` and the lists of what it prices by."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sim.cli import _main


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = _main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


DECODE = ("price", "--hardware", "h100", "--model", "8B", "--batch", "64", "--new-tokens", "1", "--context", "400")


def test_json_holds_seconds_joules_bound_and_parts(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *DECODE, "--json")
    priced = json.loads(out)
    assert (code, err) == (0, "")
    assert priced["seconds"] == pytest.approx(11.5e-3, rel=0.1)
    assert priced["joules"] / 64 == pytest.approx(0.119, rel=0.2)
    assert priced["bound"] == "memory"
    parts = priced["parts"]
    outside = ("kernels_s", "layers_s", "sequences_s", "step_s", "all_reduce_s")
    assert sum(parts[name] for name in outside) == pytest.approx(priced["seconds"])
    assert priced["memory"]["kv_bytes_per_token"] == 131072
    assert priced["joules"] == pytest.approx(priced["joules_idle"] + priced["joules_above_idle"])


def test_precision_processors_and_runtime(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--weights", "fp8", "--processors", "4", "--runtime", "nim", "--json")
    priced = json.loads(run(capsys, *DECODE, *options)[1])
    assert (priced["arithmetic"], priced["runtime"]) == ("fp8", "nim")
    assert priced["memory"]["memory_bytes"] == 320e9
    assert priced["parts"]["all_reduce_s"] > 0


def test_people_get_a_table_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *DECODE)
    assert (code, err) == (0, "")
    assert "bound by memory" in out and "energy per new token" in out and "exchange between processors" in out


def test_a_prompt_may_share_the_step(capsys: pytest.CaptureFixture[str]) -> None:
    alone = json.loads(run(capsys, *DECODE, "--json")[1])["seconds"]
    assert json.loads(run(capsys, *DECODE, "--prompt-tokens", "512", "--json")[1])["seconds"] > 1.5 * alone


def test_a_number_of_parameters_is_told_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, err = run(capsys, "price", "--hardware", "h100", "--model", "9.9B", "--json")
    assert "no model of 9.9B parameters is listed" in err
    assert json.loads(out)["notes"] == [err.split("note:")[1].strip()]


def test_hardware_from_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "box.yaml"
    path.write_text("hardware: {like: h100, title: my box, memory_bandwidth_gb_per_s: 1675}\n")
    priced = json.loads(run(capsys, "price", "--hardware", str(path), "--model", "8B", "--json")[1])
    named = json.loads(run(capsys, "price", "--hardware", "h100", "--model", "8B", "--json")[1])
    assert priced["hardware"] == "my box"
    assert priced["parts"]["weights_s"] == pytest.approx(2 * named["parts"]["weights_s"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--hardware", "h10", "--model", "8B"), "unknown hardware 'h10'"),
        (("--hardware", "h100", "--model", "big"), "unknown model size 'big'"),
        (("--hardware", "h100", "--model", "70B"), "use fewer bytes per weight or more processors"),
        (("--hardware", "h100", "--model", "8B", "--runtime", "genie"), "no figures of runtime 'genie'"),
        (("--hardware", "h100", "--model", "8B", "--weights", "int3"), "unknown precision of weights 'int3'"),
        (("--hardware", "h100", "--model", "8B", "--new-tokens", "9", "--context", "2"), "cannot be less"),
        (("--hardware", "nothing.yaml", "--model", "8B"), "nothing.yaml: cannot be read: No such file"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
) -> None:
    code, out, err = run(capsys, "price", *options)
    assert (code, out) == (2, "")
    assert message in err and "Traceback" not in err


@pytest.mark.parametrize("kind", ["runtimes", "precisions", "sizes"])
def test_lists(capsys: pytest.CaptureFixture[str], kind: str) -> None:
    code, out, _ = run(capsys, "list", kind)
    assert code == 0
    assert len(out.splitlines()) >= 8


def test_notes_of_a_scenario_are_told_before_it_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    timings = tmp_path / "timings.csv"
    timings.write_text("new_tokens,context_tokens,batch,ms\n1,100,1,5\n1,100,8,6\n64,100,1,9\n")
    path = tmp_path / "scenario.yaml"
    path.write_text(
        "compute:\n  device: {kind: roofline, hardware: m4, model_size: 9.9B, weights: int4}\n"
        "  edge: {kind: table, file: timings.csv}\n"
    )
    code, out, err = run(capsys, "validate", str(path))
    assert (code, out) == (0, f"{path}: valid\n")
    assert "note:    compute.device, draft model: no model of 9.9B parameters is listed" in err
    assert "note:    compute.edge, target model: fit to 3 timings: mean error" in err
    timings.write_text("new_tokens,context_tokens,batch,ms\n1,100,1,0\n")
    code, _, err = run(capsys, "validate", str(path))
    assert code == 2
    assert "scenario.yaml:3" in err and "timings.csv:2: ms must be a number above 0" in err
