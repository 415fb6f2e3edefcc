"""One coded row as a message, or as a part of one."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from sim.decoding.core.messages import Layout
from sim.decoding.core.wire.bits import BitReader, BitWriter
from sim.decoding.core.wire.row_codec import RowCodec


class RowLayout(Layout):
    """One coded row; what is read is a coded row again.

    Args:
        codec: Codes it at both ends.
    """

    kind = "row"

    def __init__(self, codec: RowCodec) -> None:
        self.codec = codec

    @override
    def write(self, writer: BitWriter, body: Any) -> None:
        self.codec.write(writer, body)

    @override
    def read(self, reader: BitReader) -> Any:
        return self.codec.read(reader)

    @override
    def extra_bits(self, body: Any, wire_vocab_size: int) -> int:
        return self.codec.extra_bits(len(body.ids), wire_vocab_size)
