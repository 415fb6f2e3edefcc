"""The uplink MAC: scheduling requests, buffer status reports, grants after K2, configured grants."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

from channels.nr import bsr_levels_bytes
from sim.links.base import Direction
from sim.links.nr.mac.allocation import ResourceGrid
from sim.links.nr.mac.candidates import Candidates
from sim.links.nr.mac.configured_grants import ConfiguredGrants
from sim.links.nr.mac.deps import MacDeps
from sim.links.nr.mac.entity import MacEntity, PrbPlacement
from sim.links.nr.mac.pdcch import GrantBudget
from sim.links.nr.mac.power_sharing import share_by_gain, share_evenly, share_in_order
from sim.links.nr.mac.schedulers.base import Array, Indices
from sim.links.nr.phy.block import TransportBlock
from sim.links.nr.phy.carrier import RequestOpportunities
from sim.links.nr.rlc.logical_channels import LogicalChannels
from sim.links.nr.rlc.message import Message, StatusPdu

_REPORT_BYTES = {"short": 2, "long": 4}
"""Subheader and report of one logical channel group (TS 38.321 6.1.3.1); the long one has a byte more for each other
group with data."""
_NO_REQUEST = _NEVER = int(np.iinfo(np.int64).max)


def _level(levels: list[int], waiting_bytes: int) -> int:
    """Upper edge of the level that a buffer lies in, the last edge if beyond it."""
    return levels[min(bisect_left(levels, waiting_bytes), len(levels) - 1)]


class Uplink(MacEntity):
    """Devices ask, the base station grants, devices send.

    A message that finds its buffer empty causes a scheduling request in the last symbol of the first opportunity. The
    base station answers with a grant of ``sr_grant_bytes``, whose block carries data and a buffer status report; what
    the report shows is granted next. Every block carries a report. A device with nothing to send leaves its grant
    unused. Decisions for an uplink slot are taken in the last downlink slot from which K2 reaches it.

    Args:
        parts: What it is built from.
    """

    direction = Direction.UPLINK
    has_power_limits = True

    def __init__(self, deps: MacDeps) -> None:
        super().__init__(deps)
        settings, count = deps.settings, len(deps.serving)
        self._opportunities = RequestOpportunities(deps.carrier, settings.access.sr_period_slots)
        self._request_slot = np.full(count, _NO_REQUEST, dtype=np.int64)
        self._num_requests = 0
        # The earliest of them, None where it is to be found anew.
        self._first_request: int | None = None
        self._urgent: set[int] = set()
        self._planned: dict[int, list[TransportBlock]] = {}
        self._reports = {form: bsr_levels_bytes(form).tolist() for form in _REPORT_BYTES}
        self._configured = ConfiguredGrants(deps) if settings.configured_grant else None
        self._one_group = self._format_of(1)
        self._waiting: set[int] = set()
        self._reported_at = [0] * count

    def push(self, message: Message) -> None:
        """A device has a message to send, now."""
        device = message.packet.device
        was_empty = not self.queues[device].stream_bytes
        self.enqueue(message)
        if was_empty:
            self.sync_head(device)
            if not self.deps.reachable[device]:
                return
            if self._configured:
                self._waiting.add(device)
            else:
                slot = self._request(device, message.sent_ns)
                message.request_end_ns = (slot + 1) * self.carrier.slot_ns

    def push_report(self, report: StatusPdu, slot: int) -> None:
        """A device has a status report to send; it asks for a grant if nothing else waits."""
        device = report.packet.device
        was_empty = not self.queues[device].stream_bytes
        self.queues[device].push_control(report)
        self.sync_head(device)
        if was_empty and self.deps.reachable[device]:
            self.on_requeued(device, slot)

    def _request(self, device: int, now_ns: int) -> int:
        """Put a scheduling request into its opportunity; returns the slot."""
        if self._request_slot[device] == _NO_REQUEST:
            slot = self._opportunities.slot(device, now_ns)
            self._request_slot[device] = slot
            if not self._num_requests:
                self._first_request = slot
            elif self._first_request is not None:
                self._first_request = min(self._first_request, slot)
            self._num_requests += 1
            self.deps.drx.asks(device, slot)
        return self._request_slot.item(device)

    def _forget_request(self, device: int) -> None:
        """A scheduling request is not sent after all."""
        self._request_slot[device] = _NO_REQUEST
        self._num_requests -= 1
        self._first_request = None

    def _earliest_request(self) -> int:
        """Slot of the first scheduling request, of which there is one."""
        if self._first_request is None:
            self._first_request = int(self._request_slot.min())
        return self._first_request

    def flush(self, device: int, slot: int) -> None:
        """Empty a device's HARQ processes, take its grants back, and forget that it has asked."""
        super().flush(device, slot)
        for at_slot, blocks in self._planned.items():
            self._planned[at_slot] = [block for block in blocks if block.device != device]
        if self._request_slot[device] != _NO_REQUEST:
            self._forget_request(device)
        self.deps.drx.stops_asking(device, slot)
        self._urgent.discard(device)
        self._waiting.discard(device)

    def resume(self, device: int, slot: int) -> None:  # noqa: ARG002
        """The message that completes a handover or a re-establishment carries a buffer status report."""
        if not self.queues[device].stream_bytes:
            return
        if self._configured:
            self._waiting.add(device)
        else:
            levels, self.weight[device] = self._report(device, self._report_format(device)[0])
            self.set_backlog(device, sum(levels))

    def next_needed(self, slot: int) -> int | None:
        """First slot >= ``slot`` in which the uplink has something to do, the agenda apart."""
        needed = min(self._planned) if self._planned else _NEVER
        if self._waiting:
            needed = min(needed, self.carrier.next_data(self.direction, slot))
        if self.has_work:
            needed = min(needed, self.carrier.next_decision(slot))
        elif self._num_requests:
            known = self._earliest_request() + 1 + self.carrier.decision_slots
            needed = min(needed, self.carrier.next_decision(max(slot, known)))
        return None if needed == _NEVER else needed

    def known_at(self, slot: int) -> int:
        """The base station decodes what it receives: one slot and its decision time."""
        return slot + 1 + self.carrier.decision_slots

    # -- grants -----------------------------------------------------------------------------------------------------

    def decide(self, slot: int) -> None:
        """Grants for the uplink slots that are decided in this one."""
        targets = self.carrier.decided_at(slot)
        if not targets:
            return
        if self._num_requests:
            self._take_requests(slot)
        for target in targets:
            if self.has_work:
                blocks = self._grants(slot, target)
                if blocks:
                    self._planned.setdefault(target, []).extend(blocks)

    def _take_requests(self, slot: int) -> None:
        if self._earliest_request() > slot - 1 - self.carrier.decision_slots:
            return
        heard = np.flatnonzero(self._request_slot <= slot - 1 - self.carrier.decision_slots)
        self._request_slot[heard] = _NO_REQUEST
        self._num_requests -= len(heard)
        self._first_request = None
        for device in heard.tolist():
            self.set_backlog(device, max(int(self.backlog[device]), self.settings.sr_grant_bytes))
            self._urgent.add(device)

    def _grants(self, slot: int, target: int) -> list[TransportBlock]:
        """Blocks of all cells for an uplink slot."""
        num_symbols = self.carrier.data_symbols(self.direction, target)
        candidates = self.candidates(slot, num_symbols)
        self._age(target)
        blocks: list[TransportBlock] = []
        placed: list[PrbPlacement] = []
        for cell, waiting in self.cells_to_share(candidates, placed):
            grid = self.empty_grid(cell)
            busy = set(self._configured.reserve(cell, target, grid)) if self._configured else set()
            budget = self.deps.pdcch.budget(cell, self.direction)
            again = self.schedule_retransmissions(cell, (slot, target), num_symbols, grid, budget)
            blocks += again
            if waiting is None or not grid.num_free:
                continue
            busy.update(block.device for block in again)
            own = waiting.without(busy) if busy else waiting
            if self._urgent and not self._urgent.isdisjoint(own.devices.tolist()):
                urgent, own = own.parted(self._urgent)
                answered, late = self._answer_requests(cell, grid, urgent, budget)
                placed += answered
                own = own.joined(late)
            placed += self.schedule_new(cell, (slot, target), grid, own, budget)
        for block in self.make_blocks(placed, slot, target, num_symbols):
            blocks.append(block)
            self._urgent.discard(block.device)
            self.set_backlog(block.device, max(0, self.backlog.item(block.device) - block.size_bytes))
        return blocks

    def _answer_requests(
        self, cell: int, grid: ResourceGrid, urgent: Candidates, budget: GrantBudget
    ) -> tuple[list[PrbPlacement], Candidates]:
        """PRBs of small grants for devices that have asked, before all other new blocks; and those that got none."""
        placed: list[PrbPlacement] = []
        limit = 1 if self.settings.multiplexing == "tdma" else len(urgent)
        costs = self.deps.pdcch.costs
        for place, (device, count) in enumerate(zip(urgent.devices.tolist(), urgent.needed.tolist(), strict=True)):
            if len(placed) == limit or not grid.num_free:
                break
            fits = budget.fits(costs[device])
            taken = grid.take(min(count, grid.num_free), grid.order(urgent.quality[place])) if fits else None
            if taken:
                budget.take(costs[device])
                placed.append((cell, device, taken))
        if placed and self.settings.multiplexing == "tdma":
            grid.close()
        return placed, urgent.without({device for _, device, _ in placed})

    def within_power(
        self, devices: Indices, needed: Indices, priority: Array, num_prb: int, budget: GrantBudget
    ) -> tuple[Indices | None, Indices]:
        """PRBs where some need more than their power headroom: by worth, order or evenly; TDMA takes all.

        Priorities by PRB group are taken for what a PRB within the headroom is worth, those of whole queues for an
        order among them.
        """
        widths = self.adaptation.widths
        headroom = widths.headroom_prb.take(devices)
        if self.settings.multiplexing == "tdma" or np.logical_and.reduce(headroom >= needed):
            return None, needed
        limit = np.maximum(headroom, widths.smallest_prb.take(devices))
        total = np.add.reduce(priority, axis=1)
        order = (-total).argsort(kind="stable")
        # As many as there are CCEs for, in the order of priority.
        costs, cce_left = self.deps.pdcch.costs, budget.cce_left
        first: list[int] = []
        for queue in order.tolist():
            cce_left -= costs[devices.item(queue)]
            if cce_left < 0 or len(first) == budget.grants_left:
                break
            first.append(queue)
        start = np.array(first, dtype=np.int64)
        own, limit, value = needed.take(start), limit.take(start), total.take(start)
        if self.deps.scheduler.shares_evenly:
            shared = share_evenly(own, num_prb)
        elif priority.shape[1] == 1 or not len(value) or value[-1] < 0:
            shared = share_in_order(own, limit, num_prb)
        else:
            gains = widths.spread_gains.take(widths.gain_row.take(devices.take(start)), axis=0)
            shared = share_by_gain(own, limit, value, gains, num_prb)
        by_device = start.argsort()
        return start.take(by_device), shared.take(by_device)

    # -- sending ----------------------------------------------------------------------------------------------------

    def run(self, slot: int) -> None:
        """Devices send what was granted for this slot, and what they may send without asking."""
        num_symbols = self.carrier.data_symbols(self.direction, slot)
        if not num_symbols:
            return
        granted = self._planned.pop(slot, [])
        if self._configured and self._waiting:
            granted += self._configured_blocks(slot, num_symbols, granted)
        sent = [block for block in granted if block.attempt or self._load(block, slot)]
        if sent:
            if following := self._planned.get(slot + 1):
                self.deps.receiver.expect(self.direction, slot + 1, following)
            self.transmit(slot, sent)

    def _load(self, block: TransportBlock, slot: int) -> bool:
        """Fill a new block and write its buffer report; False if the device has nothing to send."""
        device = block.device
        queue = self.queues[device]
        has_groups = isinstance(queue, LogicalChannels)
        report, report_bytes = self._report_format(device) if has_groups else self._one_group
        if not self.fill(block, block.size_bytes - report_bytes, slot):
            self.num_free[device] += 1
            if queue.stream_bytes and not block.is_configured:
                # Too small for a header and a byte: ask again rather than wait for ever.
                self._request(device, slot * self.carrier.slot_ns)
            return False
        levels, block.reported_weight = self._report(device, report)
        block.reported_bytes = sum(levels) if has_groups else levels[0]
        if report_bytes:
            block.report = report, levels
        if self._num_requests and slot <= self._request_slot[device] < _NO_REQUEST:
            self._forget_request(device)
            self.deps.drx.stops_asking(device, slot)
        if not queue.stream_bytes:
            self._waiting.discard(device)
        return True

    def _report_format(self, device: int) -> tuple[str, int]:
        """Format of the buffer status report that a device would send now, and its bytes (TS 38.321 5.4.5).

        One logical channel group with data sends the short one, several the long one with a byte for each.
        """
        queue = self.queues[device]
        return self._format_of(len(queue.groups())) if isinstance(queue, LogicalChannels) else self._one_group

    def _format_of(self, num_groups: int) -> tuple[str, int]:
        form = self.settings.bsr_format
        if form == "auto":
            form = "short" if num_groups <= 1 else "long"
        if not self.settings.segment_headers:
            return form, 0
        return form, _REPORT_BYTES[form] + (max(0, num_groups - 1) if form == "long" else 0)

    def _report(self, device: int, form: str) -> tuple[tuple[int, ...], float]:
        """What a report of a device's buffer says: each group's bytes, up to the edge of its level, and their weight.

        A short report of several groups with data covers the one of highest priority only (short truncated BSR).
        """
        queue, levels = self.queues[device], self._reports[form]
        if not isinstance(queue, LogicalChannels):
            return (_level(levels, queue.buffer_bytes),), self.weight.item(device)
        groups = queue.groups()[: 1 if form == "short" else None]
        return tuple(_level(levels, group.buffer_bytes) for group in groups), sum(group.weight for group in groups)

    def _configured_blocks(self, slot: int, num_symbols: int, granted: list[TransportBlock]) -> list[TransportBlock]:
        assert self._configured is not None
        busy = {block.device for block in granted}
        blocks: list[TransportBlock] = []
        for cell in range(self.deps.num_cells):
            turn = [
                (device, prbs_per_group)
                for device, prbs_per_group in self._configured.turn(cell, slot)
                if device in self._waiting and device not in busy and self.num_free[device] > 0
            ]
            if turn:
                self.adaptation.refresh(np.array([device for device, _ in turn], dtype=np.int64), slot)
                mcs = [self._configured.mcs_of(device, prbs_per_group) for device, prbs_per_group in turn]
                placed = [(cell, device, list(prbs_per_group)) for device, prbs_per_group in turn]
                made = self.make_blocks(placed, slot, slot, num_symbols, mcs)
                for block in made:
                    block.is_configured = True
                blocks += made
        return blocks

    def configured_prbs(self, block: TransportBlock, data_slot: int) -> list[int] | None:
        """A configured grant's PRBs, for a retransmission of the same width."""
        return self._configured.of(block, data_slot) if self._configured else None

    # -- what comes back --------------------------------------------------------------------------------------------

    def on_known(self, block: TransportBlock) -> None:
        """Take the buffer report in, less what has been granted since, unless a newer one came first."""
        device = block.device
        if block.granted_bytes < self._reported_at[device]:
            return
        self._reported_at[device] = block.granted_bytes
        if block.reported_weight:
            self.weight[device] = block.reported_weight
        since = self.granted_bytes[device] - block.granted_bytes
        # A request that waits for its grant is newer than any report.
        min_bytes = self.settings.sr_grant_bytes if device in self._urgent else 0
        self.set_backlog(device, max(min_bytes, block.reported_bytes - since))

    def on_requeued(self, device: int, slot: int) -> None:
        """Lost bytes make the device ask anew, even if others wait (retxBSR-Timer, TS 38.321 5.4.5)."""
        if self._configured:
            self._waiting.add(device)
        else:
            self._request(device, slot * self.carrier.slot_ns)

    def _access_notes(self, message: Message, access_ns: int) -> dict[str, int]:
        if message.grant_ns < 0:
            return {"queue": access_ns}
        k2_ns = message.first_ns - message.grant_ns
        if not message.sent_ns <= message.request_end_ns <= message.grant_ns:
            return {"queue": access_ns - k2_ns, "k2": k2_ns} if k2_ns <= access_ns else {"queue": access_ns}
        waited_ns = message.request_end_ns - message.sent_ns
        return {"sr_wait": waited_ns, "grant": message.grant_ns - message.request_end_ns, "k2": k2_ns}
