"""Block error rates over AWGN by MCS, code block size and SNR: our waterfalls of the 5G LDPC chain, or Sionna's."""

from __future__ import annotations

import csv
import json
from abc import ABC, abstractmethod
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri
from typing_extensions import override

from channels._validation import require_choice
from channels.nr.mcs import MCS_TABLES
from channels.nr.mcs import mcs_table as nr_mcs_table
from channels.nr.segmentation import transport_block_error

__all__ = ["BLER_TABLES", "WATERFALL_FILE", "BlerTable", "SionnaBlerTable", "WaterfallBlerTable", "read_waterfalls"]

FloatArray = npt.NDArray[np.float64]

BLER_TABLES = ("specran", "sionna")
WATERFALL_FILE = Path(__file__).parent / "tables" / "bler" / "nr_ldpc_awgn.csv"


class BlerTable(ABC):
    """Code block error rate as a function of MCS table 1..3, MCS index, code block size [bit] and SNR [dB].

    SNR is Es/N0 per resource element; sizes count CRCs (K' of TS 38.212 5.2.2). All methods broadcast over
    ``mcs_index``, ``code_block_bits`` and ``snr_db``. An MCS that the table lacks gives NaN; see ``available_mcs``.
    """

    @staticmethod
    def load(name: str = "specran") -> BlerTable:
        """The table ``specran`` (own waterfalls, every MCS) or ``sionna`` (as shipped); ValueError on another name."""
        require_choice("bler_table", name, BLER_TABLES)
        return _load(name)

    @abstractmethod
    def available_mcs(self, mcs_table: int) -> npt.NDArray[np.bool_]:
        """True where the table holds that MCS, [num_mcs]."""

    @abstractmethod
    def bler(
        self,
        mcs_table: int,
        mcs_index: npt.ArrayLike,
        code_block_bits: npt.ArrayLike,
        snr_db: npt.ArrayLike,
    ) -> FloatArray:
        """Code block error rate, 0..1; NaN for an MCS that the table lacks, ValueError for one outside 38.214's."""

    @abstractmethod
    def snr_for_bler(
        self,
        mcs_table: int,
        mcs_index: npt.ArrayLike,
        code_block_bits: npt.ArrayLike,
        target_bler: npt.ArrayLike = 0.1,
    ) -> FloatArray:
        """Least SNR [dB] at which the code block error rate does not exceed ``target_bler`` in (0, 1)."""

    def transport_block_bler(
        self,
        mcs_table: int,
        mcs_index: npt.ArrayLike,
        code_block_bits: npt.ArrayLike,
        num_code_blocks: npt.ArrayLike,
        snr_db: npt.ArrayLike,
    ) -> FloatArray:
        """1 - (1 - BLER)^C of a transport block of C = ``num_code_blocks`` code blocks with independent errors."""
        return transport_block_error(self.bler(mcs_table, mcs_index, code_block_bits, snr_db), num_code_blocks)


class WaterfallBlerTable(BlerTable):
    """Fitted waterfalls: BLER = 1/2 erfc((SNR - snr50) / (sqrt(2) sigma)), snr50 and sigma in dB per cell.

    Between the simulated sizes snr50 and log(sigma) run linearly in log2(code block bits); below the smallest and above
    the largest size they are held. Rates up to 1/4 are held at 3824 bits, since their segments end at 3840.
    Points reach down to BLER 1..2 %; what lies far below is the fit's tail, not a measured error floor.
    """

    def __init__(self, rows: list[dict[str, str]]) -> None:
        cells: dict[tuple[int, float], list[tuple[int, float, float]]] = {}
        for row in rows:
            pair = int(row["modulation_order"]), float(row["code_rate_x1024"])
            cells.setdefault(pair, []).append(
                (int(row["code_block_bits"]), float(row["snr50_db"]), float(row["sigma_db"]))
            )
        #: Simulated code block sizes [bit], rising.
        self.code_block_bits = np.array(sorted({size for held in cells.values() for size, _, _ in held}))
        self._log_sizes = np.log2(self.code_block_bits)
        self._tables = {index: self._lines(index, cells) for index in MCS_TABLES}

    def _lines(self, table_index: int, cells: dict[tuple[int, float], list[tuple[int, float, float]]]) -> FloatArray:
        """snr50 and log(sigma) as lines in x = log2(size) between neighbouring sizes.

        Rows (offset, slope of snr50; offset, slope of log sigma), [num_mcs * (num_sizes - 1), 4]; NaN where cells lack.
        """
        table, knots = nr_mcs_table(table_index), self._log_sizes
        lines = np.full((len(table), len(knots) - 1, 4), np.nan)
        for mcs, (order, rate) in enumerate(zip(table.modulation_order, table.code_rate, strict=True)):
            held = sorted(cells.get((int(order), float(rate) * 1024.0), []))
            if held:
                sizes, centers, widths = (np.array(column, dtype=float) for column in zip(*held, strict=True))
                for column, values in ((0, centers), (2, np.log(widths))):
                    at_knots = np.interp(knots, np.log2(sizes), values)
                    slope = np.diff(at_knots) / np.diff(knots)
                    lines[mcs, :, column] = at_knots[:-1] - slope * knots[:-1]
                    lines[mcs, :, column + 1] = slope
        return lines.reshape(-1, 4)

    @override
    def available_mcs(self, mcs_table: int) -> npt.NDArray[np.bool_]:
        require_choice("mcs_table", mcs_table, MCS_TABLES)
        return ~np.isnan(self._tables[mcs_table][:: len(self._log_sizes) - 1, 0])

    def waterfall(
        self, mcs_table: int, mcs_index: npt.ArrayLike, code_block_bits: npt.ArrayLike
    ) -> tuple[FloatArray, FloatArray]:
        """50 % point [dB] and width sigma [dB] of the waterfall at any code block size."""
        if mcs_table not in self._tables:
            require_choice("mcs_table", mcs_table, MCS_TABLES)
        lines, num_segments = self._tables[mcs_table], len(self._log_sizes) - 1
        mcs = _checked_mcs(mcs_table, mcs_index, len(lines) // num_segments)
        octaves = np.log2(_checked_sizes(code_block_bits))
        octaves = np.minimum(np.maximum(octaves, self._log_sizes[0]), self._log_sizes[-1])
        segment = self._log_sizes[1:-1].searchsorted(octaves, side="right")
        line = lines.take(mcs * num_segments + segment, axis=0)
        center = line[..., 0] + line[..., 1] * octaves
        return center, np.exp(line[..., 2] + line[..., 3] * octaves)

    @override
    def bler(
        self,
        mcs_table: int,
        mcs_index: npt.ArrayLike,
        code_block_bits: npt.ArrayLike,
        snr_db: npt.ArrayLike,
    ) -> FloatArray:
        center, width = self.waterfall(mcs_table, mcs_index, code_block_bits)
        return np.asarray(ndtr((center - np.asarray(snr_db, dtype=np.float64)) / width))

    @override
    def snr_for_bler(
        self,
        mcs_table: int,
        mcs_index: npt.ArrayLike,
        code_block_bits: npt.ArrayLike,
        target_bler: npt.ArrayLike = 0.1,
    ) -> FloatArray:
        center, width = self.waterfall(mcs_table, mcs_index, code_block_bits)
        return np.asarray(center - ndtri(_checked_target(target_bler)) * width)


class SionnaBlerTable(BlerTable):
    """The tables shipped with Sionna (``sionna/sys/bler_tables``), looked up as ``PHYAbstraction.get_bler`` does.

    Category 1 (PDSCH) serves uplink and downlink: its MCS tables are TS 38.214 5.1.3.1-1..3, those of CP-OFDM PUSCH.
    Sionna's category 0 is not read: it was simulated with the transform-precoding tables of 6.1.4.1, while Sionna 2.2.0
    decodes its MCS indices by the others unless given. Log-linear in BLER on a grid of 0.1 dB from -5 to 30 dB and of
    100 bit; the nearest grid point counts, held at both ends; sizes above 2000 bit read 2000. BLER below the least
    simulated is 0.
    """

    SNR_GRID_DB = (-5.0, 30.01, 0.1)
    SIZE_GRID_BITS = (24, 8448, 100)

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or _sionna_folder()
        self._snr_db = np.arange(*self.SNR_GRID_DB)
        self._sizes = np.arange(*self.SIZE_GRID_BITS)
        self._grids: dict[int, FloatArray] = {}

    def _grid(self, table_index: int) -> FloatArray:
        """BLER [num_mcs, num_sizes, num_snr], NaN where Sionna has no row; read once."""
        require_choice("mcs_table", table_index, MCS_TABLES)
        if table_index not in self._grids:
            path = self._folder / f"PDSCH_table{table_index}.json"
            held = json.loads(path.read_text(encoding="utf-8"))["category"]["1"]["index"][str(table_index)]["MCS"]
            grid = np.full((len(nr_mcs_table(table_index)), len(self._sizes), len(self._snr_db)), np.nan)
            for mcs, curves in held.items():
                sizes = np.array([float(size) for size in curves["CBS"]])
                bler = np.array([curve["BLER"] for curve in curves["CBS"].values()])
                grid[int(mcs)] = _log_linear(bler, sizes, np.array(curves["SNR_db"]), self._sizes, self._snr_db)
            self._grids[table_index] = grid
        return self._grids[table_index]

    @override
    def available_mcs(self, mcs_table: int) -> npt.NDArray[np.bool_]:
        return ~np.isnan(self._grid(mcs_table)[:, 0, 0])

    def _rows(
        self, table_index: int, mcs_index: npt.ArrayLike, code_block_bits: npt.ArrayLike
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.intp]]:
        """Checked MCS indices and nearest size indices."""
        mcs = _checked_mcs(table_index, mcs_index, len(self._grid(table_index)))
        first, _, step = self.SIZE_GRID_BITS
        nearest = np.rint((_checked_sizes(code_block_bits) - first) / step).astype(np.intp)
        return mcs, np.clip(nearest, 0, len(self._sizes) - 1)

    @override
    def bler(
        self,
        mcs_table: int,
        mcs_index: npt.ArrayLike,
        code_block_bits: npt.ArrayLike,
        snr_db: npt.ArrayLike,
    ) -> FloatArray:
        mcs, size = self._rows(mcs_table, mcs_index, code_block_bits)
        first, _, step = self.SNR_GRID_DB
        nearest = np.rint((np.asarray(snr_db, dtype=np.float64) - first) / step)
        snr = np.clip(nearest, 0, len(self._snr_db) - 1).astype(np.intp)
        return np.asarray(self._grid(mcs_table)[mcs, size, snr])

    def snr_for_bler(
        self,
        mcs_table: int,
        mcs_index: npt.ArrayLike,
        code_block_bits: npt.ArrayLike,
        target_bler: npt.ArrayLike = 0.1,
    ) -> FloatArray:
        """See ``BlerTable``; resolved to the 0.1 dB grid, NaN where no SNR up to 30 dB reaches the target."""
        mcs, size = self._rows(mcs_table, mcs_index, code_block_bits)
        above = self._grid(mcs_table)[mcs, size] > _checked_target(target_bler)[..., None]
        missing = np.isnan(self._grid(mcs_table)[mcs, 0, 0])
        # The last grid point above the target decides: the shipped curves are not strictly monotone.
        num_snr = len(self._snr_db)
        first = np.where(above.any(axis=-1), num_snr - above[..., ::-1].argmax(axis=-1), 0)
        reached = (first < num_snr) & ~missing
        return np.where(reached, self._snr_db[np.minimum(first, num_snr - 1)], np.nan)


def read_waterfalls(path: Path = WATERFALL_FILE) -> list[dict[str, str]]:
    """Rows of a table made by ``channels.tables.make_bler_tables``, one per cell; lines opening with # are skipped."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return list(csv.DictReader(lines))


@cache
def _load(name: str) -> BlerTable:
    return WaterfallBlerTable(read_waterfalls()) if name == "specran" else SionnaBlerTable()


def _sionna_folder() -> Path:
    """Folder of Sionna's tables, found without importing ``sionna.phy`` or ``sionna.sys``."""
    found = find_spec("sionna")
    for place in (found.submodule_search_locations or []) if found else []:
        folder = Path(place) / "sys" / "bler_tables"
        if folder.is_dir():
            return folder
    raise ValueError("bler_table 'sionna': the installed sionna has no sys/bler_tables; valid: specran")


def _log_linear(
    bler: FloatArray, sizes: FloatArray, snr_db: FloatArray, size_grid: npt.NDArray[np.int64], snr_grid: FloatArray
) -> FloatArray:
    """Bilinear in log10(BLER); zeros count as a hundredth of the least BLER; what falls below the least becomes 0."""
    from scipy.interpolate import RectBivariateSpline

    positive = bler > 0
    logs = np.empty_like(bler)
    logs[positive] = np.log10(bler[positive])
    floor = -np.inf
    if not positive.all():
        floor = logs[positive].min()
        logs[~positive] = floor - 2.0
    grid = np.power(10.0, RectBivariateSpline(sizes, snr_db, logs, kx=1, ky=1)(size_grid, snr_grid))
    grid[grid < 10.0**floor] = 0.0
    return np.asarray(np.clip(grid, 0.0, 1.0))


def _checked_mcs(table_index: int, mcs_index: npt.ArrayLike, num_mcs: int) -> npt.NDArray[np.int64]:
    """MCS indices as integers; ValueError outside the table."""
    mcs = np.asarray(mcs_index)
    if mcs.dtype != np.int64:
        return nr_mcs_table(table_index).check(mcs)
    # Negative indices are huge as unsigned integers: one comparison for both ends.
    if mcs.size and mcs.view(np.uint64).max() >= num_mcs:
        return nr_mcs_table(table_index).check(mcs)
    return mcs


def _checked_sizes(code_block_bits: npt.ArrayLike) -> FloatArray:
    """Code block sizes as floats; ValueError below one bit."""
    sizes = np.asarray(code_block_bits, dtype=np.float64)
    if sizes.size and not sizes.min() >= 1.0:
        raise ValueError(f"code_block_bits: got {sizes.min():g}; valid: 1 and more")
    return sizes


def _checked_target(target_bler: npt.ArrayLike) -> FloatArray:
    """Target error rates; ValueError outside (0, 1)."""
    target = np.asarray(target_bler, dtype=np.float64)
    if not np.all((target > 0.0) & (target < 1.0)):
        raise ValueError(f"target_bler: got {target_bler!r}; valid: above 0 and below 1")
    return target
