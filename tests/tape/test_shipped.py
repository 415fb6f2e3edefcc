"""Tapes that ship: read where they lie, never written to, used only where the identity fits; those here reproduce."""

from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from sim.cli import _main
from sim.decoding.core.steps import Round
from sim.decoding.drivers.protocol_run import EmitRecord, Record, TransmitRecord
from sim.inputs.scenario_models import load_models, model_info_of
from sim.inputs.tokenised_requests import planned_by_kind
from sim.inputs.versions import decoding_code
from sim.runs.prepare import tape_store
from sim.runs.run import run
from sim.scenario.loading import load_scenario
from sim.scenario.schema import Scenario
from sim.tape.archive import TapeArchive, shipped_tapes, write_archive
from sim.tape.inspect import verify_tape
from sim.tape.recorder import record, wanted_recordings
from sim.tape.store import TapeStore, decode_entry
from sim.tape.transfer import export_archive

AGAIN = "make the tapes anew with: python -m sim.reference tapes"


@pytest.fixture()
def shipped(tiny: Scenario, tmp_path: Path, monkeypatch) -> Path:
    """An archive of the tiny scenario in the folder of what ships, and an empty tape beside it."""
    run(tiny)
    folder = tmp_path / "ships"
    folder.mkdir()
    export_archive([tiny], tape_store(), folder / "tiny.zip")
    monkeypatch.setenv("SPECRAN_CACHE", str(tmp_path / "other cache"))
    monkeypatch.setenv("SPECRAN_SHIPPED_TAPES", str(folder))
    return folder / "tiny.zip"


@pytest.fixture()
def no_decoding(monkeypatch) -> None:
    """Fail if anything is decoded."""

    def refuse(*_: object) -> None:
        raise AssertionError("decoded, though it ships")

    monkeypatch.setattr("sim.runs.prepare.record_group", refuse)


def test_what_ships_is_read_as_it_is_where_the_tape_lacks_it(shipped: Path):
    tape, entries = tape_store(), dict(TapeArchive(shipped).entries())
    assert entries
    for key, data in entries.items():
        assert not tape.path(key).exists()
        assert tape.read(key) == data


def test_a_member_that_would_fill_the_memory_is_not_read(shipped: Path, tiny: Scenario, monkeypatch, capsys):
    assert TapeArchive(shipped).keys()
    monkeypatch.setattr("sim.tape.archive.MAX_MEMBER_BYTES", 100)
    assert TapeArchive(shipped).keys() == []
    assert _main(["tape", "import", str(shipped)]) == 2
    assert "unpacks to" in capsys.readouterr().err
    with pytest.raises(OSError, match="export a folder"):
        write_archive(shipped.with_name("more.zip"), {}, [("0" * 64, b"x\n" + bytes(200))])


def test_what_ships_is_replayed_where_it_lies(shipped: Path, tiny: Scenario, no_decoding: None):
    before = shipped.read_bytes()
    replayed = run(tiny).requests
    assert tape_store().list_keys() == [] and shipped.read_bytes() == before
    pd.testing.assert_frame_equal(replayed, run(tiny, live=True).requests, check_exact=True)


def test_a_sweep_uses_what_ships(shipped: Path, tiny: Scenario, tmp_path: Path, no_pictures: None):
    from sim.sweep.run import sweep

    one = tiny.replace("sweep", {"axes": {"link.uplink_bandwidth_mhz": [0.1, 1.0]}})
    done = sweep(one, out=tmp_path / "results", jobs=1)
    assert not done.failed and len(done.table) == 2
    assert tape_store().list_keys() == []


def test_another_scenario_does_not_fit_and_is_decoded(shipped: Path, tiny: Scenario):
    run(tiny.replace("seed", 4))
    assert len(tape_store().list_keys()) == 4


def test_what_ships_can_be_left_out(shipped: Path, tiny: Scenario, monkeypatch):
    monkeypatch.setenv("SPECRAN_SHIPPED_TAPES", "")
    run(tiny)
    assert len(tape_store().list_keys()) == 4


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "foreign"])
def test_what_is_damaged_is_decoded_anew_and_told(shipped: Path, tiny: Scenario, damage: str, capsys):
    good = run(tiny).requests
    data = bytearray(shipped.read_bytes())
    match damage:
        case "cut":
            data = data[: len(data) // 2]
        case "flipped":
            data[data.index(b"entries/0") + 40] ^= 1
        case "empty":
            data = bytearray()
        case "foreign":
            with zipfile.ZipFile(shipped, "w") as archive:
                archive.writestr("tape.json", json.dumps([1]))
            data = bytearray(shipped.read_bytes())
    shipped.write_bytes(data)
    shipped.rename(shipped.with_name("damaged.zip"))  # one that no process has looked at
    assert run(tiny).requests.equals(good)
    assert len(tape_store().list_keys()) == 4
    assert _main(["tape", "verify"]) == 1
    assert "damaged.zip" in capsys.readouterr().err


def test_an_archive_is_a_tape_for_another_machine(shipped: Path, tiny: Scenario, monkeypatch, capsys):
    assert _main(["tape", "verify"]) == 0
    assert "4 entries that ship; 0 damaged\n" in capsys.readouterr().err
    assert _main(["tape", "import", str(shipped)]) == 0
    assert "4 new requests" in capsys.readouterr().err
    monkeypatch.setenv("SPECRAN_SHIPPED_TAPES", "")
    assert len(tape_store().list_keys()) == 4
    again = shipped.with_name("again.zip")
    export_archive([tiny], tape_store(), again)
    assert again.read_bytes() == shipped.read_bytes()


def test_payloads_are_recorded_though_the_request_ships(shipped: Path, tiny: Scenario, tmp_path: Path):
    path = tmp_path / "case.yaml"
    path.write_text(json.dumps({key: value for key, value in tiny.dump().items() if key != "sweep"}))
    assert _main(["tape", "record", str(path), "--payloads", "--jobs", "1"]) == 0
    store = tape_store()
    assert all(store.entry(key).payloads for key in store.list_keys()) and store.list_keys()


def test_the_tapes_here_are_whole_and_of_this_code():
    for archive in shipped_tapes().archives:
        check = verify_tape(archive)
        assert archive.keys() and not check.damaged and not check.outdated
        assert archive.about()["code"] == decoding_code(), (
            f"{archive.path}: recorded by other code of decoding, models or requests than this, so no run uses it; "
            f"{AGAIN}"
        )


def test_a_sample_of_the_tapes_here_is_reproduced_live(tmp_path: Path):
    """Tokens, counts, sizes of every message and the figures of rows are equal.

    Another processor or another version of a library sums in another order: then a token can differ where two are all
    but tied for a draw, about once in 10,000 tokens, and a figure about once in 22,000 rounds; the sample is of 64
    tokens.
    """
    for archive in shipped_tapes().archives:
        for name, number in (("quickstart", 1), ("round_trip", 2)):
            scenario = load_scenario(name)
            ((_, planned),) = planned_by_kind(scenario)
            wanted = wanted_recordings([(scenario, [planned[number]])], model_info_of(scenario))
            recorded = _like(archive, wanted[0].planned, scenario)
            store = TapeStore(tmp_path / name)
            record(wanted, load_models(scenario.models, tuple(model_info_of(scenario))), store)
            live = store.get(wanted[0].key)
            assert live is not None
            _assert_same(recorded, live)


def _like(archive: TapeArchive, planned, scenario: Scenario) -> list[Record]:
    """Records of a request of a scenario, whatever versions of libraries they were made with."""
    sampling = [scenario.workload.temperature, scenario.workload.top_k, scenario.workload.top_p]
    for key, data in archive.entries():
        entry = decode_entry(key, data)
        about = entry.about
        if (
            about["prompt"] == list(planned.prompt)
            and about["random"] == [scenario.seed, planned.id]
            and about["protocol"] == scenario.protocol.dump()
            and about["sampling"] == sampling
            and about["limits"]["max_new_tokens"] == scenario.workload.max_new_tokens
        ):
            return entry.records
    raise AssertionError(f"{archive.path}: request {planned.id} of {scenario.name} is not on it; {AGAIN}")


def _assert_same(recorded: list[Record], live: list[Record]) -> None:
    assert len(recorded) == len(live)
    for one, other in zip(recorded, live, strict=True):
        if isinstance(one, EmitRecord | TransmitRecord) and one.round is not None:
            assert isinstance(other, EmitRecord | TransmitRecord) and other.round is not None
            _assert_same_round(one.round, other.round)
        else:
            assert one == other


def _assert_same_round(one: Round, other: Round) -> None:
    assert (one.tokens, one.drafted, one.tested, one.accepted) == (
        other.tokens,
        other.drafted,
        other.tested,
        other.accepted,
    )
    for (name, value), (other_name, other_value) in zip(one.stats, other.stats, strict=True):
        assert name == other_name
        assert value == other_value or (math.isnan(value) and math.isnan(other_value))
