"""Makes the AWGN block error tables of the 5G LDPC chain: ``python -m channels.tables.make_bler_tables --out FILE``.

One cell is (modulation order, code rate, code block bits). Its waterfall BLER(SNR) = 1/2 erfc((SNR - snr50) / (sqrt(2)
sigma)), SNR in dB, is fitted by binomial maximum likelihood to a few SNR points placed where they say most about the
10 % point. Every finished cell is written at once; a second call with the same file goes on where the first one ended.
"""

from __future__ import annotations

import argparse
import csv
import importlib.metadata
import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from channels.bler import read_waterfalls
from channels.tables.ldpc_chain import LdpcAwgnChain, base_graph

__all__ = [
    "CODE_BLOCK_BITS",
    "Cell",
    "Waterfall",
    "cells",
    "fit_waterfall",
    "modulation_and_coding_pairs",
    "simulate_cell",
]

# 40 = smallest TB (24) + CRC 16; 296 follows the switch of high rates from base graph 2 to 1, where waterfalls jump;
# 3824 is the largest block of base graph 2 with its CRC, to 16 bits; 8448 is the largest of base graph 1.
CODE_BLOCK_BITS = (40, 104, 264, 296, 640, 1504, 3824, 8448)
# Coarse grid first: a partial table then already holds every pair.
SIZE_ORDER = (640, 3824, 104, 8448, 40, 1504, 264, 296)
# Least number of blocks for the fit of one cell: the waterfall of long blocks is steep, so fewer locate it.
MIN_BLOCKS = {40: 5000, 104: 4000, 264: 3000, 296: 3000, 640: 2000, 1504: 600, 3824: 280, 8448: 180}
TARGET_SE_DB = 0.03
# Bracketing points alternate between these BLERs; the fit points lie at the second list, weighted.
BRACKET_BLER = (0.5, 0.15)
FIT_BLER = (0.5, 0.2, 0.07, 0.02)
FIT_SHARE = (0.15, 0.25, 0.3, 0.3)
PROBIT_10 = 1.2815515655446004  # Phi^-1(0.9): the 10 % point lies that many sigma above the 50 % point
NUM_ITERATIONS = 20
MCS_FILE = Path(__file__).parent / "nr_mcs.json"

FIELDS = (
    "modulation_order",
    "code_rate_x1024",
    "code_block_bits",
    "num_coded_bits",
    "base_graph",
    "snr50_db",
    "sigma_db",
    "snr10_db",
    "snr10_se_db",
    "snr10_ci95_low_db",
    "snr10_ci95_high_db",
    "num_blocks",
    "num_errors",
    "deviance",
    "degrees_of_freedom",
    "seed",
    "wall_s",
    "snr_db:blocks:errors",
)


@dataclass(frozen=True)
class Cell:
    """Modulation order, code rate x 1024 (halves occur in MCS table 2) and code block size [bit], CRC included."""

    modulation_order: int
    code_rate_x1024: float
    code_block_bits: int

    @property
    def code_rate(self) -> float:
        """Target code rate."""
        return self.code_rate_x1024 / 1024.0


@dataclass(frozen=True)
class Waterfall:
    """A fitted waterfall: 50 % point and width [dB], 10 % point with its standard error [dB], deviance of the fit."""

    snr50_db: float
    sigma_db: float
    snr10_se_db: float
    deviance: float
    degrees_of_freedom: int

    @property
    def snr10_db(self) -> float:
        """SNR of BLER 10 % [dB]."""
        return self.snr50_db + PROBIT_10 * self.sigma_db


@dataclass(frozen=True)
class Point:
    """Blocks sent and blocks lost at one SNR [dB]."""

    snr_db: float
    num_blocks: int
    num_errors: int


def modulation_and_coding_pairs() -> list[tuple[int, float]]:
    """Distinct (modulation order, code rate x 1024) of TS 38.214 tables 5.1.3.1-1..3, in rising spectral efficiency."""
    tables = json.loads(MCS_FILE.read_text(encoding="utf-8"))["tables"]
    pairs = {
        (int(order), float(rate))
        for name in ("1", "2", "3")
        for order, rate in zip(tables[name]["modulation_order"], tables[name]["code_rate_x1024"], strict=True)
    }
    return sorted(pairs, key=lambda pair: (pair[0] * pair[1], pair[0]))


def cells() -> list[Cell]:
    """All cells in the order of their making.

    Rates up to 1/4 are segmented at 3840 bits (TS 38.212 5.2.2): no 8448. Only rates above 0.67 change base graph at
    292 bits: no 296 for the others.
    """
    return [
        Cell(order, rate, size)
        for size in SIZE_ORDER
        for order, rate in modulation_and_coding_pairs()
        if not (size > 3840 and rate <= 256.0) and not (size == 296 and rate <= 0.67 * 1024.0)
    ]


def first_guess(cell: Cell) -> tuple[float, float]:
    """Rough (50 % point, width) [dB] of a cell: Shannon's limit and a gap that grows for short blocks."""
    efficiency = cell.modulation_order * cell.code_rate
    shannon_db = 10.0 * math.log10(2.0**efficiency - 1.0)
    root = math.sqrt(cell.code_block_bits)
    return shannon_db + 0.3 + 0.2 * cell.modulation_order + 11.0 / root, 0.04 + 8.0 / root


def fit_waterfall(points: list[Point], guess: tuple[float, float] | None = None) -> Waterfall:
    """Probit fit by binomial maximum likelihood; ``guess`` (snr50, sigma) adds a weak normal prior while bracketing.

    The standard error of the 10 % point comes from the Fisher information at the estimate (with the prior, if any).
    """
    from scipy.optimize import minimize
    from scipy.special import log_ndtr

    snr = np.array([point.snr_db for point in points])
    sent = np.array([point.num_blocks for point in points], dtype=float)
    lost = np.array([point.num_errors for point in points], dtype=float)
    start = guess or _moment_start(snr, sent, lost)
    prior_center = np.array([start[0], math.log(start[1])])
    prior_precision = np.array([1.0 / 1.5**2, 1.0 / 0.5**2]) * (guess is not None)

    def loss(parameters: npt.NDArray[np.float64]) -> float:
        z = (parameters[0] - snr) / math.exp(min(max(parameters[1], -8.0), 4.0))
        log_likelihood = float(np.sum(lost * log_ndtr(z) + (sent - lost) * log_ndtr(-z)))
        return 0.5 * float(prior_precision @ (parameters - prior_center) ** 2) - log_likelihood

    found = minimize(loss, prior_center, method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-7, "maxiter": 2000})
    snr50, log_sigma = (float(value) for value in found.x)
    sigma = math.exp(log_sigma)
    information = _fisher_information(snr, sent, snr50, sigma) + np.diag(prior_precision)
    gradient = np.array([1.0, PROBIT_10 * sigma])
    variance = float(gradient @ np.linalg.pinv(information) @ gradient)
    num_informative = int(np.sum((lost > 0) & (lost < sent)))
    return Waterfall(
        snr50, sigma, math.sqrt(variance), _deviance(snr, sent, lost, snr50, sigma), max(num_informative - 2, 0)
    )


def _moment_start(
    snr: npt.NDArray[np.float64], sent: npt.NDArray[np.float64], lost: npt.NDArray[np.float64]
) -> tuple[float, float]:
    """Start of the search: weighted least squares of the empirical probits."""
    from scipy.special import ndtri

    probit = ndtri((lost + 0.5) / (sent + 1.0))
    inner = (lost > 0) & (lost < sent)
    if inner.sum() < 2:
        inner[:] = True
    slope, intercept = np.polyfit(snr[inner], probit[inner], 1, w=np.sqrt(sent[inner]))
    sigma = 1.0 / max(-float(slope), 1e-2)
    return float(intercept) * sigma, sigma


def _fisher_information(
    snr: npt.NDArray[np.float64], sent: npt.NDArray[np.float64], snr50: float, sigma: float
) -> npt.NDArray[np.float64]:
    """Expected information [2, 2] on (snr50, log sigma)."""
    from scipy.special import ndtr

    z = np.clip((snr50 - snr) / sigma, -6.0, 6.0)
    bler = ndtr(z)
    weight = sent * np.exp(-(z**2)) / (2.0 * math.pi) / (bler * (1.0 - bler))
    gradient = np.stack([np.full_like(z, 1.0 / sigma), -z])
    return np.asarray((gradient * weight) @ gradient.T)


def _deviance(
    snr: npt.NDArray[np.float64],
    sent: npt.NDArray[np.float64],
    lost: npt.NDArray[np.float64],
    snr50: float,
    sigma: float,
) -> float:
    """Twice the log-likelihood ratio of the saturated model to the fit: about chi-squared where the fit is good."""
    from scipy.special import ndtr, xlogy

    bler = np.clip(ndtr((snr50 - snr) / sigma), 1e-12, 1.0 - 1e-12)
    kept = sent - lost
    return float(2.0 * np.sum(xlogy(lost, lost / (sent * bler)) + xlogy(kept, kept / (sent * (1.0 - bler)))))


class _Sampler:
    """Sends blocks of one cell; the draws of each batch are addressed by (seed, cell, batch number)."""

    def __init__(self, cell: Cell, seed: int, device: str) -> None:
        self.chain = LdpcAwgnChain(
            cell.code_block_bits, cell.code_rate, cell.modulation_order, NUM_ITERATIONS, device=device
        )
        self._address = [seed, cell.modulation_order, round(2 * cell.code_rate_x1024), cell.code_block_bits]
        self._num_batches = 0
        self.points: list[Point] = []

    def send(self, snr_db: float, num_blocks: int) -> None:
        """Adds a point at ``snr_db``, rounded to 0.01 dB."""
        sequence = np.random.SeedSequence([*self._address, self._num_batches])
        self._num_batches += 1
        snr_db = round(snr_db, 2)
        errors = self.chain.block_errors(snr_db, num_blocks, np.random.Generator(np.random.Philox(sequence)))
        self.points.append(Point(snr_db, num_blocks, errors))


def simulate_cell(
    cell: Cell,
    seed: int,
    device: str = "cpu",
    max_seconds: float = 120.0,
    scale: float = 1.0,
    target_se_db: float = TARGET_SE_DB,
) -> tuple[Waterfall, list[Point]]:
    """Brackets the waterfall with small batches, then spends the blocks of the fit around the 10 % point.

    ``scale`` multiplies the number of blocks. Batches are added until the standard error of the 10 % point is below
    ``target_se_db``, ``max_seconds`` [s] have passed or four rounds are done.
    """
    from scipy.special import ndtri

    begun = time.monotonic()
    sampler = _Sampler(cell, seed, device)
    guess = first_guess(cell)
    min_blocks = scale * MIN_BLOCKS[cell.code_block_bits]
    bracket_blocks = max(12, round(min_blocks / 30))
    for step in range(16):
        rough = fit_waterfall(sampler.points, guess) if sampler.points else Waterfall(*guess, math.inf, 0.0, 0)
        inside = sum(0 < point.num_errors < point.num_blocks for point in sampler.points)
        if inside >= 2 and rough.snr10_se_db < 0.35 * rough.sigma_db:
            break
        target = BRACKET_BLER[step % len(BRACKET_BLER)]
        sampler.send(rough.snr50_db - float(ndtri(target)) * rough.sigma_db, bracket_blocks)
    for _ in range(4):
        rough = fit_waterfall(sampler.points, guess)
        for target, share in zip(FIT_BLER, FIT_SHARE, strict=True):
            sampler.send(rough.snr50_db - float(ndtri(target)) * rough.sigma_db, max(8, round(share * min_blocks)))
        fitted = fit_waterfall(sampler.points)
        if fitted.snr10_se_db < target_se_db or time.monotonic() - begun > max_seconds:
            break
    return fitted, sampler.points


def _row(cell: Cell, fitted: Waterfall, points: list[Point], seed: int, wall_s: float) -> dict[str, str]:
    """One line of the table."""
    half_width = 1.96 * fitted.snr10_se_db
    return {
        "modulation_order": str(cell.modulation_order),
        "code_rate_x1024": f"{cell.code_rate_x1024:g}",
        "code_block_bits": str(cell.code_block_bits),
        "num_coded_bits": str(math.ceil(cell.code_block_bits / cell.code_rate - 1e-9)),
        "base_graph": str(base_graph(cell.code_block_bits, cell.code_rate)),
        "snr50_db": f"{fitted.snr50_db:.4f}",
        "sigma_db": f"{fitted.sigma_db:.4f}",
        "snr10_db": f"{fitted.snr10_db:.4f}",
        "snr10_se_db": f"{fitted.snr10_se_db:.4f}",
        "snr10_ci95_low_db": f"{fitted.snr10_db - half_width:.4f}",
        "snr10_ci95_high_db": f"{fitted.snr10_db + half_width:.4f}",
        "num_blocks": str(sum(point.num_blocks for point in points)),
        "num_errors": str(sum(point.num_errors for point in points)),
        "deviance": f"{fitted.deviance:.2f}",
        "degrees_of_freedom": str(fitted.degrees_of_freedom),
        "seed": str(seed),
        "wall_s": f"{wall_s:.1f}",
        "snr_db:blocks:errors": " ".join(f"{p.snr_db:g}:{p.num_blocks}:{p.num_errors}" for p in points),
    }


def _provenance(device: str) -> Iterator[str]:
    """Comment lines at the head of the table: what was simulated, with what."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("sionna-no-rt", "torch", "numpy"))
    yield "# AWGN block error waterfalls of the 5G NR LDPC chain, one code block; by channels.tables.make_bler_tables"
    yield "# BLER(SNR) = 0.5 erfc((SNR - snr50_db) / (sqrt(2) sigma_db)); SNR = Es/N0 per QAM symbol in dB"
    yield "# encoder, graphs, mapper, APP demapper: sionna.phy; belief propagation: 20 iterations, flooding, exact phi"
    yield f"# versions: {versions}; device: {device}"
    yield "# pairs (modulation order, code rate x 1024): TS 38.214 tables 5.1.3.1-1..3; code_block_bits count CRCs"
    yield "# snr10_se_db: standard error of the 10 % point from the Fisher information; ci95 = +-1.96 standard errors"


def _write_rows(path: Path, rows: list[dict[str, str]], device: str) -> None:
    """Writes the whole table beside its place and moves it there, so that a reader never sees half of it."""
    ordered = sorted(
        rows,
        key=lambda row: (
            int(row["modulation_order"]),
            float(row["code_rate_x1024"]),
            int(row["code_block_bits"]),
        ),
    )
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8", newline="") as out:
        out.writelines(line + "\n" for line in _provenance(device))
        writer = csv.DictWriter(out, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(ordered)
    os.replace(partial, path)


def main(arguments: list[str] | None = None) -> None:
    """Command line: simulates the cells that the table lacks, in order, within the time given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="table to write or go on with (CSV)")
    parser.add_argument("--device", default="auto", help="torch device, or auto: CUDA where there is one")
    parser.add_argument("--minutes", type=float, default=math.inf, help="no new cell is begun after that long")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the number of blocks per cell")
    options = parser.parse_args(arguments)

    import torch

    device = options.device
    if device == "auto":
        device = "cuda:0" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        torch.set_num_threads(1)
    rows = read_waterfalls(options.out) if options.out.exists() else []
    done = {(int(r["modulation_order"]), float(r["code_rate_x1024"]), int(r["code_block_bits"])) for r in rows}
    todo = [c for c in cells() if (c.modulation_order, c.code_rate_x1024, c.code_block_bits) not in done]
    begun = time.monotonic()
    for number, cell in enumerate(todo, start=1):
        cell_begun = time.monotonic()
        if cell_begun - begun > 60.0 * options.minutes:
            print(f"time is up: {len(todo) - number + 1} cells left")
            return
        fitted, points = simulate_cell(cell, options.seed, device, scale=options.scale)
        rows.append(_row(cell, fitted, points, options.seed, time.monotonic() - cell_begun))
        _write_rows(options.out, rows, device)
        print(f"{number}/{len(todo)}", " ".join(rows[-1][name] for name in FIELDS[:9] + FIELDS[11:15]), flush=True)


if __name__ == "__main__":
    main()
