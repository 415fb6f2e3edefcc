"""Full buffers and light load over the same cell code, without protocols. For benches and cell KPIs."""

from __future__ import annotations

import time
from dataclasses import dataclass

import simpy

from channels.addressed import generator
from sim.core.kernel import Environment, FastTimeout, start
from sim.links.base import Direction, Packet
from sim.links.nr.link import NrLink
from sim.links.nr.settings import NrLinkSettings

_MESSAGE_BITS = 8 * 1_000_000
_MESSAGES_AHEAD = 2


@dataclass(frozen=True)
class FullBufferRun:
    """What a run over full buffers, or under light load, has shown.

    Attributes:
        num_slots: Slots simulated after the warm-up.
        wall_s, cpu_s: What they took.
        link: The link; its figures count from the end of the warm-up.
    """

    num_slots: int
    wall_s: float
    cpu_s: float
    link: NrLink

    @property
    def slots_per_s(self) -> float:
        """Slots per second of wall time."""
        return self.num_slots / self.wall_s

    @property
    def slots_per_cpu_s(self) -> float:
        """Slots per second of processor time, which other work on the machine hardly changes."""
        return self.num_slots / self.cpu_s


def run_full_buffer(
    settings: NrLinkSettings,
    num_devices: int,
    num_slots: int,
    directions: tuple[Direction, ...] = (Direction.UPLINK,),
    seed: int = 1,
    warm_up_slots: int = 200,
    message_bits: int = _MESSAGE_BITS,
) -> FullBufferRun:
    """Run a cell in which every device keeps two messages waiting.

    Args:
        settings: Keys of the link.
        num_devices: Devices of all cells.
        num_slots: Slots to time, after ``warm_up_slots``.
        directions: Which directions are full.
    """
    env = Environment()
    link = NrLink(env, num_devices, seed, settings)

    def source(device: int, direction: Direction) -> simpy.events.ProcessGenerator:
        pending = [link.send(Packet(device, direction, message_bits)) for _ in range(_MESSAGES_AHEAD)]
        while True:
            yield pending.pop(0)
            pending.append(link.send(Packet(device, direction, message_bits)))

    for direction in directions:
        for device in range(num_devices):
            start(env, source(device, direction))
    return _timed(env, link, warm_up_slots, num_slots)


def run_light_load(
    settings: NrLinkSettings,
    num_devices: int,
    num_slots: int,
    rate_hz: float = 4.0,
    uplink_bits: int = 8 * 600,
    downlink_bits: int = 8 * 60,
    seed: int = 1,
    warm_up_slots: int = 2000,
) -> FullBufferRun:
    """Run cells whose devices send a message up and get an answer, again and again, with exponential times between.

    Args:
        settings: Keys of the link.
        num_devices: Devices of all cells.
        num_slots: Slots to time, after ``warm_up_slots``.
        rate_hz: Over the mean time from an answer to the next message.
        uplink_bits, downlink_bits: Message and answer.
    """
    env = Environment()
    link = NrLink(env, num_devices, seed, settings)

    def source(device: int) -> simpy.events.ProcessGenerator:
        draw = generator(seed, "light load", device)
        while True:
            yield FastTimeout(env, int(draw.exponential(1e9 / rate_hz)))
            yield link.send(Packet(device, Direction.UPLINK, uplink_bits))
            yield link.send(Packet(device, Direction.DOWNLINK, downlink_bits))

    for device in range(num_devices):
        start(env, source(device))
    return _timed(env, link, warm_up_slots, num_slots)


def _timed(env: simpy.Environment, link: NrLink, warm_up_slots: int, num_slots: int) -> FullBufferRun:
    slot_ns = link.network.carrier.slot_ns
    env.run(until=warm_up_slots * slot_ns)
    link.network.restart_kpis()
    wall, cpu = time.perf_counter(), time.process_time()
    env.run(until=(warm_up_slots + num_slots) * slot_ns)
    return FullBufferRun(num_slots, time.perf_counter() - wall, time.process_time() - cpu, link)


def loaded_cell(
    num_devices: int = 100,
    num_slots: int = 2000,
    bandwidth_mhz: float = 20.0,
    scs_khz: int = 30,
    scheduler: str = "proportional_fair",
    fading: str = "tdl_a",
    seed: int = 1,
    num_rx: int = 1,
) -> FullBufferRun:
    """Full uplink buffers, FDD (every slot carries data), OLLA, HARQ: the cell that benchmarks time.

    Args:
        num_devices: Devices of one cell.
        num_slots: Slots to time.
        num_rx: Receive antennas of the base station.
    """
    settings = NrLinkSettings(
        bandwidth_mhz=bandwidth_mhz,
        scs_khz=scs_khz,  # type: ignore[arg-type]
        tdd_pattern="F",
        scheduler=scheduler,
        fading=fading,  # type: ignore[arg-type]
        uplink_num_rx=num_rx,  # type: ignore[arg-type]
    )
    return run_full_buffer(settings, num_devices, num_slots, seed=seed)
