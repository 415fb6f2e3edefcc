"""HARQ soft combining as effective SINR: chase combining and incremental redundancy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from channels._validation import require_between, require_choice, require_positive, require_whole
from channels.nr.segmentation import segment

Array = npt.NDArray[np.float64]
# Lowest code rate of the two LDPC base graphs, TS 38.212 5.3.2; below it bits are repeated.
MOTHER_CODE_RATE = {1: 1 / 3, 2: 1 / 5}
# Bits per symbol, from pi/2-BPSK to 1024QAM.
MODULATION_ORDERS = (1, 2, 4, 6, 8, 10)


def chase_combine(accumulated_sinr: npt.ArrayLike, new_sinr: npt.ArrayLike) -> Array:
    """Chase combining: the linear SINRs of equal coded bits add (maximum ratio), per PRB group. Broadcasts.

    The effective code rate stays; pass the sum to `channels.eesm.effective_sinr`.
    """
    return np.asarray(np.asarray(accumulated_sinr, dtype=np.float64) + np.asarray(new_sinr, dtype=np.float64))


def incremental_combine(
    effective_before: npt.ArrayLike,
    weight_before: npt.ArrayLike,
    effective_new: npt.ArrayLike,
    weight_new: npt.ArrayLike,
    beta: npt.ArrayLike,
) -> Array:
    """EESM over the union of the resource elements of all transmissions, from the two effective SINRs. Broadcasts.

    -beta ln((w_b exp(-s_b / beta) + w_n exp(-s_n / beta)) / (w_b + w_n)), linear; weights are resource elements. Equal
    to the EESM of the concatenated groups, so nothing but (effective SINR, weight) need be kept between rounds.
    """
    require_positive("beta", beta)
    before, new, scale = (np.asarray(v, dtype=np.float64) for v in (effective_before, effective_new, beta))
    w_before, w_new = np.asarray(weight_before, dtype=np.float64), np.asarray(weight_new, dtype=np.float64)
    floor = np.minimum(np.where(w_before > 0, before, np.inf), np.where(w_new > 0, new, np.inf))
    total = w_before * np.exp(-np.maximum(before - floor, 0) / scale) + w_new * np.exp(
        -np.maximum(new - floor, 0) / scale
    )
    return np.asarray(floor - scale * np.log(total / (w_before + w_new)))


def block_incremental_combine(
    effective_before: float, weight_before: float, effective_new: float, weight_new: float, beta: float
) -> float:
    """`incremental_combine` of one block in plain numbers; what no resource element carried counts for nothing."""
    if not weight_before or not weight_new:
        return effective_before if weight_before else effective_new
    floor = min(effective_before, effective_new)
    before, new = (
        weight if value == floor else weight * np.exp((floor - value) / beta)
        for value, weight in ((effective_before, weight_before), (effective_new, weight_new))
    )
    return float(floor - beta * np.log((before + new) / (weight_before + weight_new)))


def incremental_code_rate(code_rate: npt.ArrayLike, num_transmissions: npt.ArrayLike, base_graph: int = 1) -> Array:
    """Effective code rate after M transmissions of fresh parity: max(R / M, mother rate, but never above R)."""
    require_choice("base_graph", base_graph, tuple(MOTHER_CODE_RATE))
    rate = np.asarray(code_rate, dtype=np.float64)
    floor = np.minimum(rate, MOTHER_CODE_RATE[base_graph])
    return np.asarray(np.maximum(rate / np.asarray(num_transmissions), floor))


def incremental_equivalent_sinr(
    effective: npt.ArrayLike,
    modulation_order: npt.ArrayLike,
    code_rate: npt.ArrayLike,
    num_transmissions: npt.ArrayLike,
    base_graph: int = 1,
) -> Array:
    """SINR at which the first waterfall reads the error of M transmissions with fresh parity. Broadcasts.

    The union of M transmissions is a code of rate R' = R / M at the union's effective SINR. A code of lower rate works
    at a lower SINR; the shift is taken as that of the Shannon limit, (2^(Qm R) - 1) / (2^(Qm R') - 1), the gap to it
    being alike at both rates. Below the mother code rate the bits repeat, and the rest of M is a chase gain.

    Args:
        effective: EESM over the union of all transmissions, linear (`incremental_combine`).
        modulation_order: Qm, 1, 2, 4, 6, 8 or 10.
        code_rate: R of the first transmission, above 0 to 1.
        num_transmissions: M, >= 1.

    Notes: never below the chase gain M, and equal to it as Qm R tends to 0.
    """
    if not np.all(np.isin(modulation_order, MODULATION_ORDERS)):
        raise ValueError(f"modulation_order: got {modulation_order!r}; valid: {', '.join(map(str, MODULATION_ORDERS))}")
    require_positive("code_rate", code_rate)
    require_between("code_rate", code_rate, 0, 1)
    shift, repetition = incremental_factors(modulation_order, code_rate, num_transmissions, base_graph)
    return np.asarray(np.asarray(effective, dtype=np.float64) * shift * repetition)


def incremental_factors(
    modulation_order: npt.ArrayLike, code_rate: npt.ArrayLike, num_transmissions: npt.ArrayLike, base_graph: int = 1
) -> tuple[Array, Array]:
    """What a lower code rate and what repeated bits multiply the SINR by, see `incremental_equivalent_sinr`."""
    order, rate = np.asarray(modulation_order, dtype=np.float64), np.asarray(code_rate, dtype=np.float64)
    count = np.asarray(num_transmissions, dtype=np.float64)
    if not np.all(count >= 1):
        raise ValueError(f"num_transmissions: got {np.min(count)}; valid: >= 1")
    lower = incremental_code_rate(rate, count, base_graph)
    repetition = count * lower / rate
    shift = np.expm1(np.log(2) * order * rate) / np.expm1(np.log(2) * order * lower)
    return np.asarray(shift), np.asarray(repetition)


def incremental_gain_db(
    modulation_order: npt.ArrayLike,
    code_rate: npt.ArrayLike,
    payload_bits: npt.ArrayLike,
    num_transmissions: npt.ArrayLike,
) -> Array:
    """Gain of M equal transmissions with fresh parity over the first alone, in dB. Broadcasts.

    `incremental_equivalent_sinr` with the base graph that a payload of A bits uses: graph 2 if A <= 292, or A <= 3824
    and R <= 0.67, or R <= 1/4; else graph 1 (TS 38.212 7.2.2). A small block has parity down to rate 1/5, a large one
    down to 1/3.

    Args:
        modulation_order: Qm, 1, 2, 4, 6, 8 or 10.
        code_rate: R of the first transmission, above 0 to 1.
        payload_bits: A, the transport block without CRC, >= 1.
        num_transmissions: M, >= 1.
    """
    require_between("code_rate", code_rate, 0, 1)
    require_between("payload_bits", payload_bits, 1, np.inf)
    require_whole("num_transmissions", num_transmissions, 1)
    order, rate, bits, count = np.broadcast_arrays(modulation_order, code_rate, payload_bits, num_transmissions)
    is_second = segment(bits, rate).base_graph == 2
    first, second = (incremental_equivalent_sinr(1.0, order, rate, count, graph) for graph in (1, 2))
    return np.asarray(10 * np.log10(np.where(is_second, second, first)))
