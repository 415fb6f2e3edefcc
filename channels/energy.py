"""Radio energy in the relative power units of 3GPP: UE modem (TR 38.840) and base station (TR 38.864)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from channels._tables import load_table
from channels._validation import require_between, require_choice, require_positive

Array = npt.NDArray[np.float64]
SLEEP_STATES = ("deep_sleep", "light_sleep", "micro_sleep")
UE_STATES = (*SLEEP_STATES, "pdcch", "ssb", "pdcch_pdsch")
# Active reception never falls below this, however narrow the bandwidth part (TR 38.840 8.1.3).
_MIN_ACTIVE_UNITS = 50.0


@dataclass(frozen=True)
class UeModemPower:
    """Power of a UE modem by state (TR 38.840 8.1).

    Attributes:
        frequency_range: "fr1" or "fr2".
        bandwidth_mhz: scales reception in FR1 by 0.4 + 0.6 (X - 20) / 80.
        num_rx: 4 or 2 receive antennas; 2 take 0.7 of the power of 4 (FR1).
        milliwatt_per_unit: what a relative unit is worth. 3GPP gives none; 1 mW is a common assumption, and every
            joule scales with it.
    """

    frequency_range: str = "fr1"
    bandwidth_mhz: float = 100.0
    num_rx: int = 4
    milliwatt_per_unit: float = 1.0

    def __post_init__(self) -> None:
        require_choice("frequency_range", self.frequency_range, ("fr1", "fr2"))
        require_choice("num_rx", self.num_rx, (2, 4))
        require_positive("bandwidth_mhz", self.bandwidth_mhz)
        require_positive("milliwatt_per_unit", self.milliwatt_per_unit)

    def _table(self) -> Mapping[str, float]:
        table: Mapping[str, float] = load_table("power_states")["ue"][self.frequency_range]
        return table

    def state_units(self, state: str) -> float:
        """Relative power of a sleep or reception state."""
        require_choice("state", state, UE_STATES)
        units = float(self._table()[state])
        if state in SLEEP_STATES or self.frequency_range == "fr2":
            return units
        scale = 0.4 + 0.6 * (self.bandwidth_mhz - 20) / 80
        antennas = 1.0 if self.num_rx == 4 else 0.7
        return max(_MIN_ACTIVE_UNITS, units * scale * antennas)

    def uplink_units(self, transmit_power_dbm: npt.ArrayLike) -> Array:
        """Relative power while transmitting: linear in dBm from 0 to 23 dBm, flat below and above. Broadcasts."""
        table = self._table()
        low, high = table["uplink_0_dbm"], table["uplink_23_dbm"]
        return np.interp(np.asarray(transmit_power_dbm, dtype=np.float64), [0.0, 23.0], [low, high])

    def state_energy_j(self, state: str, duration_s: float) -> float:
        """Energy of a stay in a state, transitions not counted."""
        require_between("duration_s", duration_s, 0, np.inf)
        return self.state_units(state) * duration_s * self.milliwatt_per_unit * 1e-3

    def uplink_energy_j(self, transmit_power_dbm: npt.ArrayLike, duration_s: npt.ArrayLike) -> Array:
        """Energy of transmissions. Broadcasts."""
        joule_per_unit_s = self.milliwatt_per_unit * 1e-3
        return np.asarray(self.uplink_units(transmit_power_dbm) * np.asarray(duration_s) * joule_per_unit_s)

    def sleep_transition_energy_j(self, state: str, num_cycles: float = 1.0) -> float:
        """Energy of entering and leaving a sleep state `num_cycles` times (a lone entry or exit is half a cycle)."""
        require_choice("state", state, SLEEP_STATES)
        units_ms = float(load_table("power_states")["ue_transition"][state]["energy_unit_ms"])
        return units_ms * 1e-3 * num_cycles * self.milliwatt_per_unit * 1e-3

    def sleep_transition_time_s(self, state: str) -> float:
        """Time of entering and leaving a sleep state; a gap shorter than this does not allow it."""
        require_choice("state", state, SLEEP_STATES)
        return float(load_table("power_states")["ue_transition"][state]["time_ms"]) * 1e-3


@dataclass(frozen=True)
class GnbPower:
    """Relative power of a base station at symbol level (TR 38.864 5.1).

    Attributes:
        category, reference_set: row of Table 5.1-3, categories 1 and 2, sets 1 to 3.
        static_share: A, the share of downlink power above micro sleep that does not scale with the load.
    """

    category: int = 1
    reference_set: int = 1
    static_share: float = 0.4

    def __post_init__(self) -> None:
        require_choice("category", self.category, (1, 2))
        require_choice("reference_set", self.reference_set, (1, 2, 3))
        require_between("static_share", self.static_share, 0, 1)

    def _levels(self) -> tuple[float, float, float, float, float]:
        deep, light, micro, downlink, uplink = load_table("power_states")["gnb"][str(self.category)][
            str(self.reference_set)
        ]
        return deep, light, micro, downlink, uplink

    def sleep_units(self, state: str) -> float:
        """Power of deep_sleep, light_sleep or micro_sleep."""
        require_choice("state", state, SLEEP_STATES)
        return float(self._levels()[SLEEP_STATES.index(state)])

    def downlink_units(
        self, bandwidth_share: npt.ArrayLike, power_share: npt.ArrayLike = 1.0, antenna_share: npt.ArrayLike = 1.0
    ) -> Array:
        """P3 + s_a (P4 - P3) (A + (1 - A) s_f s_p / eta), eta = 1, or 0.76 where s_f s_p < 0.5. Broadcasts."""
        _, _, micro, full, _ = self._levels()
        for name, share in (("bandwidth_share", bandwidth_share), ("power_share", power_share)):
            require_between(name, share, 0, 1)
        load = np.asarray(bandwidth_share, dtype=np.float64) * np.asarray(power_share)
        efficiency = np.where(load < 0.5, 0.76, 1.0)
        dynamic = self.static_share + (1 - self.static_share) * load / efficiency
        return np.asarray(micro + np.asarray(antenna_share) * (full - micro) * dynamic)

    def uplink_units(self, antenna_share: npt.ArrayLike = 1.0) -> Array:
        """P3 + s_a (P5 - P3). Broadcasts."""
        _, _, micro, _, full = self._levels()
        require_between("antenna_share", antenna_share, 0, 1)
        return np.asarray(micro + np.asarray(antenna_share, dtype=np.float64) * (full - micro))
