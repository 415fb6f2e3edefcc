"""Uniform numbers addressed by (seed, purpose, device, position), made a block at a time."""

from __future__ import annotations

from channels.addressed import generator

_BLOCK = 256


class UniformStream:
    """The n-th uniform number of each device; a device's row does not depend on the other devices.

    Args:
        seed: Master seed.
        purpose: What they are for.
        num_devices: Rows.
    """

    def __init__(self, seed: int, purpose: str, num_devices: int) -> None:
        self._seed, self._purpose = seed, purpose
        self._positions: list[int] = [0] * num_devices
        self._blocks: list[list[float]] = [[]] * num_devices

    def next(self, device: int) -> float:
        """The device's next number in [0, 1)."""
        position = self._positions[device]
        self._positions[device] = position + 1
        block, offset = divmod(position, _BLOCK)
        if not offset:
            draw = generator(self._seed, self._purpose, device, block)
            self._blocks[device] = draw.random(_BLOCK).tolist()
        return self._blocks[device][offset]
