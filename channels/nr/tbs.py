"""Transport block size by TS 38.214 5.1.3.2 (downlink) and 6.1.4.2 (uplink), exact and vectorised."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from channels._tables import load_table
from channels._validation import require_between, require_choice, require_positive

_MAX_RE_PER_PRB = 156
_SMALL_LIMIT_BITS = 3824


@cache
def _small_sizes() -> npt.NDArray[np.int64]:
    return np.array(load_table("nr_tbs")["small_sizes_bits"], dtype=np.int64)


def resource_elements(
    num_prb: npt.ArrayLike,
    num_symbols: npt.ArrayLike,
    dmrs_re_per_prb: npt.ArrayLike,
    overhead_re_per_prb: npt.ArrayLike,
) -> npt.NDArray[np.int64]:
    """N_RE = min(156, 12 N_sym - N_DMRS - N_oh) N_PRB, the resource elements that size a transport block."""
    per_prb = 12 * np.asarray(num_symbols) - np.asarray(dmrs_re_per_prb) - np.asarray(overhead_re_per_prb)
    if np.any(per_prb <= 0):
        raise ValueError(f"dmrs_re_per_prb + overhead_re_per_prb: leave {int(np.min(per_prb))} RE per PRB; valid: > 0")
    return np.asarray(np.minimum(_MAX_RE_PER_PRB, per_prb) * np.asarray(num_prb), dtype=np.int64)


def quantise_transport_block_bits(info_bits: npt.ArrayLike, code_rate: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """TBS of an unquantised N_info (steps 2 to 4 of TS 38.214 5.1.3.2). Broadcasts; int64.

    N_info <= 3824 goes to the smallest entry of Table 5.1.3.2-1 that is not smaller; above, to a size whose code
    blocks come out equal and byte-aligned.
    """
    info, rate = np.broadcast_arrays(np.asarray(info_bits, dtype=np.float64), np.asarray(code_rate, dtype=np.float64))
    sizes = _small_sizes()

    small = np.minimum(np.maximum(info, 1.0), _SMALL_LIMIT_BITS)
    step = 2.0 ** np.maximum(3, np.floor(np.log2(small)) - 6)
    quantised = np.maximum(24, step * np.floor(small / step))
    small_bits = sizes[np.searchsorted(sizes, quantised)]

    large = np.maximum(info, _SMALL_LIMIT_BITS + 1) - 24
    step = 2.0 ** (np.floor(np.log2(large)) - 5)
    # round() of the clause: ties go up.
    quantised = np.maximum(3840, step * np.floor(large / step + 0.5))
    limit = np.where(rate <= 0.25, 3816, 8424)
    num_blocks = np.where((rate <= 0.25) | (quantised > 8424), np.ceil((quantised + 24) / limit), 1)
    large_bits = 8 * num_blocks * np.ceil((quantised + 24) / (8 * num_blocks)) - 24

    return np.asarray(np.where(info <= _SMALL_LIMIT_BITS, small_bits, large_bits), dtype=np.int64)


def transport_block_bits(
    num_prb: npt.ArrayLike,
    num_symbols: npt.ArrayLike,
    dmrs_re_per_prb: npt.ArrayLike,
    overhead_re_per_prb: npt.ArrayLike,
    modulation_order: npt.ArrayLike,
    code_rate: npt.ArrayLike,
    num_layers: npt.ArrayLike = 1,
    tb_scaling: float = 1.0,
) -> int | npt.NDArray[np.int64]:
    """Transport block size [bit], CRC excluded (TS 38.214 5.1.3.2, 6.1.4.2).

    Args:
        num_prb: allocated PRBs, >= 1.
        num_symbols: allocated OFDM symbols, 1 to 14.
        dmrs_re_per_prb: N_DMRS, resource elements of DMRS (with its CDM groups) per PRB.
        overhead_re_per_prb: N_oh (xOverhead), 0, 6, 12 or 18.
        modulation_order: Qm, 1, 2, 4, 6, 8 or 10.
        code_rate: target code rate R in (0, 1], not R x 1024.
        num_layers: v, 1 to 8.
        tb_scaling: S, 1 except for paging and random access (0.5, 0.25).

    Returns:
        int for scalars, else int64 array of the broadcast shape.
    """
    require_between("num_prb", num_prb, 1, 275)
    require_between("num_symbols", num_symbols, 1, 14)
    require_between("num_layers", num_layers, 1, 8)
    require_positive("code_rate", code_rate)
    require_between("code_rate", code_rate, 0, 1)
    require_choice("tb_scaling", tb_scaling, (1.0, 0.5, 0.25))
    if not np.all(np.isin(modulation_order, (1, 2, 4, 6, 8, 10))):
        raise ValueError(f"modulation_order: got {modulation_order!r}; valid: 1, 2, 4, 6, 8, 10")
    if not np.all(np.isin(overhead_re_per_prb, (0, 6, 12, 18))):
        raise ValueError(f"overhead_re_per_prb: got {overhead_re_per_prb!r}; valid: 0, 6, 12, 18")
    num_re = resource_elements(num_prb, num_symbols, dmrs_re_per_prb, overhead_re_per_prb)
    info = tb_scaling * num_re * np.asarray(code_rate) * np.asarray(modulation_order) * np.asarray(num_layers)
    bits = quantise_transport_block_bits(info, code_rate)
    return int(bits) if bits.ndim == 0 else bits
