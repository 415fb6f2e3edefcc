"""What a request waited for and what would have helped: its breakdown, each statement checked by a run."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sim.core.breakdown import PARTS
from sim.core.errors import InputError
from sim.runs.counterfactual import ACCEPTANCE, DOWNLINK, FAILURES, UPLINK, Counterfactuals, Part, parts_of
from sim.runs.prepare import Progress, no_progress
from sim.scenario.schema import Scenario

if TYPE_CHECKING:
    import pandas as pd

# Savings nearer to each other than this share of the latency are called equal.
_EQUAL = 0.01
# Parts of less than this share of the latency are not put in words.
_SMALL = 0.005
# Acceptance rates from here on are those of a draft that is never rejected.
_ALL = 0.995
_KEYS = ["device", "request"]

_WORDS = {
    "device_queue": "its turn at the device",
    "draft_compute": "the draft model",
    "uplink_access": "access to the uplink",
    "uplink_air": "its bits on the uplink",
    "uplink_retransmission": "uplink retransmissions",
    "transport": "wires and fixed delays beyond the air",
    "edge_queue": "a place in a step of a server",
    "verify_compute": "the target's forward passes",
    "downlink_access": "access to the downlink",
    "downlink_air": "its bits on the downlink",
    "downlink_retransmission": "downlink retransmissions",
}


@dataclass(frozen=True)
class WhatIf:
    """A run with one part made free.

    Attributes:
        part: Name of the part.
        meaning: What was made free.
        booked_s: What the breakdown books under it; not-a-number where its time is not booked apart.
        e2e_s: End-to-end latency with the part free.
        saved_s: By how much that is less.
        saved_share: The same over the latency as it was.
        acceptance_rate: Accepted over tested positions with the part free.
        requests: Requests that were answered in both runs, which all this is of.
    """

    part: str
    meaning: str
    booked_s: float
    e2e_s: float
    saved_s: float
    saved_share: float
    acceptance_rate: float
    requests: int


@dataclass(frozen=True)
class Explanation:
    """Why a request, or the mean of all, took as long as it did.

    Attributes:
        subject: Which request, for people.
        requests: Requests that are explained.
        given_up: Requests of the run that were given up, which nothing here is of.
        e2e_s: End-to-end latency, mean over these requests.
        tokens: Tokens emitted, likewise.
        rounds: Rounds, likewise.
        acceptance_rate: Accepted over tested positions.
        waits_s: Seconds by part of the breakdown, the longest first; they add up to ``e2e_s``.
        what_ifs: Runs with a part made free, the one that helps most first.
        sentences: All of it in words.
    """

    subject: str
    requests: int
    given_up: int
    e2e_s: float
    tokens: float
    rounds: float
    acceptance_rate: float
    waits_s: dict[str, float]
    what_ifs: list[WhatIf]
    sentences: list[str] = field(default_factory=list)


def parse_request(text: str) -> tuple[int, int]:
    """Device and number of a request, from ``DEVICE/NUMBER``.

    Raises:
        InputError: It is no such pair.
    """
    device, _, number = text.partition("/")
    if not (device.isdecimal() and number.isdecimal()):
        message = f"expected DEVICE/REQUEST, as the columns of requests.csv have them, such as 0/1; got {text!r}"
        raise InputError(message, place="--request")
    return int(device), int(number)


def explain(
    scenario: Scenario,
    request: tuple[int, int] | None = None,
    known: pd.DataFrame | None = None,
    progress: Progress = no_progress,
) -> Explanation:
    """Explain a run of a scenario.

    The scenario is run as it is and once for each part of it that can be made free, with the same seed and the same
    recorded decoding; only ``acceptance`` decodes anew, since another draft model drafts other tokens.

    Args:
        scenario: What was run.
        request: Device and number of the request to explain; None for the mean of all that were measured.
        known: Requests of the run as they lie on disk, to hold the repeated run against; None where there is none.
        progress: Called with what is going on.

    Raises:
        InputError: No such request, one that was given up, or a run that cannot be repeated here.
    """
    runs = Counterfactuals(scenario, progress)
    parts = parts_of(scenario)
    progress("running", 0, len(parts) + 1)
    base = runs.run().requests
    if known is not None:
        _refuse_another_run(base, known)
    chosen = _chosen(base, request)
    what_ifs = []
    for number, part in enumerate(parts):
        progress("running", number + 1, len(parts) + 1)
        what_ifs.append(_what_if(part, chosen, runs.run(part).requests))
    progress("running", len(parts) + 1, len(parts) + 1)
    what_ifs = [one for one in what_ifs if one.requests]
    what_ifs.sort(key=lambda one: -one.saved_s)
    return _explanation(base, chosen, request, what_ifs)


def _refuse_another_run(base: pd.DataFrame, known: pd.DataFrame) -> None:
    """Whether the run that is on disk is the one that was repeated.

    Raises:
        InputError: It is not.
    """
    is_table = all(name in known and known[name].dtype.kind in "biuf" for name in [*_KEYS, "e2e_s"])
    both = base.merge(known if is_table else base[:0], on=_KEYS, how="outer", suffixes=("", "_known"))
    if both[["e2e_s", "e2e_s_known"]].isna().any(axis=None) or not (both.e2e_s - both.e2e_s_known).abs().max() < 1e-9:
        raise InputError(
            "the run cannot be repeated here: its latencies come out otherwise, by another version of SpecRAN or by "
            "prices calibrated on another host; run the scenario anew and explain that"
        )


def _chosen(base: pd.DataFrame, request: tuple[int, int] | None) -> pd.DataFrame:
    if request is None:
        found = base[(base.given_up == 0) & (base.measured == 1)]
        if found.empty:
            raise InputError("the run has no request that was measured and answered: nothing can be explained")
        return found
    found = base[(base.device == request[0]) & (base.request == request[1])]
    if found.empty:
        message = f"no request {request[0]}/{request[1]}; devices: 0 to {base.device.max()}"
        own = base[base.device == request[0]]
        message += "" if own.empty else f", requests of device {request[0]}: 0 to {own.request.max()}"
        raise InputError(message, place="--request")
    if found.given_up.iloc[0]:
        raise InputError(f"request {request[0]}/{request[1]} was given up and has no latency", place="--request")
    return found


def _what_if(part: Part, chosen: pd.DataFrame, free: pd.DataFrame) -> WhatIf:
    """Both runs request by request: each is the same one, with the same random numbers."""
    answered = free[free.given_up == 0]
    both = chosen.merge(answered, on=_KEYS, suffixes=("", "_free"))
    booked_s = sum(float(both[f"{name}_s"].mean()) for name in part.booked) if part.booked else math.nan
    before_s, after_s = float(both.e2e_s.mean()), float(both.e2e_s_free.mean())
    tested = float(both.tested_positions_free.sum())
    rate = float(both.accepted_tokens_free.sum()) / tested if tested else math.nan
    saved_s = before_s - after_s
    return WhatIf(part.name, part.meaning, booked_s, after_s, saved_s, saved_s / before_s, rate, len(both))


def _explanation(
    base: pd.DataFrame, chosen: pd.DataFrame, request: tuple[int, int] | None, what_ifs: list[WhatIf]
) -> Explanation:
    waits = {part: float(chosen[f"{part}_s"].mean()) for part in PARTS}
    waits = {part: seconds for part, seconds in sorted(waits.items(), key=lambda item: -item[1]) if seconds > 0}
    tested = float(chosen.tested_positions.sum())
    found = Explanation(
        f"the mean of {len(chosen)} requests" if request is None else f"request {request[1]} of device {request[0]}",
        len(chosen),
        int(base.given_up.sum()),
        float(chosen.e2e_s.mean()),
        float(chosen.tokens.mean()),
        float(chosen.rounds.mean()),
        float(chosen.accepted_tokens.sum()) / tested if tested else math.nan,
        waits,
        what_ifs,
    )
    found.sentences.extend(_sentences(found))
    return found


def _sentences(found: Explanation) -> list[str]:
    total = found.e2e_s
    subject = found.subject[0].upper() + found.subject[1:]
    sentences = [f"{subject} took {_s(total)} for {found.tokens:.4g} tokens in {found.rounds:.4g} rounds."]
    named = [(part, seconds) for part, seconds in found.waits_s.items() if seconds >= _SMALL * total]
    waits = ", ".join(f"for {_WORDS[part]} {_s(seconds)} ({seconds / total:.0%})" for part, seconds in named)
    sentences.append(f"It waited {waits}.")
    if not found.what_ifs:
        return sentences
    best = found.what_ifs[0]
    if best.saved_share < _EQUAL:
        return [*sentences, "None of the parts alone would have helped: made free, none saves a hundredth of the time."]
    sentences.append(f"What would have helped most is {_with_free(best, found)}.")
    equal = [one for one in found.what_ifs[1:] if best.saved_share - one.saved_share < _EQUAL]
    if equal:
        sentences.append(
            f"As much, within {_EQUAL:.0%}, would have: {', '.join(one.part.replace('_', ' ') for one in equal)}."
        )
    rest = [one for one in found.what_ifs[1:] if one.saved_share >= _SMALL]
    sentences += [f"Next: {_with_free(one, found)}." for one in rest]
    harmful = [one for one in found.what_ifs if one.saved_share <= -_SMALL]
    sentences += [f"With {_free(one)} it would have taken {_s(-one.saved_s)} more." for one in harmful]
    return sentences


def _with_free(one: WhatIf, found: Explanation) -> str:
    name, less = one.part.replace("_", " "), f"it takes {_s(one.e2e_s)}, {one.saved_share:.0%} less"
    if one.part == ACCEPTANCE.name:
        rates = f"acceptance rate {one.acceptance_rate:.2f} instead of {found.acceptance_rate:.2f}"
        if one.acceptance_rate < _ALL:
            rates += "; what is rejected then comes from the protocol, such as rows that are cut"
        return f"{name}: with {one.meaning}, {less} ({rates})"
    text = f"{name}: with {_free(one)} {less}"
    if math.isnan(one.booked_s) or abs(one.saved_s - one.booked_s) < _EQUAL * found.e2e_s:
        return text
    if one.saved_s < one.booked_s:
        return f"{text}; of the {_s(one.booked_s)} spent on it, the rest is then waited for elsewhere"
    beside = "its fixed delay" if one.part in (UPLINK.name, DOWNLINK.name) else "what waited behind it or came later"
    return f"{text}; more than the {_s(one.booked_s)} spent on it, because {beside} goes too"


def _free(one: WhatIf) -> str:
    return one.meaning if one.part in (ACCEPTANCE.name, FAILURES.name) else f"{one.meaning} free"


def _s(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 0.1 else f"{seconds * 1e3:.3g} ms"


def as_dict(found: Explanation) -> dict[str, Any]:
    """As JSON has it."""
    from dataclasses import asdict

    return asdict(found)
