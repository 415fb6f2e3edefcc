"""Keys of quality of service and of background traffic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self, get_args

from pydantic import Field, ValidationError, field_validator, model_validator

from channels.nr.five_qi import five_qi
from sim.core.errors import did_you_mean, shortened
from sim.core.settings import Settings, problems_error


class BearerSettings(Settings):
    """Quality of service of one flow of packets: of the protocols' messages, or of background traffic."""

    five_qi: int = 9
    """5QI (1 to 9, 80, 82 to 90 of TS 23.501 Table 5.7.4-1): priority level and delay budget; of use to logical
    channel prioritisation and to the scheduler ``qos``."""

    prioritised_mbps: float = Field(default=0.0, ge=0, le=1e6)
    """Rate up to which its logical channel is served before the rest of any other (prioritisedBitRate of TS 38.321
    5.4.3.1) [Mbit/s]; of use where a device has several."""

    bucket_s: float = Field(default=0.1, gt=0, le=10)
    """Time for which that rate may be saved up (bucketSizeDuration) [s]."""

    @field_validator("five_qi")
    @classmethod
    def _is_standardised(cls, value: int) -> int:
        five_qi(value)
        return value


class FlowSettings(BearerSettings):
    """What all background flows have."""

    direction: Literal["uplink", "downlink"] = "downlink"
    """Where its packets go."""

    users: int = Field(default=1, ge=0, le=10_000)
    """Devices beside those of the protocols that carry one such flow each, placed like them; 0: each device of the
    protocols carries one beside its messages."""


class FullBufferFlow(FlowSettings):
    """Always something to send."""

    kind: Literal["full_buffer"] = "full_buffer"


class FtpFlow(FlowSettings):
    """Files at random times, whether or not the last one has arrived: FTP model 3 (TR 36.889 A.1.1)."""

    kind: Literal["ftp"] = "ftp"

    rate_hz: float = Field(default=1.0, gt=0, le=1e5)
    """Files per second and user, a Poisson process."""

    file_bytes: int = Field(default=500_000, ge=1, le=1_000_000_000)
    """Size of a file [byte]."""


class VoipFlow(FlowSettings):
    """Speech of AMR 12.2 kbit/s in RTP: 44 bytes every 20 ms while talking, 19 every 160 ms in silence (RFC 4867).

    Talking and silence take turns, each with an exponential length of 2 s in the mean (ITU-R M.2412 8.4).
    """

    kind: Literal["voip"] = "voip"

    five_qi: int = 1
    """5QI of the flow; that of conversational voice."""

    activity: float = Field(default=0.5, gt=0, le=1)
    """Share of the time with speech."""


class XrFlow(FlowSettings):
    """Video frames of extended reality (TR 38.838 5.1): truncated Gaussian sizes and jitter.

    Sizes have a standard deviation of 10.5 % and lie between half and one and a half of the mean; frames come up to
    twice the jitter's standard deviation early or late.
    """

    kind: Literal["xr"] = "xr"

    five_qi: int = 80
    """5QI of the flow; that of low-latency augmented reality, with a delay budget of 10 ms."""

    frames_per_s: float = Field(default=60.0, gt=0, le=1000)
    """Frame rate [1/s]."""

    rate_mbps: float = Field(default=30.0, gt=0, le=10_000)
    """Mean rate [Mbit/s]."""

    jitter_s: float = Field(default=0.002, ge=0, le=0.1)
    """Standard deviation of the frames' times [s]."""


class WebFlow(FlowSettings):
    """Pages of a main object and some embedded ones, read for a while after they have arrived (NGMN, HTTP model)."""

    kind: Literal["web"] = "web"

    reading_s: float = Field(default=30.0, gt=0, le=10_000)
    """Mean time between a page's arrival and the next request [s], exponential."""


Flow = FullBufferFlow | FtpFlow | VoipFlow | XrFlow | WebFlow
FLOWS: dict[str, type[FlowSettings]] = {str(flow.model_fields["kind"].default): flow for flow in get_args(Flow)}


class TrafficSettings(BearerSettings):
    """The protocols' messages as a flow, and other flows in the cell."""

    background: list[Flow] = Field(default=[], max_length=64)
    """Other traffic, a list of flows, each with a ``kind`` (``full_buffer``, ``ftp``, ``voip``, ``xr``, ``web``), a
    5QI, a direction and a number of users; see the page on background traffic."""

    @field_validator("background", mode="before")
    @classmethod
    def _each_by_its_kind(cls, value: Any) -> Any:
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise ValueError(f"expected a list of flows, got {shortened(value)}")
        problems: list[tuple[tuple[str | int, ...], str, Any]] = []
        flows = [_flow(index, item, problems) for index, item in enumerate(value)]
        if problems:
            raise problems_error(problems)
        return flows

    @model_validator(mode="after")
    def _messages_are_served(self) -> Self:
        own = five_qi(self.five_qi).priority_level
        for index, flow in enumerate(self.background):
            always = isinstance(flow, FullBufferFlow) and not flow.users
            if always and not self.prioritised_mbps and five_qi(flow.five_qi).priority_level < own:
                text = (
                    f"a full buffer of 5QI {flow.five_qi} at the protocols' devices leaves nothing for their messages, "
                    f"of 5QI {self.five_qi}; valid: prioritised_mbps for these, or a 5QI of lower priority"
                )
                raise problems_error([(("background", index, "five_qi"), text, flow.five_qi)])
        return self


def _flow(index: int, item: Any, problems: list[tuple[tuple[str | int, ...], str, Any]]) -> FlowSettings | None:
    """One flow; what is wrong with it is added to ``problems``."""
    if isinstance(item, FlowSettings):
        return item
    if not isinstance(item, Mapping):
        problems.append(((index,), f"expected a flow with its keys, got {shortened(item)}", item))
        return None
    kind = item.get("kind")
    if not isinstance(kind, str) or kind not in FLOWS:
        text = f"unknown kind of flow {shortened(kind)}{did_you_mean(kind, FLOWS)}" if "kind" in item else "no kind"
        problems.append(((index, "kind"), f"{text}; valid: {', '.join(FLOWS)}", kind))
        return None
    try:
        return FLOWS[kind].model_validate(item)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            text = detail["msg"].removeprefix("Value error, ")
            given = "" if detail["type"] in ("value_error", "unknown_key") else f", got {shortened(detail['input'])}"
            problems.append(((index, *detail["loc"]), text[:1].lower() + text[1:] + given, detail["input"]))
        return None
