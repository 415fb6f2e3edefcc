"""MCS and CQI tables 1..3: modulation order and code rate by index, and the CQI to MCS map."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from channels._tables import load_table
from channels._validation import require_choice

MCS_TABLES = (1, 2, 3)


@dataclass(frozen=True)
class McsTable:
    """One MCS table (TS 38.214 5.1.3.1, 6.1.4.1 without transform precoding).

    Attributes:
        index: table number, 1 (64QAM), 2 (256QAM) or 3 (64QAM, low spectral efficiency).
        modulation_order: bits per symbol Qm, [num_mcs] int64.
        code_rate: target code rate R in 0..1, [num_mcs] float64.
    """

    index: int
    modulation_order: npt.NDArray[np.int64]
    code_rate: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.code_rate)

    @property
    def spectral_efficiency(self) -> npt.NDArray[np.float64]:
        """Qm * R in bit per resource element and layer, [num_mcs]."""
        return self.modulation_order * self.code_rate

    def check(self, mcs_index: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """`mcs_index` as int64; ValueError naming the valid range if any lies outside the table."""
        indices = np.asarray(mcs_index)
        inside = (indices >= 0) & (indices < len(self)) & (indices == np.floor(indices))
        if not np.all(inside):
            got = indices[~inside].flat[0]
            raise ValueError(f"mcs_index of table {self.index}: got {got}; valid: 0 to {len(self) - 1}")
        return indices.astype(np.int64)

    def __repr__(self) -> str:
        return (
            f"McsTable({self.index}, {len(self)} entries, Qm {self.modulation_order[0]}..{self.modulation_order[-1]})"
        )


@cache
def mcs_table(table_index: int) -> McsTable:
    """MCS table 1, 2 or 3 as arrays; ValueError on another number."""
    require_choice("mcs_table", table_index, MCS_TABLES)
    row = load_table("nr_mcs")["tables"][str(table_index)]
    order = np.array(row["modulation_order"], dtype=np.int64)
    rate = np.array(row["code_rate_x1024"], dtype=np.float64) / 1024
    order.flags.writeable = rate.flags.writeable = False
    return McsTable(table_index, order, rate)


def modulation_and_rate(mcs_index: int, table_index: int = 1) -> tuple[int, float]:
    """(modulation order Qm, code rate R) of one MCS; ValueError outside the table."""
    table = mcs_table(table_index)
    index = int(table.check(mcs_index))
    return int(table.modulation_order[index]), float(table.code_rate[index])


@cache
def cqi_efficiency(table_index: int) -> npt.NDArray[np.float64]:
    """Qm * R of CQI 1..15, bit per resource element (TS 38.214 Tables 5.2.2.1-2..4). [15]."""
    require_choice("cqi_table", table_index, MCS_TABLES)
    row = load_table("nr_cqi")["tables"][str(table_index)]
    efficiency: npt.NDArray[np.float64] = np.multiply(row["modulation_order"], row["code_rate_x1024"]) / 1024
    efficiency.flags.writeable = False
    return efficiency


def cqi_to_mcs(cqi: npt.ArrayLike, table_index: int = 1) -> npt.NDArray[np.int64]:
    """MCS index of CQI 0..15, -1 for CQI 0 (out of range); same table for both. Map of the srsRAN Project."""
    require_choice("cqi_table", table_index, MCS_TABLES)
    values = np.asarray(cqi)
    if np.any((values < 0) | (values > 15)):
        raise ValueError(f"cqi: got {values[(values < 0) | (values > 15)].flat[0]}; valid: 0 to 15")
    row = [-1, *load_table("nr_cqi")["tables"][str(table_index)]["mcs_index"]]
    return np.array(row, dtype=np.int64)[values.astype(np.int64)]


def efficiency_to_cqi(bits_per_re: npt.ArrayLike, table_index: int = 1) -> npt.NDArray[np.int64]:
    """Highest CQI whose efficiency does not exceed `bits_per_re`; 0 when none does."""
    return np.searchsorted(cqi_efficiency(table_index), np.asarray(bits_per_re, dtype=float), side="right").astype(
        np.int64
    )
