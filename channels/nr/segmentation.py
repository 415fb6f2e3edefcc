"""Code-block segmentation of a transport block (TS 38.212 5.2.2, 6.2.1, 7.2.1): counts, sizes and CRCs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from channels._validation import require_positive

_CODE_BLOCK_CRC_BITS = 24


@dataclass(frozen=True)
class Segmentation:
    """Code blocks of transport blocks; every field has the shape of the input.

    Attributes:
        base_graph: LDPC base graph, 1 or 2 (TS 38.212 7.2.2).
        num_code_blocks: C.
        code_block_bits: K', bits of one code block with its own CRC and its share of the TB CRC, before fillers.
        tb_crc_bits: 16 up to 3824 bits, 24 above.
        cb_crc_bits: 24 when C > 1, else 0.
    """

    base_graph: npt.NDArray[np.int64]
    num_code_blocks: npt.NDArray[np.int64]
    code_block_bits: npt.NDArray[np.int64]
    tb_crc_bits: npt.NDArray[np.int64]
    cb_crc_bits: npt.NDArray[np.int64]


def segment(transport_block_bits: npt.ArrayLike, code_rate: npt.ArrayLike) -> Segmentation:
    """Segmentation of transport blocks [bit] sent at target code rate R in (0, 1]; broadcasts."""
    require_positive("transport_block_bits", transport_block_bits)
    require_positive("code_rate", code_rate)
    bits, rate = np.broadcast_arrays(
        np.asarray(transport_block_bits, dtype=np.int64), np.asarray(code_rate, dtype=np.float64)
    )
    graph_two = (bits <= 292) | ((bits <= 3824) & (rate <= 0.67)) | (rate <= 0.25)
    largest = np.where(graph_two, 3840, 8448)
    tb_crc = np.where(bits <= 3824, 16, 24)
    total = bits + tb_crc
    count = np.where(total <= largest, 1, -(-total // (largest - _CODE_BLOCK_CRC_BITS)))
    cb_crc = np.where(count > 1, _CODE_BLOCK_CRC_BITS, 0)
    size = -(-total // count) + cb_crc
    return Segmentation(
        np.where(graph_two, 2, 1).astype(np.int64),
        count.astype(np.int64),
        size.astype(np.int64),
        tb_crc.astype(np.int64),
        cb_crc.astype(np.int64),
    )


def transport_block_error(code_block_error: npt.ArrayLike, num_code_blocks: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """TBLER = 1 - (1 - CBLER)^C for independent code blocks, computed without cancellation at small errors."""
    cbler = np.clip(np.asarray(code_block_error, dtype=np.float64), 0.0, 1.0)
    with np.errstate(divide="ignore"):
        return np.asarray(-np.expm1(np.asarray(num_code_blocks) * np.log1p(-cbler)))
