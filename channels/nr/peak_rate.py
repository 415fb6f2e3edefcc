"""Peak data rate of the UE capability formula (TS 38.306 4.1.2)."""

from __future__ import annotations

from channels._validation import require_between, require_choice
from channels.nr.bandwidth import num_prb
from channels.nr.numerology import symbol_duration_s

_OVERHEAD = {("dl", "fr1"): 0.14, ("dl", "fr2"): 0.18, ("ul", "fr1"): 0.08, ("ul", "fr2"): 0.10}


def peak_rate_bps(
    bandwidth_mhz: float,
    scs_khz: int,
    modulation_order: int,
    num_layers: int,
    direction: str,
    frequency_range: str = "fr1",
    scaling: float = 1.0,
) -> float:
    """V Qm f R_max 12 N_PRB / T_s (1 - OH) of one carrier in bit/s, with R_max = 948/1024 (TS 38.306 4.1.2).

    Args:
        direction: "dl" or "ul"; sets the overhead OH with `frequency_range` ("fr1" or "fr2").
        scaling: f, one of 1, 0.8, 0.75, 0.4.

    The formula counts every slot for `direction`: multiply by the TDD share.
    """
    require_choice("direction", direction, ("dl", "ul"))
    require_choice("frequency_range", frequency_range, ("fr1", "fr2"))
    require_choice("scaling", scaling, (1.0, 0.8, 0.75, 0.4))
    require_choice("modulation_order", modulation_order, (1, 2, 4, 6, 8, 10))
    require_between("num_layers", num_layers, 1, 8)
    per_symbol = (
        num_layers * modulation_order * scaling * (948 / 1024) * 12 * num_prb(bandwidth_mhz, scs_khz, frequency_range)
    )
    return per_symbol / symbol_duration_s(scs_khz) * (1 - _OVERHEAD[direction, frequency_range])
