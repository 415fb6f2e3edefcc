"""Measurement reports add up to the counters of the run, and controllers set weights by them."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from sim.core.errors import RunError
from sim.core.kernel import Environment
from sim.links.base import Direction, Packet
from sim.links.nr import NrLink, NrLinkSettings
from sim.links.nr.mac.xapps.base import XApp
from sim.links.nr.mac.xapps.registry import XAPPS
from sim.results.columns import KPM_COLUMNS

FULL = {"kind": "full_buffer", "users": 0}


def ran(seconds=0.35, num_devices=3, **keys):
    settings = {"snr_db": [20.0, 10.0, 0.0], "tdd_pattern": "F", "background": [FULL], "kpm_period_s": 0.1, **keys}
    link = NrLink(Environment(), num_devices, 1, NrLinkSettings.model_validate(settings))
    link.env.run(round(seconds * 1e9))
    return link


def test_reports_add_up_to_the_counters():
    link = ran(background=[FULL, {"kind": "ftp", "users": 0, "direction": "uplink", "rate_hz": 50, "file_bytes": 2000}])
    rows = link.measurements()
    # The last one tells of the half period that there was.
    assert [row["time_s"] for row in rows] == pytest.approx([0.1, 0.2, 0.3, 0.35])
    # All of them stand in the table of TS 28.552, but for time and cell.
    assert list(rows[0]) == [name for name in KPM_COLUMNS if name != "RRC.InactiveConnMean"]
    assert {row["RRC.ConnMean"] for row in rows} == {3.0}
    for mac, name, initial in ((link.network.uplink, "Ul", "Init"), (link.network.downlink, "Dl", "Initial")):
        total = {key: sum(row[key] for row in rows) for key in rows[0]}
        assert total[f"TB.TotNbr{name}"] == mac.kpis.num_transmissions > 0
        assert total[f"TB.TotNbr{name}{initial}"] == mac.kpis.num_first
        first = total[{"Ul": "TB.ErrNbrUlInitial", "Dl": "TB.IntialErrNbrDl"}[name]]
        assert first == mac.kpis.num_first_failed
        assert first <= total[f"TB.ErrTotNbr{name}"] < total[f"TB.TotNbr{name}"]
        assert total[f"TB.ResidualErrNbr{name}"] <= total[f"TB.ErrTotNbr{name}"]
        used = sum(row[f"RRU.PrbUsed{name}"] * slots for row, slots in zip(rows, (200, 200, 200, 100), strict=True))
        assert used == pytest.approx(mac.kpis.prbs_used)
        assert 0 < total[f"DRB.PdcpSduVolume{name.upper()}"] * 1e6 <= mac.kpis.received_bits.sum()
    assert [row["RRU.PrbTotDl"] for row in rows[1:]] == pytest.approx([100, 100, 100], abs=1)


def test_the_throughput_of_a_device_is_that_of_its_bursts():
    """TS 28.552 5.1.1.3: files of 50 kB, one now and then, come at the rate of the carrier, not at that of the mean."""
    ftp = {"kind": "ftp", "users": 1, "rate_hz": 4, "file_bytes": 50_000}
    keys = {"channel": "ideal", "mcs": 20, "snr_db": None, "kpm_period_s": 1.0, "num_devices": 1}
    full = ran(1.0, background=[{**FULL, "users": 1}], **keys).measurements()[0]
    assert full["DRB.UEThpDl"] == pytest.approx(1e3 * full["DRB.PdcpSduVolumeDL"], rel=0.01)
    for row in ran(3.0, background=[ftp], **keys).measurements():
        assert row["DRB.UEThpDl"] == pytest.approx(full["DRB.UEThpDl"], rel=0.02)
        assert row["RRU.PrbTotDl"] < 40


def test_a_period_that_is_no_number_of_slots_is_refused():
    with pytest.raises(ValidationError, match=r"kpm_period_s\n.*valid: a multiple of the slot, 0.0005 s"):
        NrLinkSettings(kpm_period_s=0.0013)


def test_each_cell_has_a_row_and_silence_has_none():
    settings = NrLinkSettings.model_validate(
        {"num_sites": 7, "kpm_period_s": 0.01, "background": [{"kind": "voip", "users": 2, "activity": 0.01}]}
    )
    link = NrLink(Environment(), 1, 1, settings)
    link.env.run(500_000_000)
    rows = link.measurements()
    assert len(rows) % 7 == 0 and 7 <= len(rows) < 7 * 50
    assert [row["cell"] for row in rows[:7]] == list(range(7))
    # Times of slots, in as few digits as they have.
    assert all(row["time_s"] == round(row["time_s"], 4) for row in rows)
    assert NrLink(Environment(), 1, 1, NrLinkSettings()).measurements() == []


def test_inactive_devices_are_counted_apart():
    """One of three devices has anything to send; the others stay in RRC inactive."""
    env = Environment()
    keys = {"rrc_inactivity_s": 0.05, "kpm_period_s": 0.1, "tdd_pattern": "F"}
    link = NrLink(env, 3, 1, NrLinkSettings.model_validate(keys))
    link.send(Packet(1, Direction.UPLINK, 800))
    env.run()
    (row,) = link.measurements()
    assert (row["RRC.ConnMean"], row["RRC.InactiveConnMean"]) == (0.0, 3.0)
    link = NrLink(Environment(), 3, 1, NrLinkSettings.model_validate({**keys, "rrc_inactivity_s": 1.0}))
    link.send(Packet(1, Direction.UPLINK, 800))
    link.env.run(150_000_000)
    assert (link.measurements()[0]["RRC.ConnMean"], link.measurements()[0]["RRC.InactiveConnMean"]) == (1.0, 2.0)
    assert "RRC.InactiveConnMean" in KPM_COLUMNS


def test_a_controller_evens_out_what_the_channel_makes_uneven():
    shares = []
    for xapp in (None, "even_out"):
        link = ran(0.6, scheduler="qos", **({"xapp": xapp} if xapp else {}))
        bits = link.network.downlink.kpis.received_bits
        shares.append(bits.min() / bits.max())
    assert shares[1] > 1.2 * shares[0]


def test_a_controller_that_returns_nonsense_stops_the_run():
    with XAPPS.restored_afterwards():

        @XAPPS.register("negative")
        class Negative(XApp):
            """Weights of the wrong sign."""

            def weights(self, indication):
                return -indication.weights

        with pytest.raises(RunError, match="valid: 3 positive numbers, one per device"):
            ran(scheduler="qos", xapp="negative")
    assert np.all(ran().network.downlink.control_weight == 1)


def test_wrong_controllers_are_refused():
    with pytest.raises(ValidationError, match=r"unknown xApp .even. .*valid: even_out"):
        NrLinkSettings(kpm_period_s=0.1, xapp="even")
    with pytest.raises(ValidationError, match="xapp acts on reports; valid: with kpm_period_s"):
        NrLinkSettings(xapp="even_out")
