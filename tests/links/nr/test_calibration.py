"""Coupling loss and geometry of the calibration scenarios beside 3GPP's curves, and the command that shows them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from channels.calibration import coupling_loss_db, reference, shown, shown_reference, sir_db
from sim.cli import _main
from sim.links.nr import NrLinkSettings
from sim.links.nr.calibration import calibration_drop
from sim.scenario.loading import load_scenario


@pytest.mark.parametrize("carrier_ghz", [6.0, 30.0, 70.0])
@pytest.mark.parametrize("name", ["umi", "uma"])
def test_calibration_of_3gpp(name, carrier_ghz):
    """Percentiles 5 to 95 over 8 drops of 570: coupling loss within 2 dB, geometry within 1 dB (R1-165974)."""
    settings = load_scenario(f"calibration_{name}").link.settings.model_copy(update={"carrier_ghz": carrier_ghz})
    drop = calibration_drop(settings, 570, 1, num_drops=8)
    for quantity, bound_db in (("coupling_loss_db", 2.0), ("sir_db", 1.0)):
        ours, theirs = shown(getattr(drop, quantity)), shown_reference(quantity, name, carrier_ghz)
        assert theirs is not None
        for percentile, value in theirs.items():
            assert ours[percentile] == pytest.approx(value, abs=bound_db), (quantity, percentile)


def test_medians_of_the_published_curves():
    """Medians at 6 GHz: UMi -112.2 and 7.3 dB, UMa -120.3 and 8.6 dB; none for RMa or at 3.5 GHz."""
    assert [shown_reference(q, "umi", 6.0)["50"] for q in ("coupling_loss_db", "sir_db")] == [-112.2, 7.3]
    assert [shown_reference(q, "uma", 6.0)["50"] for q in ("coupling_loss_db", "sir_db")] == [-120.3, 8.6]
    assert reference("sir_db", "rma", 0.7) is None
    assert reference("sir_db", "umi", 3.5) is None


def test_geometry_by_hand():
    gain_db = np.array([[-80.0, -83.0103, -90.0], [-100.0, -95.0, -1000.0]])
    np.testing.assert_allclose(coupling_loss_db(gain_db), [-80, -95])
    np.testing.assert_allclose(sir_db(gain_db), [-10 * np.log10(0.5 + 0.1), 5.0], atol=1e-4)
    with pytest.raises(ValueError, match="gain_db: got 1 cell"):
        sir_db(gain_db[:, :1])


def test_each_part_of_the_set_up_matters():
    """Without tilt, floors or building mix the curves move away: by more than the tolerance in some percentile."""
    settings = load_scenario("calibration_umi").link.settings
    whole = shown(calibration_drop(settings, 570, 1, 4).coupling_loss_db)
    for keys in ({"column_elements": 1}, {"building": "low"}, {"indoor_share": 0.0}):
        other = shown(calibration_drop(settings.model_copy(update=keys), 570, 1, 4).coupling_loss_db)
        assert max(abs(other[p] - whole[p]) for p in whole) > 2
    with pytest.raises(ValueError, match="snr_db replaces geometry"):
        calibration_drop(NrLinkSettings(snr_db=3.0), 20, 1)


def test_the_command_shows_percentiles(tmp_path, capsys):
    command = ["channel", "calibrate", "calibration_umi", "--devices", "114", "--drops", "2", "--out", str(tmp_path)]
    assert _main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    for quantity in ("coupling_loss_db", "sir_db"):
        assert list(told[quantity]) == ["5", "25", "50", "75", "95"]
        values = list(told[quantity].values())
        assert values == sorted(values)
        assert told["reference"][quantity] == shown_reference(quantity, "umi", 6.0)
    assert max(told["coupling_loss_db"].values()) < 0
    assert {path.suffix for path in tmp_path.iterdir()} == {".png", ".pdf", ".svg"}
    assert _main([*command, "--set", "link.carrier_ghz=3.5"]) == 0
    shown_text = capsys.readouterr()
    assert "no curves are published for umi at 3.5 GHz" in shown_text.err
    assert "Coupling gain [dB]" in shown_text.out and "200 m apart; 228 devices in 2 drops" in shown_text.out
    assert "difference" not in shown_text.out
    # Another frequency range takes no key but the carrier.
    assert _main([*command, "--json", "--set", "link.carrier_ghz=30"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["reference"]["sir_db"] == shown_reference("sir_db", "umi", 30.0)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["latency_vs_k"], "link.kind: got fixed; valid: nr"),
        (["calibration_umi", "--set", "link={kind: nr}"], "link.num_sites: got 1 site of 1 sector"),
        (["calibration_umi", "--set", "link.tilt_deg=200"], "tilt_deg"),
    ],
)
def test_what_cannot_be_calibrated(tmp_path, capsys, arguments, says):
    assert _main(["channel", "calibrate", *arguments, "--out", str(tmp_path / "out")]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
