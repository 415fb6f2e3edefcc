"""Small-scale fading of all links of a network: to the serving sites in full, to all other sites in fewer paths."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from channels.addressed import uniforms
from channels.fading import FadingChannel, IndependentFading, ProfileBank
from channels.link_profiles import LinkProfiles
from channels.mimo_fading import AntennaArrays, MimoFading
from channels.recorded import FadingTrace, RecordedFading
from channels.small_scale import draw_small_scale, small_scale_parameters
from channels.tap_profiles import rayleigh_profile
from sim.core.errors import InputError
from sim.links.base import Direction
from sim.links.nr.phy.carrier import Carrier
from sim.links.nr.phy.gains_ahead import GainsAhead, GainsWithNext
from sim.links.nr.settings import NrLinkSettings

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
MAX_SITES = 19
MAX_STREAMS = 2
"""Layers of an interfering block whose directions are kept separate; what further ones bring counts as white noise."""
MANY_DEVICES = 64
"""Devices from which on compiled code does what it does faster, to the same bits; it takes a while to be imported."""
BUSY_SLOTS = 2000
"""Slots with anything to do after which it is used for fewer devices, too: there may be many more."""
# An interfering link has fewer paths than a serving one: there are many of them.
_CROSS_TAPS, _CROSS_SINUSOIDS, _CROSS_FLAT_SINUSOIDS = 6, 4, 32
# Without fading the direct path is all there is.
_ONLY_DIRECT = 1e9


def are_many(num_devices: int) -> bool:
    """Whether compiled code is worth its import."""
    return num_devices >= MANY_DEVICES


class Fading(Protocol):
    """Small-scale power gains of mean 1."""

    def power_gains(self, time_s: float, devices: Indices | None = None) -> npt.NDArray[np.float32]:
        """[num_devices, num_groups]."""


@dataclass(frozen=True)
class LinkStates:
    """What the small-scale fading of links follows, by device and site.

    Attributes:
        is_los: Line of sight and outdoors, [num_devices, num_sites].
        is_indoor: [num_devices].
        bs_sine: Sine of the azimuth of the direct path off the base station's boresight, [num_devices, num_sites].
        serving_site: [num_devices].
    """

    is_los: Bools
    is_indoor: Bools
    bs_sine: Array
    serving_site: Indices

    def are_those_of(self, other: LinkStates | None) -> bool:
        """Whether tap profiles are the same."""
        if other is None:
            return False
        return np.array_equal(self.is_los, other.is_los) and np.array_equal(self.serving_site, other.serving_site)


class SmallScale:
    """Fading by direction, slot, device and site.

    Args:
        carrier: The carrier.
        settings: Keys of the link.
        speeds_m_s: Speed of each device, [num_devices].
        seed: Master seed.

    Attributes:
        num_rx, num_tx: Antennas of each direction.
        is_multi: Whether any direction has several antennas at either end.
        is_compiled: Whether there is so much to do that compiled code is worth its import.
    """

    def __init__(self, carrier: Carrier, settings: NrLinkSettings, speeds_m_s: Array, seed: int) -> None:
        self.carrier, self.settings, self._seed = carrier, settings, seed
        self._speeds_m_s, self.num_devices = speeds_m_s, len(speeds_m_s)
        up, down = Direction.UPLINK, Direction.DOWNLINK
        self.num_rx = {up: settings.bs_num_rx, down: settings.num_rx}
        self.num_tx = {up: settings.ue_num_tx, down: settings.num_tx}
        self.is_compiled = are_many(self.num_devices)
        self.is_multi = max(*self.num_rx.values(), *self.num_tx.values()) > 1
        # What the fading of a direction is addressed by: nothing, on a carrier that they share.
        self._name = {one: str(one) if carrier.pattern.is_fdd else "reciprocal" for one in Direction}
        self._states: LinkStates | None = None
        self._ue_orientation = (
            2 * np.pi * uniforms(seed, "device orientation", entities=np.arange(self.num_devices), count=1).ravel()
        )
        self._fixed: Fading | None = None
        if settings.fading_trace is not None:
            self._fixed = self._recorded(settings.fading_trace)
        elif settings.fading == "independent":
            tick_s = carrier.slot_ns * 1e-9
            self._independent = {
                name: IndependentFading(self.num_devices, carrier.num_groups, seed, name, tick_s)
                for name in sorted(set(self._name.values()))
            }
        self._profiles = self._cross_profiles = None
        if settings.fading_trace is None and settings.fading not in ("none", "independent"):
            self._profiles = LinkProfiles(settings.fading, carrier.group_centres_hz)
            self._cross_profiles = LinkProfiles(settings.fading, carrier.group_centres_hz, _CROSS_TAPS)
        self._serving: dict[str, FadingChannel | MimoFading] = {}
        self._cross: dict[str, FadingChannel | MimoFading] = {}
        # By direction and steps between the slots that are asked about.
        self._ahead: dict[tuple[Direction, int | None], GainsAhead] = {}
        self._with_next = {one: GainsWithNext(partial(self._gains, one)) for one in Direction}

    def use_compiled_code(self) -> None:
        """Go on with compiled code, to the same bits."""
        self.is_compiled = True
        for fading in (*self._serving.values(), *self._cross.values()):
            fading.use_compiled_code()

    # -- set-up -----------------------------------------------------------------------------------------------------

    def _recorded(self, path: str) -> Fading:
        try:
            recorded = RecordedFading(FadingTrace.load(Path(path)), self.num_devices)
        except (OSError, ValueError) as error:
            raise InputError(str(error), "link.fading_trace") from error
        if recorded.num_groups != self.carrier.num_groups:
            raise InputError(
                f"got {recorded.num_groups} PRB groups; valid: {self.carrier.num_groups}, the carrier's",
                "link.fading_trace",
            )
        return recorded

    def renew(self, states: LinkStates) -> None:
        """Take the links' states anew; profiles follow where they have changed, directions of paths always."""
        is_same = states.are_those_of(self._states)
        self._states = states
        self._ahead.clear()
        for gains in self._with_next.values():
            gains.clear()
        if is_same and not self.is_multi:
            return
        for fading in self._serving.values():
            self._use_serving_profiles(fading)
        for fading in self._cross.values():
            self._use_cross_profiles(fading)

    def _spreads(self, links: Indices, is_los: Bools, is_indoor: Bools) -> tuple[Array, Array]:
        """(delay spread [s], K linear) of links by their state; drawn, medians, or by the keys. [num_links] each."""
        settings = self.settings
        scenario, carrier_ghz = settings.scenario, settings.carrier_ghz
        spread, k = np.empty(len(links)), np.empty(len(links))
        states = np.where(is_indoor, 2, np.where(is_los, 0, 1))
        for code, state in enumerate(("los", "nlos", "o2i")):
            rows = np.flatnonzero(states == code)
            if not len(rows):
                continue
            parameters = small_scale_parameters(scenario, state, carrier_ghz)
            # A profile with a direct path that the scenario does not give one takes that of links in sight.
            sight = small_scale_parameters(scenario, "los", carrier_ghz)
            spread[rows], k[rows] = parameters.median_delay_spread_s, sight.median_k_linear
            if settings.delay_spread_ns == "drawn":
                spread[rows] = draw_small_scale(scenario, state, carrier_ghz, self._seed, links[rows])[0]
            if settings.rician_k_db == "drawn":
                k[rows] = draw_small_scale(scenario, "los", carrier_ghz, self._seed, links[rows])[1]
        if isinstance(settings.delay_spread_ns, float):
            spread[:] = settings.delay_spread_ns * 1e-9
        if isinstance(settings.rician_k_db, float):
            k[:] = 10 ** (settings.rician_k_db / 10)
        return spread, k

    # -- serving links ----------------------------------------------------------------------------------------------

    def _serving_fading(self, direction: Direction) -> FadingChannel | MimoFading:
        name = self._name[direction]
        fading = self._serving.get(name)
        if fading is None:
            fading = self._serving[name] = self._make(name, np.arange(self.num_devices), self._serving_arrays())
            self._use_serving_profiles(fading)
        return fading

    def _serving_arrays(self) -> AntennaArrays | None:
        if not self.is_multi:
            return None
        up, down = Direction.UPLINK, Direction.DOWNLINK
        settings = self.settings
        num_bs, num_ue = max(self.num_rx[up], self.num_tx[down]), max(self.num_rx[down], self.num_tx[up])
        return AntennaArrays(num_bs, num_ue, settings.antenna_correlation, settings.polarisation)

    def _make(
        self, name: str, ids: Indices, arrays: AntennaArrays | None, is_cross: bool = False
    ) -> FadingChannel | MimoFading:
        """Fading of links with these identities, link by link of a device in a row."""
        profiles = self._cross_profiles if is_cross else self._profiles
        bank = profiles.bank if profiles else _flat_bank(self.carrier.group_centres_hz)
        if not len(bank.k_linear):
            # A bank is never empty, so that fading can be built before the states are known.
            assert profiles is not None
            profiles.of(np.zeros(1, dtype=bool), np.full(1, 1e-7), np.zeros(1))
        sinusoids = (_CROSS_SINUSOIDS if bank.num_taps > 1 else _CROSS_FLAT_SINUSOIDS) if is_cross else None
        speeds = np.repeat(self._speeds_m_s, len(ids) // max(1, self.num_devices))
        carrier_ghz = self.settings.carrier_ghz
        if arrays is None:
            return FadingChannel(
                bank, speeds, carrier_ghz, [0.0], self._seed, ids, name, sinusoids, is_compiled=self.is_compiled
            )
        return MimoFading(
            arrays, bank, speeds, carrier_ghz, self._seed, ids, name, sinusoids, is_compiled=self.is_compiled
        )

    def _use_serving_profiles(self, fading: FadingChannel | MimoFading) -> None:
        assert self._states is not None
        states, rows = self._states, np.arange(self.num_devices)
        site = states.serving_site
        links = rows * MAX_SITES + site
        self._use(
            fading, self._profiles, links, states.is_los[rows, site], states.is_indoor, states.bs_sine[rows, site]
        )

    def _use(
        self,
        fading: FadingChannel | MimoFading,
        profiles: LinkProfiles | None,
        links: Indices,
        is_los: Bools,
        is_indoor: Bools,
        bs_sine: Array,
    ) -> None:
        if profiles is None:
            index, k = np.zeros(len(links), dtype=np.int64), np.full(len(links), _ONLY_DIRECT)
        else:
            index, k = profiles.of(is_los, *self._spreads(links, is_los, is_indoor))
        if isinstance(fading, FadingChannel) or profiles is None:
            fading.use_profiles(index, k)
            return
        ue_sine = np.sin(np.arcsin(bs_sine) + self._ue_orientation[links // MAX_SITES])
        fading.use_profiles(index, k, bs_sine, ue_sine)

    def power_gains(self, direction: Direction, slot: int, devices: Indices, step_slots: int | None = None) -> Array:
        """|H|^2 of devices to their sites at the start of a slot. [num_devices, num_groups].

        Of one antenna at either end its mean is 1; of several, what maximum-ratio combining makes of the receive
        antennas, averaged over the transmit antennas.

        Args:
            step_slots: How many slots later this will be asked next, if it is asked regularly; by default in the next
                slot that carries data of the direction. It makes no difference to the gains.
        """
        time_s = self._time_s(slot)
        if self._fixed is not None:
            return self._fixed.power_gains(time_s, devices).astype(np.float64)
        if self.settings.fading == "independent":
            return self._independent[self._name[direction]].power_gains(time_s, devices).astype(np.float64)
        if self.settings.fading == "none":
            return np.ones((len(devices), self.carrier.num_groups))
        if not self.is_multi and are_many(self.num_devices):
            # They take turns: of blocks of slots ahead, most rows would not be asked about.
            if step_slots is None:
                return self._with_next[direction].of(slot, devices)
            return self._gains(direction, np.full(len(devices), slot), devices)
        if not self.is_multi:
            return self._gains_ahead(direction, step_slots).of(slot, devices)
        power = np.abs(self.matrices(direction, slot, devices)).astype(np.float64) ** 2
        return np.asarray(power.sum(axis=-2).mean(axis=-1))

    def expect(self, direction: Direction, slot: int, devices: list[int]) -> None:
        """Gains of these devices will probably be asked about in a slot to come."""
        self._with_next[direction].expect(slot, devices)

    def _gains(self, direction: Direction, slots: Indices, devices: Indices) -> Array:
        """|H|^2 of one antenna at either end, each device in a slot of its own. [num_rows, num_groups]."""
        fading = self._serving_fading(direction)
        assert isinstance(fading, FadingChannel)
        times_s = np.maximum(slots, 0) * self.carrier.slot_ns * 1e-9
        return fading.power_gains(times_s, devices).astype(np.float64)

    def _gains_ahead(self, direction: Direction, step_slots: int | None) -> GainsAhead:
        found = self._ahead.get((direction, step_slots))
        if found is None:

            def following(slot: int) -> int:
                return self.carrier.next_data(direction, slot + 1) if step_slots is None else slot + step_slots

            found = GainsAhead(partial(self._gains, direction), following, self.num_devices)
            self._ahead[direction, step_slots] = found
        return found

    def matrices(self, direction: Direction, slot: int, devices: Indices) -> npt.NDArray[np.complex64]:
        """Channels of devices to or from their sites. [num_devices, num_groups, num_rx, num_tx]."""
        fading = self._serving_fading(direction)
        assert isinstance(fading, MimoFading)
        num_rx, num_tx = self.num_rx[direction], self.num_tx[direction]
        if direction == Direction.UPLINK:
            return fading.matrices(self._time_s(slot), devices, num_rx, num_tx)
        return fading.matrices(self._time_s(slot), devices, num_tx, num_rx).swapaxes(-1, -2)

    # -- links to other sites ---------------------------------------------------------------------------------------

    @property
    def serving_site(self) -> Indices:
        """Site that serves each device, [num_devices]."""
        assert self._states is not None
        return self._states.serving_site

    @property
    def cross_fades(self) -> bool:
        """Whether links to other sites fade at all: not with a recorded channel, nor without small-scale fading."""
        return self._fixed is None and self.settings.fading != "none"

    def _cross_fading(self, direction: Direction) -> FadingChannel | MimoFading:
        key = str(direction) if self.is_multi else self._name[direction]
        fading = self._cross.get(key)
        if fading is None:
            ids = (np.arange(self.num_devices)[:, None] * MAX_SITES + np.arange(self._num_sites)).ravel()
            arrays = None
            if self.is_multi:
                streams = min(self.num_tx[direction], MAX_STREAMS)
                receiver = (self.num_rx[direction], streams)
                bs, ue = receiver if direction == Direction.UPLINK else receiver[::-1]
                arrays = AntennaArrays(bs, ue, self.settings.antenna_correlation)
            fading = self._cross[key] = self._make(f"{key} to sites", ids, arrays, is_cross=True)
            self._use_cross_profiles(fading)
        return fading

    @property
    def _num_sites(self) -> int:
        return self.settings.num_sites

    def _use_cross_profiles(self, fading: FadingChannel | MimoFading) -> None:
        assert self._states is not None
        states = self._states
        links = (np.arange(self.num_devices)[:, None] * MAX_SITES + np.arange(self._num_sites)).ravel()
        is_indoor = np.repeat(states.is_indoor, self._num_sites)
        self._use(fading, self._cross_profiles, links, states.is_los.ravel(), is_indoor, states.bs_sine.ravel())

    def cross_powers(self, direction: Direction, slot: int, devices: Indices, sites: Indices) -> Array:
        """|H|^2 between devices and sites, first antennas, mean 1; to the serving site that of ``power_gains``.

        Args:
            devices, sites: The links' ends, [num_links].

        Returns:
            [num_links, num_groups]
        """
        if not self.cross_fades:
            return np.ones((len(devices), self.carrier.num_groups))
        rows = devices * self._num_sites + sites
        if self.settings.fading == "independent":
            gains = self._independent_cross(direction).power_gains(self._time_s(slot), rows).astype(np.float64)
        else:
            fading = self._cross_fading(direction)
            assert isinstance(fading, FadingChannel)
            gains = fading.power_gains(self._time_s(slot), rows).astype(np.float64)
        own = self._own(devices, sites)
        if len(own):
            gains[own] = self.power_gains(direction, slot, devices[own])
        return gains

    def _independent_cross(self, direction: Direction) -> IndependentFading:
        name = f"{self._name[direction]} to sites"
        if name not in self._independent:
            count = self.num_devices * self._num_sites
            tick_s = self.carrier.slot_ns * 1e-9
            self._independent[name] = IndependentFading(count, self.carrier.num_groups, self._seed, name, tick_s)
        return self._independent[name]

    def cross_vectors(
        self, direction: Direction, slot: int, devices: Indices, sites: Indices
    ) -> npt.NDArray[np.complex64]:
        """Channels between devices and other sites: what each of two streams brings to each receive antenna.

        Args:
            devices, sites: The links' ends, [num_links]; for the serving site take ``matrices``.

        Returns:
            [num_links, num_groups, num_rx, num_streams]
        """
        return self.vectors_of_links(direction, slot, devices * self._num_sites + sites)

    def vectors_of_links(self, direction: Direction, slot: int, links: Indices) -> npt.NDArray[np.complex64]:
        """`cross_vectors` of links by their numbers, device * num_sites + site. [num_links, ...]."""
        fading = self._cross_fading(direction)
        assert isinstance(fading, MimoFading)
        matrices = fading.matrices(self._time_s(slot), links)
        return matrices if direction == Direction.UPLINK else matrices.swapaxes(-1, -2)

    def _own(self, devices: Indices, sites: Indices) -> Indices:
        """Which links are to the serving site."""
        assert self._states is not None
        return np.flatnonzero(self._states.serving_site[devices] == sites)

    def _time_s(self, slot: int) -> float:
        return max(0, slot) * self.carrier.slot_ns * 1e-9


def _flat_bank(frequencies_hz: Array) -> ProfileBank:
    bank = ProfileBank(frequencies_hz, 1)
    bank.add([rayleigh_profile()])
    return bank
