"""Mutated files of every kind that a command reads: each is told in a line, or made again, and never a traceback."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sim.cli import _main
from sim.core.errors import RunError
from sim.core.files import cache_folder
from sim.runs.run import RunResult, run
from sim.scenario.schema import Scenario
from tests.fuzz.mutate import TEXT_BITS, mutate_bytes, mutate_text, mutate_value
from tests.models import gguf_builders
from tests.worlds import FIXED_COMPUTE

_SCENARIO: dict[str, Any] = {
    "name": "fuzz",
    "devices": {"count": 2, "requests": 1},
    "models": "embedded",
    "workload": {"max_new_tokens": 4, "stop_at_eos": False},
    "compute": FIXED_COMPUTE,
}


@dataclass(frozen=True)
class FileKind:
    """A kind of file.

    Attributes:
        name: What it is.
        suffix: Of its name.
        content: A good file.
        use: Has a command read the file that lies at a path in a folder; returns the exit code.
        is_text: Whether it is changed as text, or as bytes.
        keys: Names that its JSON may have, if it is JSON that is changed as values too.
        reseal: Changes what a file's own hash covers, and the hash with it.
    """

    name: str
    suffix: str
    content: bytes
    use: Callable[[Path, Path], int]
    is_text: bool = True
    keys: tuple[str, ...] = ()
    reseal: Callable[[bytes, random.Random], bytes] | None = None


@dataclass(frozen=True)
class FileCase:
    """A mutated file."""

    kind: FileKind
    content: bytes


def file_case(kind: FileKind, index: int, seed: int) -> FileCase:
    """A mutant of a kind of file."""
    rng = random.Random(f"{kind.name} {seed} {index}")
    if kind.reseal is not None and rng.random() < 0.5:
        return FileCase(kind, kind.reseal(kind.content, rng))
    if kind.keys and rng.random() < 0.6:
        text = kind.content.decode()
        lines = text.splitlines() if kind.suffix == ".jsonl" else [text]
        place = rng.randrange(len(lines))
        lines[place] = json.dumps(mutate_value(json.loads(lines[place]), rng, list(kind.keys)))
        return FileCase(kind, "\n".join(lines).encode("utf-8", "surrogatepass"))
    if kind.is_text and rng.random() < 0.8:
        text = mutate_text(kind.content.decode(), rng, TEXT_BITS)
        return FileCase(kind, text.encode("utf-8", "surrogatepass"))
    return FileCase(kind, mutate_bytes(kind.content, rng))


def check(case: FileCase, folder: Path) -> int:
    """Have the command that reads this kind of file read the mutant."""
    path = folder / f"file{case.kind.suffix}"
    path.write_bytes(case.content)
    return case.kind.use(path, folder)


def _run_with(part: str, key: str, value: dict[str, Any] | None = None) -> Callable[[Path, Path], int]:
    """``specran run`` of a scenario that names the file; stopped when everything is read and built."""

    def use(path: Path, folder: Path) -> int:
        keys = json.loads(json.dumps(_SCENARIO))
        own = keys.setdefault(part, {})
        own.update(value or {})
        *steps, last = key.split(".")
        for step in steps:
            own = own[step]
        own[last] = str(path)
        (folder / "case.yaml").write_text(json.dumps(keys))
        return _main(["run", str(folder / "case.yaml"), "--out", str(folder / "out")])

    return use


def stop_before_running() -> None:
    """From here on nothing is decoded or simulated in this process: all is read and built, and that is it."""
    from sim.runs import prepare
    from sim.runs.world import World

    def stopped(self: World, until_s: float | None = None) -> Any:
        raise RunError("stopped when all was read")

    World.run = stopped  # type: ignore[method-assign]
    prepare.record_all = lambda *_, **__: 0


def _use_tape(path: Path, folder: Path) -> int:
    key = (folder / "key.txt").read_text()
    (cache_folder() / "tape" / key[:2]).mkdir(parents=True, exist_ok=True)
    shutil.copy(path, cache_folder() / "tape" / key[:2] / f"{key}.json")
    codes = [
        _main(["tape", "list"]),
        _main(["tape", "verify"]),
        _main(["tape", "export", "--parquet", str(folder / "rounds.parquet")]),
        _main(["run", str(folder / "tape.yaml"), "--out", str(folder / "out")]),
    ]
    return next((code for code in codes if code not in (0, 1, 2, 130)), codes[-1])


def _reseal_entry(data: bytes, rng: random.Random) -> bytes:
    head, *lines = data.split(b"\n", 4)
    place = rng.randrange(len(lines))
    lines[place] = json.dumps(mutate_value(json.loads(lines[place]), rng, ["records", "payloads", "key"])).encode()
    rest = b"\n".join(lines)
    return head.split(b" ")[0] + b" " + hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest


def _reseal_folder(data: bytes, rng: random.Random) -> bytes:
    about = json.loads(data)
    del about["sha256"]
    about = mutate_value(about, rng, ["models", "prompts", "names", "dtype"])
    if isinstance(about, dict):
        about["sha256"] = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    return json.dumps(about).encode()


def _reseal_points(data: bytes, rng: random.Random) -> bytes:
    places = [place for place in range(len(data)) if data.startswith(b"\nPOINT ", place)]
    start = rng.choice(places)
    end = next((place for place in places if place > start), len(data))
    head, body = data[start + 1 : end].split(b"\n", 1)
    size = int(head.split(b" ")[2])
    about, tables = body[:size], body[size:]
    if rng.random() < 0.7:
        about = json.dumps(mutate_value(json.loads(about), rng, ["run", "summary", "tables"])).encode()
    else:
        tables = mutate_bytes(tables, rng)
    digest = hashlib.sha256(about + tables).hexdigest().encode()
    whole = b"\nPOINT %s %d %d\n%s" % (digest, len(about), len(tables), about + tables)
    return data[:start] + whole + data[end:]


def _use_model(path: Path, folder: Path) -> int:
    return _main(["models", "check", str(path)])


def _in_model(name: str) -> Callable[[Path, Path], int]:
    """``specran models check`` and ``run`` of a checkpoint in which one file is the mutant."""

    def use(path: Path, folder: Path) -> int:
        shutil.copytree(folder / "good_model", folder / "model", dirs_exist_ok=True)
        shutil.copy(path, folder / "model" / name)
        models = {"draft": str(folder / "model"), "target": str(folder / "model")}
        keys = {**_SCENARIO, "models": models, "workload": {**_SCENARIO["workload"], "prompts": "prompts.txt"}}
        (folder / "prompts.txt").write_text("w3 w4 w5\n")
        (folder / "case.yaml").write_text(json.dumps(keys))
        codes = [_main(["models", "check", str(folder / "model")]), _main(["run", str(folder / "case.yaml")])]
        return next((code for code in codes if code not in (0, 1, 2, 130)), codes[-1])

    return use


def _model_kinds(folder: Path) -> list[FileKind]:
    """A GGUF file, and the files of a checkpoint."""
    from tests.models.builders import network, save, words

    gguf_builders.write("llama", folder / "good.gguf")
    made = folder / "good_model"
    save(network("llama", seed=1), made)
    words(100).save_pretrained(made)
    kinds = [FileKind("GGUF model", ".gguf", (folder / "good.gguf").read_bytes(), _use_model, is_text=False)]
    for name in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        keys = tuple(json.loads((made / name).read_text()))
        kinds.append(FileKind(f"{name} of a model", ".json", (made / name).read_bytes(), _in_model(name), keys=keys))
    weights = "model.safetensors"
    kinds.append(
        FileKind("weights of a model", ".safetensors", (made / weights).read_bytes(), _in_model(weights), is_text=False)
    )
    return kinds


def _workload_kinds() -> list[FileKind]:
    """Files of services, of chats and of timings."""
    return [
        FileKind(
            "Azure trace",
            ".csv",
            b"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,48,10\n2023-11-16 18:17:04.2,11,2\n",
            _run_with("workload", "prompts"),
        ),
        FileKind(
            "Mooncake trace",
            ".jsonl",
            b'{"timestamp": 3000, "input_length": 512, "output_length": 2, "hash_ids": [0]}\n'
            b'{"timestamp": 0, "input_length": 600, "output_length": 5, "hash_ids": [0, 1]}\n',
            _run_with("workload", "prompts"),
            keys=("timestamp", "input_length", "output_length", "hash_ids"),
        ),
        FileKind(
            "chats",
            ".json",
            b'[{"conversations": [{"from": "human", "value": "Hello"}, {"from": "gpt", "value": "Hi"}], "id": "a"},'
            b' {"prompt": "def f(x):", "max_new_tokens": 3, "category": "code"}, {"turns": ["One", "Two"]}]',
            _run_with("workload", "prompts"),
            keys=("conversations", "from", "value", "messages", "role", "content", "turns", "category", "device"),
        ),
        FileKind(
            "timings",
            ".csv",
            "\n".join(
                ["new_tokens,context_tokens,batch,ms"]
                + [
                    f"{n},{c},{b},{6 + n / 50 + b / 20 + c / 2e4}"
                    for n in (1, 5, 64)
                    for c in (600, 8000)
                    for b in (1, 16)
                ]
            ).encode(),
            _run_with("compute", "edge.file", {"edge": {"kind": "table"}}),
        ),
    ]


def _use_table(path: Path, folder: Path) -> int:
    return _main(["compare", str(path), str(folder / "good.parquet")])


def _in_run(name: str) -> Callable[[Path, Path], int]:
    def use(path: Path, folder: Path) -> int:
        shutil.copytree(folder / "good_run", folder / "run", dirs_exist_ok=True)
        shutil.copy(path, folder / "run" / name)
        return _main(["compare", str(folder / "run"), str(folder / "run")])

    return use


def _use_points(path: Path, folder: Path) -> int:
    (folder / "sweep" / "points").mkdir(parents=True, exist_ok=True)
    shutil.copy(path, folder / "sweep" / "points" / "finished.points")
    point = folder / "sweep" / "points" / ("0" * 12)
    return _main(["compare", str(point), str(point)])


def _use_folder(path: Path, folder: Path) -> int:
    shutil.copy(path, folder / "tape" / "tape.json")
    return _main(["tape", "import", str(folder / "tape")])


def prepare_folder(folder: Path) -> list[FileKind]:
    """Put good files beside where the mutants will lie; returns the kinds."""
    result = run(Scenario.from_dict({**_SCENARIO, "name": "tape"}), folder / "made")
    assert result.folder is not None
    shutil.copytree(result.folder, folder / "good_run")
    return [
        *_workload_kinds(),
        *_model_kinds(folder),
        *_prompt_kinds(),
        *_trace_kinds(folder),
        *_tape_kinds(folder),
        *_result_kinds(folder, result),
    ]


def _prompt_kinds() -> list[FileKind]:
    prompts = [{"text": "def f(x):"}, {"ids": [3, 4, 5]}, {"text": "import os"}]
    return [
        FileKind(
            "prompts",
            ".jsonl",
            "\n".join(map(json.dumps, prompts)).encode(),
            _run_with("workload", "prompts"),
            keys=("text", "ids", "category", "messages"),
        ),
        FileKind("prompts as text", ".txt", b"def f(x):\nimport os\n\nclass A:\n", _run_with("workload", "prompts")),
        FileKind("arrivals", ".csv", b"time_s,device\n0.1,0\n0.2,1\n0.3,0\n", _run_with("devices", "arrivals")),
    ]


def _trace_kinds(folder: Path) -> list[FileKind]:
    from channels.recorded import FadingTrace

    gains = np.ones((2, 8, 13), dtype=np.float32)
    trace = FadingTrace(gains, 0.01, np.arange(13) * 1e6, np.zeros(2), {"made": "for a test"})
    trace.save(folder / "good.npz")
    return [
        FileKind(
            "bandwidth trace",
            ".csv",
            b"time_s,mbps\n0,5\n0.5,3\n1,4\n",
            _run_with("link", "uplink_trace", {"kind": "trace", "downlink_mbps": 5}),
        ),
        FileKind(
            "mahimahi trace",
            ".mahimahi",
            b"1\n2\n2\n5\n9\n12\n",
            _run_with("link", "uplink_trace", {"kind": "trace", "downlink_mbps": 5}),
        ),
        FileKind(
            "fading trace",
            ".npz",
            (folder / "good.npz").read_bytes(),
            _run_with("link", "fading_trace", {"kind": "nr"}),
            is_text=False,
        ),
    ]


def _tape_kinds(folder: Path) -> list[FileKind]:
    """A tape that the run before has recorded, and a calibration on the same models."""
    from sim.tape.store import TapeStore

    (folder / "tape.yaml").write_text(json.dumps({**_SCENARIO, "name": "tape"}))
    store = TapeStore(cache_folder() / "tape")
    key = store.list_keys()[0]
    (folder / "key.txt").write_text(key)
    assert _main(["tape", "export", str(folder / "tape.yaml"), "--folder", str(folder / "tape")]) == 0
    calibration = folder / "calibration.json"
    assert _main(["calibrate", str(folder / "tape.yaml"), "--out", str(calibration)]) == 0
    return [
        FileKind(
            "calibration",
            ".json",
            calibration.read_bytes(),
            _run_with("compute", "device.file", {"device": {"kind": "calibrated"}}),
            keys=("format", "calibrations", "coefficients", "host", "model"),
        ),
        FileKind("tape entry", ".json", store.path(key).read_bytes(), _use_tape, reseal=_reseal_entry),
        FileKind(
            "tape folder",
            ".json",
            (folder / "tape" / "tape.json").read_bytes(),
            _use_folder,
            keys=("format", "models", "prompts", "sha256", "names", "code"),
            reseal=_reseal_folder,
        ),
    ]


def _result_kinds(folder: Path, result: RunResult) -> list[FileKind]:
    from sim.results.point_log import encode_point, pack_table

    table = pd.DataFrame(
        [{"link.uplink_mbps": rate, "variant": "", "replication": 0, "seed": 1, **result.summary} for rate in (1, 2)]
    )
    table.to_parquet(folder / "good.parquet")
    rows = result.requests.to_dict("records")
    points = b"".join(
        encode_point(f"{index:064x}", result.summary, {"requests": pack_table(rows)}) for index in range(3)
    )
    return [
        FileKind("sweep table", ".parquet", (folder / "good.parquet").read_bytes(), _use_table, is_text=False),
        FileKind("sweep table as CSV", ".csv", table.to_csv(index=False).encode(), _use_table),
        FileKind(
            "scenario of a run", ".yaml", (folder / "good_run" / "scenario.yaml").read_bytes(), _in_run("scenario.yaml")
        ),
        FileKind(
            "summary of a run",
            ".json",
            (folder / "good_run" / "summary.json").read_bytes(),
            _in_run("summary.json"),
            keys=("e2e_mean_s", "requests", "tokens"),
        ),
        FileKind(
            "requests of a run",
            ".parquet",
            (folder / "good_run" / "requests.parquet").read_bytes(),
            _in_run("requests.parquet"),
            is_text=False,
        ),
        FileKind("points of a sweep", ".points", points, _use_points, is_text=False, reseal=_reseal_points),
    ]
