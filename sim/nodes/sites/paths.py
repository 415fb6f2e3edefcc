"""What joins cells, sites and the cloud: delays of messages, and transfers of keys and values one after the other."""

from __future__ import annotations

from sim.core.clock import to_ns
from sim.nodes.sites.session import CLOUD
from sim.serving.sites_settings import SitesSettings


class Paths:
    """Wired paths.

    A message takes the delay and its bits over the rate, whatever else is sent: it is small, and goes before keys and
    values. Transfers of one site wait for each other.

    Args:
        settings: Keys of ``edge.sites``.
        num_sites: How many sites there are.
        backhaul_delay_ns: One way between a cell and the cloud.
        backhaul_bps: Rate there.
    """

    def __init__(self, settings: SitesSettings, num_sites: int, backhaul_delay_ns: int, backhaul_bps: float) -> None:
        self._settings = settings
        self._fronthaul = to_ns(settings.fronthaul_delay_s), settings.fronthaul_mbps * 1e6
        self._xn = to_ns(settings.xn_delay_s), settings.xn_mbps * 1e6
        self._backhaul = backhaul_delay_ns, backhaul_bps
        self._free_ns = [0] * num_sites

    def message_ns(self, cell: int, site: int, bits: float) -> int:
        """Time of a message between a cell and a site."""
        legs = [] if self._settings.placement == "per_cell" else [self._fronthaul]
        if site == CLOUD:
            legs.append(self._backhaul)
        elif site != self._settings.site_of(cell):
            legs.append(self._xn)
        return sum([delay_ns + to_ns(bits / bps) for delay_ns, bps in legs])

    def text_ns(self, site: int, bits: float) -> int:
        """Time of a text on its way to another site, or to the cloud."""
        delay_ns, bps = self._backhaul if site == CLOUD else self._xn
        return delay_ns + to_ns(bits / bps)

    def transfer_ns(self, source: int, num_bytes: float, now_ns: int) -> int:
        """Time until keys and values could be used at another site if they were sent now."""
        delay_ns, bps = self._xn
        waits_ns = max(0, self._free_ns[source] - now_ns)
        return waits_ns + to_ns(8 * num_bytes / bps) + delay_ns + to_ns(self._settings.pause_s)

    def book_transfer(self, source: int, num_bytes: float, now_ns: int) -> int:
        """The same, and later transfers of this source wait for it."""
        ns = self.transfer_ns(source, num_bytes, now_ns)
        self._free_ns[source] = max(self._free_ns[source], now_ns) + to_ns(8 * num_bytes / self._xn[1])
        return ns
