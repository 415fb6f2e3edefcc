"""5G NR cells as a link: see ``NrLinkSettings`` for its keys and ``idle_uplink_latency_s`` for its timing."""

from sim.links.nr.idle import idle_delivery, idle_uplink_latency_s
from sim.links.nr.link import NrLink
from sim.links.nr.settings import NrLinkSettings

__all__ = ["NrLink", "NrLinkSettings", "idle_delivery", "idle_uplink_latency_s"]
