"""Keys of RLC acknowledged mode: how the sender learns what HARQ has lost."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from sim.core.settings import Settings


class RlcSettings(Settings):
    """Polls, status reports and their timers (TS 38.322 5.3)."""

    rlc_feedback: Literal["fixed", "status"] = "fixed"
    """How the RLC sender learns of lost bytes: ``rlc_status_delay_s`` after HARQ has given up (``fixed``), or by polls
    and status reports of acknowledged mode, which take the air like data (``status``)."""

    t_reassembly_s: float = Field(default=0.02, ge=0, le=2.2)
    """How long a receiver waits for what is missing before it reports it (t-Reassembly) [s]; it must outlast HARQ."""

    t_status_prohibit_s: float = Field(default=0.01, ge=0, le=2.4)
    """Least time between two status reports of one channel (t-StatusProhibit) [s]."""

    t_poll_retransmit_s: float = Field(default=0.1, ge=0.005, le=4)
    """How long a sender waits for the answer to a poll before it polls again (t-PollRetransmit) [s]."""

    poll_pdus: int | None = Field(default=16, ge=4, le=65536)
    """PDUs after which a sender polls (pollPDU); never for their number if null. It always polls when nothing is left
    to send."""

    poll_bytes: int | None = Field(default=None, ge=1000, le=40_000_000)
    """Bytes after which it polls (pollByte); never for their number if left out."""

    @field_validator("t_reassembly_s", "t_status_prohibit_s", "t_poll_retransmit_s", "poll_pdus", "poll_bytes")
    @classmethod
    def _status_reports_are_modelled(cls, value: object, info: ValidationInfo) -> object:
        default = cls.model_fields[str(info.field_name)].default
        if value != default and info.data.get("rlc_feedback") == "fixed":
            raise ValueError(f"{info.field_name} means nothing under fixed feedback; valid: with rlc_feedback: status")
        return value
