"""Bit strings: fields of any width written one after another, padded to whole bytes at the end."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[np.uint8]
Unsigned = npt.NDArray[np.unsignedinteger] | npt.NDArray[np.integer]


def bits_for(num_values: int) -> int:
    """Width of a field of ``num_values`` values, ceil(log2 num_values)."""
    if num_values < 1:
        raise ValueError(f"a field needs at least one value, got {num_values}")
    return (num_values - 1).bit_length()


class BitWriter:
    """Collects fields, most significant bit first."""

    def __init__(self) -> None:
        self._parts: list[Bits] = []
        self.num_bits = 0

    def write(self, value: int, width: int) -> None:
        """Append one unsigned integer of any width.

        Raises:
            ValueError: It does not fit.
        """
        if not 0 <= value < 1 << width:
            raise ValueError(f"{value} does not fit in {width} bits")
        if width:
            num_bytes = (width + 7) // 8
            raw = np.frombuffer(value.to_bytes(num_bytes, "big"), dtype=np.uint8)
            self._append(np.unpackbits(raw)[8 * num_bytes - width :])

    def write_array(self, values: Unsigned, width: int) -> None:
        """Append unsigned integers [n] below 2**32, each with the same width."""
        if width and len(values):
            if int(values.max()) >> width:
                raise ValueError(f"{int(values.max())} does not fit in {width} bits")
            raw = values.astype(">u4").view(np.uint8).reshape(-1, 4)
            self._append(np.unpackbits(raw, axis=1)[:, 32 - width :].reshape(-1))

    def _append(self, bits: Bits) -> None:
        self._parts.append(bits)
        self.num_bits += len(bits)

    def to_bytes(self) -> bytes:
        """All fields, zero-padded to whole bytes."""
        return np.packbits(np.concatenate(self._parts)).tobytes() if self._parts else b""


class BitReader:
    """Reads fields in the order in which they were written."""

    def __init__(self, data: bytes) -> None:
        self._bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8))
        self._at = 0

    def read(self, width: int) -> int:
        """The next unsigned integer.

        Raises:
            ValueError: The data end before the field does.
        """
        if not width:
            return 0
        bits = self._take(width)
        return int.from_bytes(np.packbits(bits).tobytes(), "big") >> (-width % 8)

    def read_array(self, count: int, width: int) -> npt.NDArray[np.int64]:
        """The next ``count`` unsigned integers of one width, [count]."""
        if not width or not count:
            return np.zeros(count, dtype=np.int64)
        bits = self._take(count * width).reshape(count, width)
        padded = np.zeros((count, 32), dtype=np.uint8)
        padded[:, 32 - width :] = bits
        return np.packbits(padded, axis=1).view(">u4").reshape(-1).astype(np.int64)

    def _take(self, count: int) -> Bits:
        if self._at + count > len(self._bits):
            raise ValueError(f"message ends {self._at + count - len(self._bits)} bits too early")
        bits = self._bits[self._at : self._at + count]
        self._at += count
        return bits
