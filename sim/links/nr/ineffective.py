"""Keys of the ``nr`` link that others leave without effect: refused where they contradict, noted where sweeps vary."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from sim.links.nr.antenna_settings import AntennaSettings
from sim.links.nr.model_ranges import Misfit

_GEOMETRY = (
    "num_sites",
    "sectors_per_site",
    "inter_site_distance_m",
    "wrap_around",
    "positions_m",
    "distances_m",
    "min_distance_m",
    "shadowing",
    "building",
    "floors",
    "car_share",
    "car_windows",
    "bs_height_m",
    "ut_height_m",
    "gnb_power_dbm",
    "gnb_antenna_dbi",
    "gnb_noise_figure_db",
    "power_reduction",
    "ue_antenna_dbi",
    "ue_noise_figure_db",
    "p0_dbm",
    "alpha",
    "column_elements",
    "tilt_deg",
    "beam_ports",
)
"""Of no effect with a fixed SNR: there is one cell, and neither path loss nor transmit powers count."""
_AIR = (
    *_GEOMETRY,
    "snr_db",
    "scenario",
    "los",
    "indoor_share",
    "fading",
    "fading_trace",
    "delay_spread_ns",
    "rician_k_db",
    "interference",
    "rise_db",
    "num_tx",
    "uplink_num_rx",
    "uplink_num_tx",
    "max_layers",
    "uplink_max_layers",
    "mimo",
    "receiver",
    "antenna_correlation",
    "polarisation",
    "mobility",
    "speed_kmh",
)
"""Of no effect over the ideal channel."""
_SMALL_MODEM_RX = 2
_HANDOVER = ("l3_filter_k", "handover_offset_db", "handover_hysteresis_db", "time_to_trigger_s")
_UNUSED: tuple[tuple[str, tuple[str, ...], Callable[[Any], bool]], ...] = (
    ("with link.mobility 'fixed'", _HANDOVER, lambda link: link.mobility == "fixed"),
    (
        "with one cell",
        _HANDOVER,
        lambda link: link.mobility != "fixed" and link.num_sites * link.sectors_per_site == 1,
    ),
    ("with one site", ("wrap_around",), lambda link: link.num_sites == 1),
    ("with link.interference 'none'", ("csi_interference",), lambda link: link.interference == "none"),
    (
        "without link.interference 'rise_over_thermal'",
        ("rise_db",),
        lambda link: link.interference != "rise_over_thermal",
    ),
    ("with link.indoor_share 0", ("building", "floors"), lambda link: not link.indoor_share),
    ("with link.car_share 0", ("car_windows",), lambda link: not link.car_share),
    ("with link.indoor_share 1", ("car_share",), lambda link: link.indoor_share == 1),
    (
        "where devices have their places",
        ("min_distance_m",),
        lambda link: link.positions_m is not None or link.distances_m is not None,
    ),
    (
        "with one site and link.distances_m",
        ("inter_site_distance_m",),
        lambda link: link.num_sites == 1 and link.distances_m is not None,
    ),
    (
        f"with link.fading {'none'!r}",
        ("delay_spread_ns", "rician_k_db"),
        lambda link: link.fading == "none" and link.fading_trace is None,
    ),
    ("without link.drx_cycle_s", ("drx_on_s", "drx_inactivity_s"), lambda link: not link.drx_cycle_s),
    ("with link.mcs", ("olla_step_db", "olla_warm_up_blocks"), lambda link: link.mcs is not None),
    (
        "without special slots (S) in link.tdd_pattern",
        ("special_symbols", "special_carries_pdsch", "special_carries_pusch", "special_carries_pucch"),
        lambda link: "S" not in link.tdd_pattern,
    ),
    ("with link.rlc_feedback 'status'", ("rlc_status_delay_s",), lambda link: link.rlc_feedback == "status"),
)
"""Where keys are of no effect, which, and when that is so."""


def notes_of(settings: AntennaSettings, is_ideal: bool, has_fixed_snr: bool) -> Iterator[str]:
    """Sentences about keys that have been set and change nothing.

    Args:
        settings: All keys of the link.
        is_ideal: Whether its channel is ideal.
        has_fixed_snr: Whether ``snr_db`` stands for geometry and powers.
    """
    if is_ideal:
        yield from _sentence(_changed(settings, _AIR), "over channel 'ideal'")
        if settings.num_rx != 1:
            what = "changes nothing" if settings.num_rx <= _SMALL_MODEM_RX else "counts for the modem's energy only"
            yield f"link.num_rx ({settings.num_rx}) {what} over channel 'ideal'"
        return
    fixed = _changed(settings, _GEOMETRY) if has_fixed_snr else []
    for where, keys, is_so in _UNUSED:
        if is_so(settings):
            yield from _sentence([key for key in _changed(settings, keys) if key not in fixed], where)
    yield from _sentence(fixed, "with link.snr_db, which stands for geometry and powers")
    if settings.column_elements == 1 and "tilt_deg" not in fixed:
        yield from _sentence(_changed(settings, ("tilt_deg",)), "with link.column_elements 1")
    if max(settings.num_rx, settings.num_tx, settings.bs_num_rx, settings.ue_num_tx) == 1:
        keys = ("polarisation", "antenna_correlation", "max_layers", "uplink_max_layers", "mimo")
        yield from _sentence(_changed(settings, keys), "with one antenna at either end")


def contradictions(has_fixed_snr: bool, interference: str, xapp: str | None, scheduler: str) -> Iterator[Misfit]:
    """Keys that ask for what others rule out, and why.

    Args:
        has_fixed_snr: Whether the radio channel has an SNR instead of a geometry.
        interference, xapp, scheduler: As the keys of these names.
    """
    if has_fixed_snr and interference == "explicit":
        text = "'explicit' has no neighbours with snr_db, which makes one cell; valid: none, rise_over_thermal"
        yield "interference", text
    # A user's own scheduler may look at weights.
    if xapp is not None and scheduler != "qos" and ":" not in scheduler:
        yield "xapp", f"sets weights that scheduler {scheduler!r} does not look at; valid: with scheduler qos"


def _changed(settings: AntennaSettings, keys: Iterable[str]) -> list[str]:
    """Those of some keys that are not at their defaults."""
    fields = type(settings).model_fields
    return [key for key in keys if getattr(settings, key) != fields[key].default]


def _sentence(keys: list[str], where: str) -> Iterator[str]:
    if keys:
        names = ", ".join(f"link.{key}" for key in keys)
        yield f"{names} change{'s' if len(keys) == 1 else ''} nothing {where}"
