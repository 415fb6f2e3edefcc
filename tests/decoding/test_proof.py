"""``specran prove``: the exact enumeration made public, and what manifest and report say of a protocol's text."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from sim.cli import _main
from sim.core.errors import InputError, RunError
from sim.core.registry import RegistryEntry
from sim.decoding.analysis.proof import EXACT, SMALL_SETTINGS, prove
from sim.decoding.protocols.guarantee import guarantee_of
from sim.decoding.protocols.registry import PROTOCOLS, ChainSettings

_OWN = """
from sim.decoding import ChainSettings, protocol
from sim.decoding.protocols.dsd import dsd
from sim.decoding.protocols.edge_only import edge_only

@protocol("own_fair", ChainSettings, lossless=True)
def fair(request, settings, rng):
    '''The target alone.'''
    yield from edge_only(request, settings, rng)

@protocol("own_biased", ChainSettings, lossless=True)
def biased(request, settings, rng):
    '''Asks the target, and says what the draft says.'''
    from sim.decoding import Location
    from sim.decoding.core.rows import Sampling
    while not request.finished:
        logits = yield request.forward(Location.DEVICE, "draft")
        yield request.forward(Location.EDGE, "target")
        row = Sampling().row(logits[0])
        token = rng.at("own", request.position).categorical(row)
        yield request.emit([token], drafted=0, tested=0, accepted=0)

@protocol("own_trusting", ChainSettings, lossless=True)
def trusting(request, settings, rng):
    '''Does not even ask.'''
    from sim.decoding.protocols.device_only import device_only
    yield from device_only(request, settings, rng)

@protocol("own_silent", ChainSettings, lossless=True)
def silent(request, settings, rng):
    '''Says nothing.'''
    return
    yield

@protocol("own_nofin", ChainSettings, lossless=True)
def nofin(request, settings, rng):
    '''Drafts and verifies, and never ends a round.'''
    from sim.decoding import Location
    from sim.decoding.core.rows import Sampling
    while not request.finished:
        yield request.forward(Location.DEVICE, "draft")
        logits = yield request.forward(Location.EDGE, "target")
        rng.at("own", request.position).categorical(Sampling().row(logits[0]))
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from sim.core import user_code

    monkeypatch.delitem(sys.modules, "own_proof", raising=False)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "own_proof.py"
    path.write_text(_OWN)
    with PROTOCOLS.restored_afterwards(), user_code.user_code_forgotten():
        yield path


@pytest.mark.parametrize(
    ("name", "settings"), [("tslt", {"top_k": 2, "draft_length": 2}), ("dssd", {"draft_length": 2}), ("gumbel", {})]
)
def test_what_ships_as_lossless_is_proved(name, settings):
    proof = prove(name, settings, tokens=2, pairs=2)
    assert proof.holds and proof.claims_lossless
    assert 0 <= proof.distance <= EXACT
    assert [table.ends for table in proof.tables] == [False, True]


@pytest.mark.parametrize(("name", "settings"), [("device_only", {})])
def test_a_lossy_one_is_not(name, settings):
    proof = prove(name, settings, tokens=2, pairs=2)
    assert not proof.holds and not proof.claims_lossless
    worst = max(proof.tables, key=lambda table: table.distance)
    assert worst.distance == proof.distance > 1e-3
    assert abs(worst.probability - worst.target_probability) > 1e-3


def test_the_command_proves_and_refutes_ones_own(own, capsys):
    assert _main(["prove", "own_proof:fair", "--pairs", "1"]) == 0
    captured = capsys.readouterr()
    assert "total variation" in captured.out and "proved: " in captured.err
    assert f"code:    {own} (module own_proof)" in captured.err
    assert _main(["prove", "own_proof:biased", "--pairs", "1", "--json"]) == 1
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert report["distance"] > 0.01
    assert "lossy: " in captured.err and "although it is registered as lossless" in captured.err


def test_the_command_takes_the_protocols_keys_and_refuses_others(own, capsys):
    assert _main(["prove", "dsd", "--set", "draft_length=1", "--pairs", "1", "--tokens", "2"]) == 0
    capsys.readouterr()
    assert _main(["prove", "dsd", "--set", "draft_lenth=1"]) == 2
    assert "did you mean 'draft_length'" in capsys.readouterr().err
    assert _main(["prove", "dsdd"]) == 2
    assert "did you mean 'dsd'" in capsys.readouterr().err
    assert _main(["prove", "own_proof:silent"]) == 1
    assert "ended without having emitted a round" in capsys.readouterr().err
    assert _main(["prove", "own_proof:trusting"]) == 1
    assert "but no row of the target was asked for at token 1" in capsys.readouterr().err


def test_more_outcomes_than_are_followed_are_told_with_what_makes_them_fewer(capsys, monkeypatch):
    monkeypatch.setattr("sim.cli.prove.PROGRESS_S", 0.0)
    with pytest.raises(InputError, match="protocol 'tslt' has more than 50"):
        prove("tslt", {}, max_outcomes=50)
    assert _main(["prove", "u_hlm", "--set", "samples=20", "--max-outcomes", "30"]) == 2
    said = capsys.readouterr().err
    assert "running: pair 1 of 4, 30 outcomes followed" in said
    assert "more than 30 random outcomes" in said
    assert "--tokens, --vocab-size, --pairs, the protocol's own keys (--set KEY=VALUE: samples)" in said
    assert "--max-outcomes follows more" in said


def test_the_limit_is_of_all_pairs_together_and_no_outcome_is_lost():
    counted: list[tuple[int, int]] = []
    proof = prove("match", {}, tokens=2, pairs=2, progress=lambda pair, outcomes: counted.append((pair, outcomes)))
    assert [outcomes for _, outcomes in counted] == list(range(1, len(counted) + 1))
    assert sorted({pair for pair, _ in counted}) == [0, 1]
    assert prove("match", {}, tokens=2, pairs=2, max_outcomes=len(counted)) == proof
    with pytest.raises(InputError, match=r"\(pair 1\)"):
        prove("match", {}, tokens=2, pairs=2, max_outcomes=len(counted) - 1)


@pytest.mark.parametrize("name", sorted(SMALL_SETTINGS))
def test_protocols_of_many_draws_are_proved_with_fewer(name, capsys):
    """Without keys, within a small part of the limit; what was made smaller is said."""
    expected = 0 if PROTOCOLS.find(name).traits["lossless"] else 1
    assert _main(["prove", name, "--max-outcomes", "8000", "--pairs", "1", "--json"]) == expected
    captured = capsys.readouterr()
    (key,) = SMALL_SETTINGS[name]
    assert json.loads(captured.out)["settings"] == {key: 1}
    assert f"smaller: {key}=1 instead of the protocol's default" in captured.err


def test_rounds_that_are_never_emitted_end_a_proof(own, capsys):
    assert _main(["prove", "own_proof:nofin"]) == 1
    said = capsys.readouterr().err
    assert "emitted no token in" in said and "a round ends with finish_round(...)" in said


def test_what_is_known_of_a_text(own):
    def known(name, **settings):
        entry = PROTOCOLS.find(name)
        return guarantee_of(entry, entry.settings(**settings).model_dump())

    assert known("tslt") == known("gumbel") == "proved"
    assert known("u_hlm") == known("dssd_bounded") == "lossy"
    assert known("own_proof:fair") == "claimed"
    assert known("sim.decoding.protocols.tslt:tslt") == "proved"
    own_rule = RegistryEntry("tslt", PROTOCOLS.find("tslt").make, ChainSettings, {"lossless": True})
    assert guarantee_of(own_rule, {"name": "tslt", "rule": "mine:rule"}) == "claimed"


def test_manifest_and_report_say_it():
    from sim.report.warnings import run_warnings, sweep_warnings
    from tests.figures.tables import UPLINK, sweep_table

    assert not [text for text in run_warnings({"requests": 500}, {"lossless": "proved"}) if "lossless" in text]
    (lossy,) = [text for text in run_warnings({"requests": 500}, {"lossless": "lossy"}) if "lossy" in text]
    (claimed,) = [text for text in run_warnings({"requests": 500}, {"lossless": "claimed"}) if "claimed" in text]
    assert "specran prove" in claimed and lossy.startswith("lossy protocol: ")
    report = sweep_warnings(sweep_table(), [UPLINK], ["a"], claimed=["b"])
    assert report[0].startswith("lossy protocol a: ") and report[1].startswith("protocol b claimed to be lossless")


def test_a_wrong_protocol_is_an_error_not_a_distance(own):
    with pytest.raises(RunError):
        prove("own_proof:silent")
