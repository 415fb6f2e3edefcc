"""Keys of the ``nr`` link about antennas: how many, how they are built, and what both ends make of them."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from sim.core.settings import Settings

_MAX_BEAM_PORTS_ANTENNAS = 2


class AntennaSettings(Settings):
    """Antennas of base stations and devices; by default one each."""

    num_rx: Literal[1, 2, 4, 8] = 1
    """Receive antennas: of a device in the downlink, of a base station in the uplink."""

    num_tx: Literal[1, 2, 4] = 1
    """Transmit antennas: of a base station in the downlink, of a device in the uplink, there two at most unless
    ``uplink_num_tx`` says more. The power is the same however many there are."""

    uplink_num_rx: Literal[1, 2, 4, 8] | None = None
    """Receive antennas of a base station, if other than ``num_rx``."""

    uplink_num_tx: Literal[1, 2, 4] | None = None
    """Transmit antennas of a device; the smaller of ``num_tx`` and 2 if left out."""

    max_layers: int = Field(default=4, ge=1, le=4)
    """Most layers of a downlink block; never more than antennas at either end. The rank is the one whose codeword, over
    all layers, carries most."""

    uplink_max_layers: int = Field(default=2, ge=1, le=2)
    """Most layers of an uplink block."""

    mimo: Literal["closed_loop", "open_loop"] = "closed_loop"
    """``closed_loop``: devices report rank and precoder (Type I codebook of TS 38.214 5.2.2.2.1, one for the whole
    carrier). ``open_loop``: they report the rank alone; precoders cycle over the PRB groups at equal power."""

    receiver: Literal["mmse_irc", "mrc"] = "mmse_irc"
    """``mmse_irc``: knows the interference that is really there and rejects what its antennas allow. ``mrc``: takes it
    for white noise; one layer is combined at maximum ratio."""

    antenna_correlation: Literal["low", "medium", "high"] = "low"
    """Correlation of the scattered paths between antennas, at the ends of an array 0, .3 or .9 at the base station and
    0, .9 or .9 at the device (TS 36.101 B.2.3)."""

    polarisation: Literal["single", "cross"] = "single"
    """``single``: antennas are alike. ``cross``: half of them at each end have the crossed polarisation, which shares
    the power between them and lets two layers pass in line of sight."""

    column_elements: int = Field(default=1, ge=1, le=64)
    """Elements of the vertical column behind each port of a base station, half a wavelength apart."""

    tilt_deg: float = Field(default=90.0, ge=0, le=180)
    """Zenith angle at which columns point by their phases [degree]: 90 is the horizon, 102 is 12 degrees down."""

    beam_ports: Literal[0, 32, 64] = 0
    """Ports of a large base station array: 8 x 2 or 8 x 4 columns on two polarisations, which send and receive with the
    beam of a DFT grid that points to the device; ``num_tx`` and ``num_rx`` then count polarisations. 0 is none."""

    @property
    def bs_num_rx(self) -> int:
        """Receive antennas of a base station."""
        return self.num_rx if self.uplink_num_rx is None else self.uplink_num_rx

    @property
    def ue_num_tx(self) -> int:
        """Transmit antennas of a device."""
        return min(self.num_tx, 2) if self.uplink_num_tx is None else self.uplink_num_tx

    @model_validator(mode="after")
    def _beams_have_two_polarisations(self) -> Self:
        if self.beam_ports and max(self.num_tx, self.bs_num_rx) > _MAX_BEAM_PORTS_ANTENNAS:
            raise ValueError(
                f"beam_ports {self.beam_ports}: a beam has two polarisations, so num_tx and the base station's num_rx "
                f"are 1 or 2; got {self.num_tx} and {self.bs_num_rx}"
            )
        return self
