"""Keys of the ``nr`` link: access, retransmission, scheduling, channel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from channels._validation import require_choice
from channels.geometry import SiteLayout
from channels.large_scale import BS_HEIGHT_M
from channels.nr import SYMBOLS_PER_SLOT, check_sr_period, mcs_table, min_k2, num_prb
from channels.nr.bandwidth import frequency_range_of
from channels.power import FRACTIONAL_ALPHAS
from sim.core.clock import NS_PER_S
from sim.core.errors import InputError
from sim.core.settings import problems_error
from sim.links.nr.access_profiles import PROFILES, AccessProfile, ProfileName
from sim.links.nr.antenna_settings import AntennaSettings
from sim.links.nr.carrier_settings import (
    KEYS_DO_NOT_FIT,
    MIN_BLOCK_BYTES,
    CarrierSettings,
    header_misfits,
    smallest_blocks,
)
from sim.links.nr.ineffective import contradictions, notes_of
from sim.links.nr.mac.csi_settings import CsiSettings
from sim.links.nr.mac.drx_settings import SleepSettings
from sim.links.nr.mac.report_settings import ReportSettings
from sim.links.nr.mac.schedulers.registry import SCHEDULERS
from sim.links.nr.model_ranges import (
    Misfit,
    band_misfits,
    carrier_misfits,
    height_misfits,
    indoor_misfits,
    place_misfits,
)
from sim.links.nr.rlc.settings import RlcSettings
from sim.links.nr.rrc.settings import MobilitySettings
from sim.links.nr.rrc.state_settings import StateSettings
from sim.links.nr.traffic.settings import TrafficSettings


class AccessSettings(CarrierSettings):
    """How a device comes to send, and how long everyone takes to answer."""

    profile: ProfileName = "lab"
    """What the keys of access that are left out are: the least that the standard allows (``lab``), or as public
    networks are set (``commercial``: K1 and K2 of 4, scheduling requests every 40 slots, 2 slots of decision, a DRX
    cycle of 0.16 s)."""

    k2_slots: int | None = Field(default=None, ge=0, le=32)
    """Least slots from a grant to its PUSCH; left out, that of the profile: the smallest that the device's preparation
    time allows, or 4."""

    k1_slots: int | None = Field(default=None, ge=0, le=32)
    """Least slots from PDSCH to its acknowledgement; left out, the smallest that processing allows, or 4."""

    gnb_decision_slots: int | None = Field(default=None, ge=0, le=64)
    """Whole slots between what the base station receives and the first grant that can follow from it; left out, 1, or
    2 in the commercial profile."""

    decode_latency_s: float | None = Field(default=None, ge=0, le=1)
    """From the end of a block's last symbol to its delivery upwards [s]; one slot if left out."""

    sr_period_slots: int | None = Field(default=None)
    """Period of a device's scheduling request opportunities [slots], one that TS 38.331 has (at 30 kHz 1, 2, 4, 8,
    10, 16, 20, 40, 80, 160); 1 is every uplink slot. Left out, 1, or 40 in the commercial profile."""

    sr_grant_bytes: int = Field(default=512, ge=1, le=100_000)
    """Size of the grant that answers a scheduling request [byte]; it carries data beside the buffer status report."""

    bsr_format: Literal["auto", "short", "long"] = "auto"
    """Buffer status report (TS 38.321 6.1.3.1): 5-bit levels (``short``, 2 bytes) or 8-bit ones (``long``, 4 bytes for
    one logical channel group); ``auto`` sends the long one where several logical channel groups have data."""

    configured_grant: bool = False
    """True gives each device periodic uplink resources of its own, of one MCS (type 1 of TS 38.331):
    no request and no grant before sending."""

    configured_grant_prb: int | None = Field(default=None, ge=1, le=275)
    """PRBs of one configured grant; an equal share of the carrier if left out. Devices take turns if need be."""

    segment_headers: bool = True
    """False charges no header for cutting a datagram between blocks and none for the buffer status report."""

    transport_delay_s: float = Field(default=0.0002, ge=0, le=10)
    """Base station to edge, one way [s]; 0.2 ms is an edge node at the base station."""

    @field_validator("sr_period_slots")
    @classmethod
    def _sr_period_is_legal(cls, period_slots: int | None, info: ValidationInfo) -> int | None:
        if period_slots is not None and "scs_khz" in info.data:
            check_sr_period(period_slots, info.data["scs_khz"])
        return period_slots

    @field_validator("configured_grant_prb")
    @classmethod
    def _width_needs_configured_grants(cls, num_prbs: int | None, info: ValidationInfo) -> int | None:
        if num_prbs is not None and info.data.get("configured_grant") is False:
            raise ValueError("configured_grant_prb means nothing without configured_grant: true")
        return num_prbs

    @field_validator("k2_slots")
    @classmethod
    def _k2_is_possible(cls, k2_slots: int | None, info: ValidationInfo) -> int | None:
        if k2_slots is not None and "scs_khz" in info.data:
            # Capability 2 is the faster one; it does not exist at 120 kHz.
            scs_khz = info.data["scs_khz"]
            coreset = max(1, info.data.get("pdcch_symbols", 1))
            unit = info.data.get("mini_slot_symbols") or SYMBOLS_PER_SLOT
            min_slots = min_k2(scs_khz, 1 if scs_khz == 120 else 2, coreset, unit)
            if k2_slots < min_slots:
                raise ValueError(f"k2_slots at {scs_khz} kHz: got {k2_slots}; valid: {min_slots} to 32")
        return k2_slots

    @property
    def access(self) -> AccessProfile:
        """The profile, with what is set instead of it."""
        keys = {key: getattr(self, key, None) for key in AccessProfile._fields}
        return PROFILES[self.profile]._replace(**{key: value for key, value in keys.items() if value is not None})


class ReliabilitySettings(AccessSettings):
    """Link adaptation and retransmissions."""

    mcs_table: Literal[1, 2, 3] = 1
    """MCS table of TS 38.214 5.1.3.1: 1 up to 64QAM, 2 up to 256QAM, 3 for low rates."""

    mcs: int | None = Field(default=None)
    """A fixed MCS index, 0 to 28 or 27 by ``mcs_table``; left out, it follows the reported channel."""

    target_bler: float = Field(default=0.1, ge=0.001, le=0.5)
    """Error rate of first transmissions that the outer loop holds."""

    olla_step_db: float = Field(default=0.2, ge=0, le=5)
    """Step of the outer loop on a failed first transmission [dB]; 0 switches it off."""

    olla_warm_up_blocks: int = Field(default=64, ge=0, le=10_000)
    """Blocks before the run by which a device's outer loop finds its first offset; 0 starts it at 0 dB."""

    bler_table: Literal["specran", "sionna"] = "specran"
    """Whose block error curves: our own waterfalls, or Sionna's tables."""

    harq_processes: int = Field(default=16, ge=1, le=32)
    """Blocks that a device may have in flight in one direction."""

    harq_combining: Literal["chase", "incremental", "none"] = "incremental"
    """Soft combining of a block's transmissions; ``none`` decodes each attempt alone."""

    max_harq_retransmissions: int = Field(default=4, ge=0, le=31)
    """Retransmissions of one block before the RLC takes over."""

    rlc_status_delay_s: float = Field(default=0.01, ge=0, le=10)
    """From a block's last failure to the RLC sender knowing of it, and to a device that has lost its buffer status
    report asking anew [s]."""

    max_rlc_retransmissions: int = Field(default=32, ge=1, le=1000)
    """Times that the RLC sends the same bytes anew before the radio link has failed (TS 38.322 5.3.2)."""

    @field_validator("mcs")
    @classmethod
    def _mcs_is_in_table(cls, mcs: int | None, info: ValidationInfo) -> int | None:
        if mcs is not None and "mcs_table" in info.data:
            mcs_table(info.data["mcs_table"]).check(mcs)
        return mcs


class SchedulingSettings(ReliabilitySettings):
    """Who is served."""

    scheduler: str = "proportional_fair"
    """Order of service in both directions; ``specran list schedulers`` names them."""

    multiplexing: Literal["ofdma", "tdma"] = "ofdma"
    """``ofdma`` shares a slot's PRB groups between devices; ``tdma`` gives a slot to one device."""

    prb_placement: Literal["report", "reuse"] = "report"
    """Where a device's PRBs lie: on its best groups by its channel report, wherever they are, or on the best of the
    cell's own seventh of the carrier before all others, as cells that coordinate their interference do."""

    average_window_slots: float = Field(default=100.0, ge=1, le=1e6)
    """Averaging window of served rates, in slots that carry data, for proportional fair."""

    delay_budget_s: float = Field(default=0.1, gt=0, le=100)
    """Time in which a message without a deadline of its own should arrive [s], for schedulers that look at delays."""

    max_grants_per_slot: int = Field(default=16, ge=1, le=275)
    """Grants per slot, cell and direction, at most; control channel elements are a limit of their own."""

    @field_validator("scheduler")
    @classmethod
    def _scheduler_exists(cls, name: str) -> str:
        try:
            SCHEDULERS.find(name)
        except InputError as error:
            # As a plain error, it is reported with the key that it belongs to.
            raise ValueError(str(error)) from None
        return name


Position = Annotated[tuple[float, float], Field(description="x, y [m]")]
Speed = Annotated[float, Field(ge=0, le=1000)]
Floors = Annotated[int, Field(ge=1, le=8)]
DelaySpread = Annotated[float, Field(gt=0, le=10_000)]
RicianK = Annotated[float, Field(ge=-40, le=60)]


class GeometrySettings(SchedulingSettings):
    """Where sites and devices stand."""

    scenario: Literal["umi", "uma", "rma", "inh", "inf_sl", "inf_dl", "inf_sh", "inf_dh", "inf_hh"] = "umi"
    """Propagation scenario of TR 38.901."""

    num_sites: Literal[1, 7, 19] = 1
    """Sites of the hexagonal layout; devices attach to the best cell."""

    sectors_per_site: Literal[1, 3] = 1
    """Cells per site: one with an omnidirectional antenna, or three sectors."""

    inter_site_distance_m: float = Field(default=200.0, gt=10, le=20_000)
    """Distance of neighbouring sites [m]; a cell's radius is this over sqrt 3."""

    wrap_around: bool = True
    """Repeat a layout of several sites over the whole plane, so that every cell has neighbours all around."""

    positions_m: list[Position] | None = None
    """Positions of the devices [m], one each, the first site at the origin; dropped at random if left out."""

    distances_m: list[Annotated[float, Field(ge=0)]] | None = None
    """Distances of the devices from the first site [m], one each, instead of positions."""

    min_distance_m: float = Field(default=10.0, ge=0)
    """No device is dropped nearer to a site than this [m]."""

    mobility: Literal["fixed", "linear", "random_waypoint"] = "fixed"
    """``fixed``: only the fading moves, at the given speed."""

    speed_kmh: Speed | list[Speed] = 3.0
    """Speed of the devices [km/h], for all or one each; sets the Doppler shift."""

    large_scale_period_s: float = Field(default=0.1, gt=0, le=100)
    """How often a moving device's path gain is renewed and its cells are measured [s]."""


class NrLinkSettings(
    GeometrySettings,
    AntennaSettings,
    MobilitySettings,
    CsiSettings,
    RlcSettings,
    StateSettings,
    SleepSettings,
    TrafficSettings,
    ReportSettings,
):
    """Keys of the ``nr`` link: a 5G NR cell, 20 MHz, 30 kHz, DDDSU, 3.5 GHz UMi by default."""

    channel: Literal["radio", "ideal"] = "radio"
    """``ideal``: every block arrives, but for ``block_error_rate``; needs ``mcs``."""

    block_error_rate: float = Field(default=0.0, ge=0, lt=1)
    """Independent error rate of every attempt under the ideal channel."""

    snr_db: float | list[float] | None = None
    """A fixed mean SNR per PRB in both directions [dB], for all devices or one each, instead of geometry and powers."""

    carrier_ghz: float = Field(default=3.5, ge=0.5, le=100)
    """Carrier frequency [GHz]. Below 7.125 GHz the subcarriers are 15, 30 or 60 kHz apart, from 24.25 GHz on 60 or 120
    kHz, with widths of 50 to 400 MHz; between, where 3GPP has no band yet, all widths of the tables are valid."""

    los: Literal["auto", "los", "nlos"] = "auto"
    """Line of sight: by the scenario's probability, or the same for all."""

    shadowing: bool = True
    """Log-normal shadowing, a fixed field over the plane."""

    indoor_share: float = Field(default=0.0, ge=0, le=1)
    """Share of devices indoors (umi, uma, rma)."""

    building: Literal["low", "high", "mixed"] = "low"
    """Penetration loss of buildings (TR 38.901 7.4.3); ``mixed``: half of them have a high one, as in calibrations."""

    floors: tuple[Floors, Floors] = (4, 8)
    """Fewest and most floors of a building (umi, uma); an indoor device is on one of them at random, 3 m apart (TR
    38.901 Table 7.2-1)."""

    car_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the outdoor devices that are in cars."""

    car_windows: Literal["plain", "metallised"] = "plain"
    """Penetration loss of cars: 9 or 20 dB in the mean (TR 38.901 7.4.3.2)."""

    fading: Literal["none", "rayleigh", "rician", "tdl", "tdl_a", "tdl_b", "tdl_c", "tdl_d", "tdl_e", "independent"] = (
        "tdl"
    )
    """Small-scale fading. ``tdl``: TDL-A out of line of sight and TDL-D in it (TR 38.901 7.7.2); one TDL profile for
    all; one flat tap; or flat Rayleigh drawn anew every slot (``independent``)."""

    fading_trace: str | None = None
    """File of recorded fading to read instead."""

    delay_spread_ns: DelaySpread | Literal["drawn", "median"] = "drawn"
    """RMS delay spread of the TDL profiles [ns]: the same for all links, or by scenario, state and frequency (TR 38.901
    Table 7.5-6), drawn for each link or the median."""

    rician_k_db: RicianK | Literal["drawn", "median"] = "drawn"
    """Power of the direct path over the scattered ones [dB] of ``rician``, TDL-D and TDL-E, likewise."""

    bs_height_m: float | None = Field(default=None, gt=1, le=200)
    """Height of the base station's antenna [m]; the scenario's usual one if left out."""

    ut_height_m: float = Field(default=1.5, ge=1, le=25)
    """Height of the devices [m], indoors on the ground floor."""

    gnb_power_dbm: float = Field(default=44.0, ge=-30, le=70)
    """Power of a base station over the whole carrier [dBm], spread evenly."""

    gnb_antenna_dbi: float = Field(default=8.0, ge=-10, le=40)
    """Largest gain of one element of the base station's antenna [dBi]; without columns and beams, of all of it."""

    gnb_noise_figure_db: float = Field(default=5.0, ge=0, le=30)
    """Noise figure of the base station [dB]."""

    ue_power_dbm: float = Field(default=23.0, ge=-30, le=43)
    """Largest power of a device [dBm]."""

    power_reduction: bool = False
    """Devices stay below their largest power by all that 3GPP allows their modulation: 1.5 to 3 dB for QPSK, 3.5 for
    64QAM, 6.5 for 256QAM (TS 38.101-1 6.2.2)."""

    ue_antenna_dbi: float = Field(default=0.0, ge=-20, le=30)
    """Gain of a device's antenna [dBi]."""

    ue_noise_figure_db: float = Field(default=7.0, ge=0, le=30)
    """Noise figure of a device [dB]."""

    p0_dbm: float = Field(default=-90.0, ge=-202, le=24)
    """Uplink power control: wanted received power per PRB at 15 kHz [dBm] (TS 38.213 7.1.1). The default makes up for
    the whole path loss. Cells that interfere (UMa calibration, full buffers) carry 4 % less with -80 dBm at an
    ``alpha`` of 0.8, with as many retransmissions."""

    alpha: float = 1.0
    """Share of the path loss that the device makes up for: 0, 0.4, 0.5 ... 1."""

    interference: Literal["none", "rise_over_thermal", "explicit"] = "none"
    """``explicit``: from the devices that the neighbouring cells schedule in the slot."""

    rise_db: float = Field(default=3.0, ge=0, le=60)
    """Noise plus interference over noise for ``rise_over_thermal`` [dB]."""

    record_slots: bool = False
    """Keep a record of every block (PRBs, MCS, SINR, outcome): ``slots.csv``, pictures of the cell, the timeline."""

    max_records: int = Field(default=20_000, ge=1, le=10_000_000)
    """Blocks kept; the oldest go first."""

    @field_validator("floors")
    @classmethod
    def _floors_are_in_order(cls, floors: tuple[int, int]) -> tuple[int, int]:
        if floors[0] > floors[1]:
            raise ValueError(f"floors: got {floors[0]} to {floors[1]}; valid: the smaller number first")
        return floors

    @model_validator(mode="after")
    def _several_antennas_need_their_own_fading(self) -> Self:
        several = max(self.num_rx, self.num_tx, self.bs_num_rx, self.ue_num_tx) > 1
        if several and (self.fading == "independent" or self.fading_trace is not None):
            what = "fading 'independent'" if self.fading_trace is None else "a fading_trace"
            raise ValueError(f"num_rx, num_tx: {what} has one antenna at either end; valid: 1")
        return self

    @model_validator(mode="after")
    def _keys_agree(self) -> Self:
        has_fixed_snr = self.channel == "radio" and self.snr_db is not None
        misfits = [
            *contradictions(has_fixed_snr, self.interference, self.xapp, self.scheduler),
            *self._misfits(),
        ]
        if misfits:
            raise problems_error([((key,), text, getattr(self, key)) for key, text in misfits], KEYS_DO_NOT_FIT)
        return self

    def _misfits(self) -> Iterator[Misfit]:
        """What propagation models have no values for, of the keys that are in use."""
        bands = list(band_misfits(self.bandwidth_mhz, self.scs_khz, self.carrier_ghz, self.frequency_range))
        yield from bands or self._size_misfits()
        slot_ns = NS_PER_S * 15 // (1000 * self.scs_khz)
        if self.kpm_period_s is not None and round(self.kpm_period_s * NS_PER_S) % slot_ns:
            yield "kpm_period_s", f"got {self.kpm_period_s:g}; valid: a multiple of the slot, {slot_ns / NS_PER_S:g} s"
        if self.channel == "ideal":
            return
        yield from indoor_misfits(self.scenario, self.indoor_share)
        if self.snr_db is not None:
            return
        yield from carrier_misfits(self.scenario, self.carrier_ghz)
        max_floor = self.floors[1] if self.indoor_share and self.scenario != "rma" else 1
        bs_m = BS_HEIGHT_M[self.scenario] if self.bs_height_m is None else self.bs_height_m
        yield from height_misfits(self.scenario, self.ut_height_m, bs_m, max_floor, self.los == "auto")
        layout = SiteLayout(self.num_sites, self.inter_site_distance_m)
        yield from place_misfits(layout, (bs_m, self.ut_height_m), self.positions_m, self.distances_m)

    def _size_misfits(self) -> Iterator[Misfit]:
        """Blocks and grants that are too small."""
        num_prbs, mcs = num_prb(self.bandwidth_mhz, self.scs_khz, self.frequency_range), self.mcs or 0
        yield from header_misfits(self, num_prbs, self.mcs_table, mcs)
        wanted = self.configured_grant_prb
        if wanted is not None:
            symbols = self.mini_slot_symbols or SYMBOLS_PER_SLOT
            sizes = smallest_blocks(self, symbols, num_prbs, self.mcs_table, mcs)
            fewest = min(1 + sum(size < MIN_BLOCK_BYTES for size in sizes), num_prbs)
            if wanted < fewest:
                text = f"got {wanted}; valid: {fewest} or more, which MCS {mcs} needs for headers and some data"
                yield "configured_grant_prb", text

    @property
    def frequency_range(self) -> str | None:
        """Range of the carrier, "fr1" or "fr2"; None between them, and where an ideal channel says nothing about it."""
        is_open = self.channel == "ideal" and self.carrier_ghz == type(self).model_fields["carrier_ghz"].default
        return None if is_open else frequency_range_of(self.carrier_ghz)

    def notes(self) -> list[str]:
        """Sentences about keys that have been set and change nothing."""
        return list(notes_of(self, self.channel == "ideal", self.snr_db is not None))

    @field_validator("alpha")
    @classmethod
    def _alpha_is_legal(cls, alpha: float) -> float:
        require_choice("alpha", alpha, FRACTIONAL_ALPHAS)
        return alpha

    @field_validator("interference")
    @classmethod
    def _explicit_needs_neighbours(cls, interference: str, info: ValidationInfo) -> str:
        alone = info.data.get("num_sites") == 1 and info.data.get("sectors_per_site") == 1
        if interference == "explicit" and alone:
            raise ValueError("interference 'explicit' needs neighbours: num_sites 7 or 19, or sectors_per_site 3")
        return interference

    @field_validator("block_error_rate")
    @classmethod
    def _errors_need_the_ideal_channel(cls, rate: float, info: ValidationInfo) -> float:
        if rate > 0 and info.data.get("channel") == "radio":
            raise ValueError("block_error_rate is for channel 'ideal'; over the radio, errors follow the SINR")
        return rate

    @field_validator("channel")
    @classmethod
    def _ideal_needs_mcs(cls, channel: str, info: ValidationInfo) -> str:
        if channel == "ideal" and info.data.get("mcs") is None and "mcs_table" in info.data:
            last = len(mcs_table(info.data["mcs_table"])) - 1
            raise ValueError(f"channel 'ideal' needs a fixed mcs; valid: 0 to {last}")
        return channel
