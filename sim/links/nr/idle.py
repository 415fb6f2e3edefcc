"""Latency of one message in an idle cell with an error-free channel, walked by the real MAC."""

from __future__ import annotations

import simpy
from pydantic import ValidationError

from sim.links.base import Delivery, Direction, Packet
from sim.links.nr.carrier_settings import KEYS_DO_NOT_FIT
from sim.links.nr.settings import NrLinkSettings


def idle_delivery(
    settings: NrLinkSettings, payload_bytes: int, direction: Direction = Direction.UPLINK, arrival_s: float = 0.0
) -> Delivery:
    """How one message fares in an otherwise idle cell.

    Args:
        settings: Keys of the link.
        payload_bytes: Size of the message.
        direction: Uplink or downlink.
        arrival_s: When it is sent; slot 0 of the pattern starts at 0.
    """
    from sim.links.nr.network import Network

    env = simpy.Environment()
    network = Network(env, 1, 0, settings)
    env.run(until=env.timeout(round(arrival_s * 1e9)))
    event = network.send(Packet(0, direction, 8 * payload_bytes))
    env.run()
    delivery = event.value
    assert isinstance(delivery, Delivery)
    return delivery


def idle_uplink_latency_s(
    pattern: str,
    scs_khz: int,
    payload_bytes: int,
    k2: int | None = None,
    configured_grant: bool = False,
    bandwidth_mhz: float = 20,
    mcs: int = 20,
    sr_period_slots: int = 1,
    sr_grant_bytes: int = 512,
    gnb_decision_slots: int = 1,
    decode_latency_s: float | None = None,
    arrival_s: float = 0.0,
) -> float:
    """Seconds from sending to decoding of one uplink message in an idle cell without errors.

    The request goes in the last symbol of the first uplink slot, the grant follows ``gnb_decision_slots`` after that
    slot, the data K2 later; the first grant is of ``sr_grant_bytes``, all others of the whole carrier; decoding takes
    one slot. Layer-2 bytes are those of unsegmented datagrams.

    Args:
        pattern: TDD pattern, ``F`` for FDD.
        scs_khz: Subcarrier spacing.
        payload_bytes: Application bytes; UDP, IP and layer-2 headers are added.
        k2: Slots from grant to data; None is the smallest legal one.
        configured_grant: True sends in every uplink slot without asking.
        bandwidth_mhz: Width of the carrier; at 120 kHz, which has nothing as narrow as 20, that is taken as 50.
        mcs: Index of MCS table 1.
        arrival_s: When the message is sent; slot 0 of the pattern starts at 0.

    Raises:
        ValueError: No such pattern, bandwidth, K2, MCS or scheduling request period; the message lists the valid ones.
    """
    if scs_khz == 120 and bandwidth_mhz == 20:
        bandwidth_mhz = 50
    try:
        settings = NrLinkSettings(
            channel="ideal",
            mcs=mcs,
            tdd_pattern=pattern,
            scs_khz=scs_khz,  # type: ignore[arg-type]
            bandwidth_mhz=bandwidth_mhz,
            k2_slots=k2,
            configured_grant=configured_grant,
            sr_period_slots=sr_period_slots,
            sr_grant_bytes=sr_grant_bytes,
            gnb_decision_slots=gnb_decision_slots,
            decode_latency_s=decode_latency_s,
            segment_headers=False,
            transport_delay_s=0.0,
        )
    except ValidationError as error:
        raise ValueError(_first_problem(error)) from None
    return idle_delivery(settings, payload_bytes, Direction.UPLINK, arrival_s).total_ns / 1e9


def _first_problem(error: ValidationError) -> str:
    """What is wrong with the first key, in a line."""
    first = error.errors(include_url=False)[0]
    if first["type"] == "value_error":
        return str(first["ctx"]["error"])
    if first["type"] == KEYS_DO_NOT_FIT:
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}, got {first['input']!r}"
