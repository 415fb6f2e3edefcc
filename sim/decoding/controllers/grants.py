"""Grants: a draft length that the edge has decided on, told to the device with each verdict."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from typing_extensions import override

from sim.decoding.core.controller import Controller, Controls, RequestState
from sim.decoding.core.messages import Layout
from sim.decoding.core.wire.bits import BitReader, BitWriter, bits_for


class GrantedController(Controller):
    """A controller whose edge says how much its device drafts next; the bits of that are on the air.

    Until its first verdict a device drafts the scenario's length. Where the edge drafts by itself there is no message
    to wait for.

    Args:
        settings: Its keys; ``max_draft_length`` is one of them.
    """

    adjusts = ("draft_length",)

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self._granted: int | None = None
        self._waits_for_verdicts = False

    @abstractmethod
    def grant(self, request: RequestState) -> int:
        """At the edge: take in the rounds that have ended, and say how much this device may draft next."""

    @override
    def upper_bound(self, controls: Controls) -> Controls:
        return controls.with_draft_length(self.settings.max_draft_length)

    @override
    def on_verdicts(self, request: RequestState, layout: Layout) -> Layout:
        self._waits_for_verdicts = True
        return GrantLayout(layout, self, request)

    @property
    def grant_bits(self) -> int:
        """Width of a grant on the air."""
        return bits_for(self.settings.max_draft_length + 1)

    def hear(self, granted: int) -> None:
        """At the device: a grant has arrived."""
        self._granted = granted

    def as_granted(self, request: RequestState, controls: Controls) -> Controls:
        """The controls with the draft length that was granted last."""
        if not self._waits_for_verdicts:
            self._granted = self.grant(request)
        length = self._granted
        if length is None:
            length = min(controls.draft_length, self.settings.max_draft_length)
        return controls.with_draft_length(length)


class GrantLayout(Layout):
    """A verdict with the draft length of the device's next round before it.

    Args:
        verdicts: The protocol's own layout.
        controller: The device's, which at the edge computes grants and at the device hears them.
        request: Whose verdicts these are.
    """

    kind = "verdict"

    def __init__(self, verdicts: Layout, controller: GrantedController, request: RequestState) -> None:
        self.kind = verdicts.kind  # type: ignore[misc]
        self._verdicts = verdicts
        self._controller = controller
        self._request = request

    @override
    def write(self, writer: BitWriter, body: Any) -> None:
        writer.write(self._controller.grant(self._request), self._controller.grant_bits)
        self._verdicts.write(writer, body)

    @override
    def read(self, reader: BitReader) -> Any:
        self._controller.hear(reader.read(self._controller.grant_bits))
        return self._verdicts.read(reader)

    @override
    def extra_bits(self, body: Any, wire_vocab_size: int) -> int:
        return self._verdicts.extra_bits(body, wire_vocab_size)
