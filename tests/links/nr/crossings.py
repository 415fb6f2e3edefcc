"""Handovers of devices that nothing holds back, and how often straight roads cross the edges of cells."""

from __future__ import annotations

import numpy as np

from sim.links.nr import NrLinkSettings
from sim.links.nr.phy.carrier import Carrier
from sim.links.nr.phy.channel import RadioChannel
from sim.links.nr.rrc.handover import EventA3

_PERIOD_S = 0.1


def edge_crossings_per_minute(speed_kmh: float, distance_m: float) -> float:
    """Crossings of hexagons' edges per device and minute, v * perimeter / (pi * area), sites ``distance_m`` apart."""
    side_m = distance_m / np.sqrt(3)
    return float(60 * speed_kmh / 3.6 * 6 * side_m / (np.pi * 1.5 * np.sqrt(3) * side_m**2))


def handovers_per_minute(num_devices: int, seconds: int) -> float:
    """Handovers per device and minute by path loss alone at 30 km/h, 200 m: no offset, hysteresis, timer or filter."""
    settings = NrLinkSettings(num_sites=7, mobility="linear", speed_kmh=30.0, shadowing=False, los="nlos")
    carrier = Carrier(settings)
    channel = RadioChannel(carrier, settings, num_devices, 1)
    event = EventA3(num_devices, channel.num_cells, 0.0, 0.0, 0.0, 1.0)
    event.restart(channel.gain_db)
    serving, count = channel.gain_db.argmax(axis=1), 0
    for step in range(1, round(seconds / _PERIOD_S) + 1):
        channel.renew_gains(round(step * _PERIOD_S * 1e9 / carrier.slot_ns))
        for device, cell in event.measure(channel.gain_db, serving, step * _PERIOD_S):
            serving[device] = cell
            event.moved(device)
            count += 1
        assert np.array_equal(serving, channel.gain_db.argmax(axis=1))
    return count / (num_devices * seconds / 60)
