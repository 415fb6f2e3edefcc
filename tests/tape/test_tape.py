"""The tape: what is damaged or foreign never reaches a result; it is bounded, can be exported, and is a data set."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sim.cli import _main
from sim.core.errors import InputError, RunError
from sim.core.unfinished import unfinished_folder
from sim.decoding.core.steps import Hop, Location, Round
from sim.decoding.drivers.protocol_run import (
    AssignRecord,
    ComputeRecord,
    DropRecord,
    EmitRecord,
    JoinRecord,
    ObserveRecord,
    StartRecord,
    TogetherRecord,
    TransmitRecord,
)
from sim.inputs.scenario_models import model_info_of
from sim.inputs.tokenised_requests import encode_prompt, planned_requests
from sim.links.registry import LINKS
from sim.runs.prepare import tape_store
from sim.runs.run import run
from sim.scenario.schema import Scenario
from sim.tape.encoding import check_plain, from_plain, to_plain
from sim.tape.inspect import list_tape, rounds_of, verify_tape
from sim.tape.key import key_of
from sim.tape.pruning import max_tape_bytes, prune
from sim.tape.store import TapeProblem, TapeStore, check_entry, encode_entry

# Leaves a file, a folder and the folder's lock behind.
DIE_WRITING = """
import os, signal, sys
from pathlib import Path
from sim.core.unfinished import unfinished_file, unfinished_folder
with unfinished_file(Path(sys.argv[1])), unfinished_folder(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
ROUND = Round((1, 2), 4, 3, 1, (("overlap", 0.625), ("tail_mass", 0.25)))
RECORDS = [
    TransmitRecord(Hop.UPLINK, "prompt", 80, 80, 1),
    ComputeRecord(Location.DEVICE, "draft", 1, 9, 1),
    ObserveRecord(),
    AssignRecord(0.25, 1),
    AssignRecord(None, None),
    StartRecord(0, (TransmitRecord(Hop.UPLINK, "part", 8, 8, 1),)),
    JoinRecord(0),
    StartRecord(1, (ComputeRecord(Location.DEVICE, "draft", 1, 10, 1),)),
    DropRecord(1),
    TogetherRecord(((ComputeRecord(Location.EDGE, "target", 5, 12, 5),), (EmitRecord(ROUND),))),
    TransmitRecord(Hop.DOWNLINK, "token", 16, 24, 1, ROUND),
    EmitRecord(ROUND),
]


def bytes_of(result) -> tuple[str, str]:
    """Both tables, every digit."""
    return repr(result.output.requests), repr(result.output.rounds)


def test_records_survive_the_tape():
    assert from_plain(json.loads(json.dumps(to_plain(RECORDS)))) == RECORDS


def _mutated(plain: Any) -> Iterator[Any]:
    """The same nested lists with one place changed."""
    if isinstance(plain, list):
        for place, item in enumerate(plain):
            yield from ([*plain[:place], own, *plain[place + 1 :]] for own in _mutated(item))
        yield from (plain[:-1], [*plain, 1], {}, "ab")
    yield from (None, True, -1, 0.5, 1 << 60, "", "x", [])


def test_what_verification_lets_pass_can_be_read_and_nothing_else():
    """Every value of records of all kinds put to another type or size: both agree, and both refuse some."""
    refused = read = 0
    for plain in _mutated(to_plain(RECORDS)):
        outcomes = []
        for look in (from_plain, check_plain):
            try:
                look(plain)
                outcomes.append(True)
            except (ValueError, TypeError, KeyError, IndexError, AttributeError):
                outcomes.append(False)
        assert outcomes[0] == outcomes[1], plain
        read, refused = read + outcomes[0], refused + (not outcomes[0])
    assert read > 100 and refused > 500


def test_bits_and_rounds_are_counted_from_records():
    assert [(up, down) for _, up, down in rounds_of(RECORDS)] == [(88, 0), (0, 16), (0, 0)]


@pytest.mark.parametrize("link", LINKS.names())
def test_replay_equals_the_live_run_that_recorded_it(tiny_keys: dict, cache: Path, tmp_path: Path, link: str):
    tiny_keys.pop("sweep")
    (tmp_path / "rates.csv").write_text("time_s,mbps\n0,0.1\n0.5,3\n1,0.2\n")
    own = {"trace": {"uplink_trace": str(tmp_path / "rates.csv"), "downlink_mbps": 3}}
    tiny_keys["link"] = {"kind": link, **own.get(link, {})}
    scenario = Scenario.from_dict(tiny_keys)
    live = run(scenario, live=True)
    assert live.manifest["run_facts"]["decoded"] == "live"
    replayed = run(scenario)
    assert replayed.manifest["run_facts"]["decoded"] == "replayed from tape"
    assert bytes_of(live) == bytes_of(replayed)


def test_a_tape_recorded_beforehand_gives_the_same_tokens_and_bits_as_a_live_run(tiny_keys: dict, cache: Path):
    tiny_keys.pop("sweep")
    scenario = Scenario.from_dict(tiny_keys)
    replayed = run(scenario).requests
    live = run(scenario, live=True).requests
    pd.testing.assert_frame_equal(replayed, live, check_exact=True)


@pytest.mark.parametrize("damage", ["truncate", "flip", "about", "foreign", "old", "empty"])
def test_a_damaged_entry_never_reaches_a_result(tiny: Scenario, damage: str):
    undisturbed = bytes_of(run(tiny))
    store = tape_store()
    first, second = store.list_keys()[:2]
    path = store.path(first)
    good = path.read_bytes()
    match damage:
        case "truncate":
            path.write_bytes(good[:-20])
        case "flip":
            at = good.index(b'"c","device"') + 20
            path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        case "about":
            path.write_bytes(good.replace(b'"top_k":6', b'"top_k":7', 1))
        case "foreign":
            path.write_bytes(store.path(second).read_bytes())
        case "old":
            path.write_bytes(good.replace(b"specran-tape-3", b"specran-tape-2"))
        case "empty":
            path.write_bytes(b"")
    assert path.read_bytes() != good
    check = verify_tape(tape_store())
    assert [*check.damaged, *check.outdated] == [first]
    assert bytes_of(run(tiny)) == undisturbed
    assert path.read_bytes() == good


def test_an_entry_under_another_description_is_found(tiny: Scenario):
    run(tiny)
    store = tape_store()
    (key, *_) = store.list_keys()
    entry = store.entry(key)
    for about in ({**entry.about, "random": [99, 0]}, {**entry.about, "random": 3}, {}):
        store.write(key, encode_entry(key, entry.records, about))
        assert list(verify_tape(store).damaged) == [key]
        assert key not in {line.key for line in list_tape(store)}


def test_payload_bytes_are_kept_on_request(tiny_keys: dict, cache: Path, tmp_path: Path):
    tiny_keys.pop("sweep")
    path = tmp_path / "case.yaml"
    path.write_text(json.dumps(tiny_keys))
    assert _main(["tape", "record", str(path), "--payloads", "--jobs", "1"]) == 0
    store = tape_store()
    for key in store.list_keys():
        entry = store.entry(key)
        sizes = [record.payload_bits for record in entry.records if isinstance(record, TransmitRecord)]
        assert entry.payloads is not None
        assert [8 * len(data) for data in entry.payloads] == sizes


def test_pruning_removes_the_least_recently_used(tmp_path: Path):
    store = TapeStore(tmp_path)
    about = {"random": [1, 0], "prompt": [1]}
    keys = [f"{index:02d}" + "0" * 62 for index in range(5)]
    for age, key in enumerate(keys):
        store.put(key, RECORDS, about)
        os.utime(store.path(key), (1_000_000 - age, 1_000_000 - age))
    size = store.path(keys[0]).stat().st_size
    assert store.read(keys[4]) is not None  # used: now the latest
    pruned = prune(store, 2.5 * size)
    assert (pruned.removed, pruned.kept) == (3, 2)
    assert store.list_keys() == [keys[0], keys[4]]


def test_the_bound_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("SPECRAN_TAPE_MAX_GB", "0.5")
    assert max_tape_bytes() == 0.5e9
    monkeypatch.setenv("SPECRAN_TAPE_MAX_GB", "plenty")
    with pytest.raises(InputError, match="positive number of gigabytes"):
        max_tape_bytes()


@pytest.mark.parametrize("live", [False, True])
def test_runs_keep_the_tape_within_its_bound(tiny: Scenario, monkeypatch, live: bool):
    run(tiny)
    size = sum(path.stat().st_size for path in tape_store().files())
    monkeypatch.setenv("SPECRAN_TAPE_MAX_GB", str(1.2 * size / 1e9))
    kept = tape_store().list_keys()
    run(tiny.replace("seed", 4), live=live)
    assert sum(path.stat().st_size for path in tape_store().files()) <= 1.2 * size
    assert set(tape_store().list_keys()) - set(kept)
    monkeypatch.setenv("SPECRAN_TAPE_MAX_GB", "plenty")
    with pytest.raises(InputError, match="positive number of gigabytes"):
        run(tiny)


def test_what_killed_processes_left_in_the_cache_is_removed(tiny: Scenario, cache: Path):
    for folder in (cache, cache / "tape", cache / "calibrations"):
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-c", DIE_WRITING, str(folder)])
    assert len(list(cache.rglob(".unfinished*"))) == 9
    with unfinished_folder(cache / "tape") as mine:
        run(tiny)
        left = {path.name for path in cache.rglob(".unfinished*")}
        assert left == {mine.name, f"{mine.name}.lock"}


def test_memory_of_parsed_records_is_bounded(tmp_path: Path):
    store = TapeStore(tmp_path, kept_records=2 * len(RECORDS))
    abouts = [{"random": [1, index], "prompt": [1]} for index in range(4)]
    keys = [key_of(about) for about in abouts]
    for key, about in zip(keys, abouts, strict=True):
        store.put(key, RECORDS, about)
        assert store.get(key) == RECORDS
    assert store._num_kept <= 2 * len(RECORDS)
    assert store.get(keys[3]) is store.get(keys[3])


@pytest.mark.parametrize(("number", "says"), [(28, "the disk is full"), (30, "read-only")])
def test_a_disk_that_cannot_be_written_gives_one_clear_message(tiny: Scenario, monkeypatch, number: int, says: str):
    from sim.tape import store

    def refuse(*_: object) -> None:
        raise OSError(number, "as the system says it")

    monkeypatch.setattr(store, "write_atomically", refuse)
    with pytest.raises(RunError, match=f"cannot write the tape to .*: .*{says}"):
        run(tiny)


def test_a_tape_is_a_data_set(tiny: Scenario, tmp_path: Path):
    result = run(tiny)
    assert _main(["tape", "export", "--parquet", str(tmp_path / "rounds.parquet")]) == 0
    table = pd.read_parquet(tmp_path / "rounds.parquet")
    rounds = result.rounds
    assert len(table) == len(rounds)
    for column in ("tokens", "accepted_tokens", "uplink_payload_bits", "overlap", "tail_mass", "draft_entropy_bits"):
        assert sorted(table[column].dropna()) == sorted(rounds[column].dropna())
    listed = list(list_tape(tape_store()))
    assert sum(line.tokens for line in listed) == rounds["tokens"].sum()


def test_what_is_damaged_is_left_out_of_lists_and_tables_and_told(tiny: Scenario, tmp_path: Path, capsys):
    run(tiny)
    store = tape_store()
    store.path(store.list_keys()[0]).write_bytes(b"")
    assert _main(["tape", "list"]) == 0
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 3 and "1 damaged or of another version, and left out" in captured.err
    assert _main(["tape", "export", "--parquet", str(tmp_path / "rounds.parquet")]) == 0
    assert (
        "of 3 requests" in (captured := capsys.readouterr().err)
        and "1 damaged or of another version, and left out" in captured
    )


def test_a_number_changed_in_place_is_damage(tiny: Scenario, capsys):
    """The entry still reads as JSON and says what it said of itself: only its hash shows the change."""
    first = run(tiny)
    store = tape_store()
    key = store.list_keys()[0]
    data = store.path(key).read_bytes()
    start, body = data.rsplit(b"\n", 1)
    digit = re.search(rb"\d", body)
    assert digit is not None
    changed = body[: digit.start()] + (b"8" if digit.group() == b"9" else b"9") + body[digit.end() :]
    store.path(key).write_bytes(start + b"\n" + changed)
    with pytest.raises(TapeProblem, match="does not have the hash"):
        check_entry(key, store.path(key).read_bytes())
    assert _main(["tape", "verify"]) == 1
    assert "1 damaged" in capsys.readouterr().err
    assert run(tiny).rounds.equals(first.rounds)
    assert store.path(key).read_bytes() == data


@pytest.mark.parametrize(
    "other",
    [
        b'{"about":{},"format":"specran-tape-2","key":"0","sha256":"0"}\n{"records":[]}',
        b"specran-tape-4 0123\n{}\n{}\n{}\n{}",
    ],
    ids=["before", "after"],
)
def test_entries_of_another_version_are_no_damage_and_are_recorded_again(tiny: Scenario, capsys, other: bytes):
    first = run(tiny)
    store = tape_store()
    key = store.list_keys()[0]
    data = store.path(key).read_bytes()
    store.path(key).write_bytes(other)
    assert _main(["tape", "verify"]) == 0
    assert "0 damaged; 1 of another version" in capsys.readouterr().err
    assert run(tiny).rounds.equals(first.rounds)
    assert store.path(key).read_bytes() == data
    store.path(key).write_bytes(other)
    assert _main(["tape", "verify", "--remove"]) == 0
    assert not store.path(key).exists()


def test_a_table_of_one_scenario_holds_its_rounds_alone(tiny_keys: dict, cache: Path, tmp_path: Path):
    tiny_keys.pop("sweep")
    path = tmp_path / "case.yaml"
    path.write_text(json.dumps(tiny_keys))
    one = run(Scenario.from_dict(tiny_keys))
    run(Scenario.from_dict({**tiny_keys, "seed": 99}))
    export = ["tape", "export", str(path), "--parquet", str(tmp_path / "rounds.parquet")]
    assert _main(export) == 0
    table = pd.read_parquet(tmp_path / "rounds.parquet")
    assert set(table["seed"]) == {3} and len(table) == len(one.rounds)
    assert _main([*export, "--seed", "5"]) == 2
    assert _main(["tape", "record", str(path), "--seed", "5", "--vary", "protocol.top_k=2,3", "--jobs", "1"]) == 0
    assert _main([*export, "--seed", "5", "--vary", "protocol.top_k=2,3"]) == 0
    assert set(pd.read_parquet(tmp_path / "rounds.parquet")["protocol.top_k"]) == {2, 3, 6}


def test_a_tape_travels_to_a_machine_without_the_models(tiny_keys: dict, tiny_pair: Path, tmp_path: Path, monkeypatch):
    """Text prompts: the other machine has neither weights nor tokenizer, only the scenario and the folder."""
    here = tmp_path / "models"
    shutil.copytree(tiny_pair, here)
    (here / "prompts.txt").write_text("w5 w6 w7\nw8 w9\n")
    tiny_keys["models"] |= {"draft": str(here / "draft"), "target": str(here / "target")}
    tiny_keys["workload"]["prompts"] = str(tmp_path / "prompts.txt")
    shutil.move(here / "prompts.txt", tmp_path / "prompts.txt")
    path = tmp_path / "case.yaml"
    path.write_text(json.dumps(tiny_keys))
    monkeypatch.setenv("SPECRAN_CACHE", str(tmp_path / "gpu-machine"))
    scenario = Scenario.from_dict(tiny_keys)
    assert _main(["tape", "record", str(path), "--jobs", "1"]) == 0
    expected = bytes_of(run(scenario))
    assert _main(["tape", "export", str(path), "--folder", str(tmp_path / "tape")]) == 0
    shutil.rmtree(here)
    monkeypatch.setenv("SPECRAN_CACHE", str(tmp_path / "laptop"))
    encode_prompt.cache_clear()
    with pytest.raises(InputError):
        run(scenario)
    assert _main(["tape", "import", str(tmp_path / "tape")]) == 0
    assert bytes_of(run(scenario)) == expected
    about = tmp_path / "tape" / "tape.json"
    whole = about.read_text()
    about.write_text(re.sub(r'("w5 w6 w7": \[)(\d+)', r"\g<1>4", whole))
    assert about.read_text() != whole
    assert _main(["tape", "import", str(tmp_path / "tape")]) == 2
    about.write_text(whole)
    entry = next((tmp_path / "tape" / "entries").iterdir())
    entry.write_bytes(entry.read_bytes()[:-5])
    assert _main(["tape", "import", str(tmp_path / "tape")]) == 2


def test_an_adaptive_scenario_cannot_be_taped(tmp_path: Path):
    path = tmp_path / "case.yaml"
    path.write_text("compute: {device: measured}\n")
    assert _main(["tape", "record", str(path)]) == 2


def test_runs_that_no_tape_stands_in_for_are_told(tiny_keys: dict, cache: Path, tmp_path: Path, capsys):
    tiny_keys["sweep"]["variants"] = {"fixed": {}, "adaptive": {"controller.name": "flexspec"}}
    path = tmp_path / "case.yaml"
    path.write_text(json.dumps(tiny_keys))
    assert _main(["tape", "record", str(path), "--jobs", "1"]) == 0
    assert "4 of 9 runs adapt to the channel or time real forwards" in capsys.readouterr().err
    assert len(tape_store().list_keys()) == 4


def test_two_processes_record_at_once(tiny_keys: dict, cache: Path, tmp_path: Path):
    path = tmp_path / "case.yaml"
    path.write_text(json.dumps(tiny_keys))
    command = [sys.executable, "-m", "sim.cli", "tape", "record", str(path), "--jobs", "1"]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    store = tape_store()
    assert len(store.list_keys()) == 8
    assert not verify_tape(store).damaged
    with pytest.raises(TapeProblem):
        store.entry("0" * 64)


def test_a_relabelled_entry_is_never_replayed(tmp_path: Path):
    """Sealed anew under another request's address, its description gives it away."""
    store = TapeStore(tmp_path)
    about = {"random": [1, 0], "prompt": [1]}
    key, other = key_of(about), key_of({**about, "random": [2, 0]})
    store.put(key, RECORDS, about)
    store.write(other, encode_entry(other, RECORDS, about))
    assert store.has(key) and store.get(key) == RECORDS
    assert not store.has(other) and store.get(other) is None


@pytest.mark.usefixtures("cache", "protocols_restored")
def test_an_edited_protocol_of_the_users_own_is_recorded_anew(tiny: Scenario, tmp_path: Path, monkeypatch):
    from sim.tape.key import Addresses

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    own = tmp_path / "own_tape_scheme.py"
    own.write_text(
        "from sim.decoding.protocols.edge_only import edge_only\n"
        "from sim.decoding.protocols.registry import protocol\n"
        "from sim.core.settings import Settings\n\n"
        '@protocol("mine", Settings, models=("target",), lossless=True)\n'
        "def mine(request, settings, draw):\n"
        '    """As edge_only."""\n'
        "    return edge_only(request, settings, draw)\n"
    )
    scenario = Scenario.from_dict({**tiny.dump(), "protocol": {"name": "own_tape_scheme:mine"}})
    planned = planned_requests(scenario)[0]
    before = Addresses(scenario, model_info_of(scenario)).of(planned)
    assert Addresses(scenario, model_info_of(scenario)).of(planned) == before
    own.write_text(own.read_text() + "# Edited.\n")
    assert Addresses(scenario, model_info_of(scenario)).of(planned) != before
