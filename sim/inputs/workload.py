"""The workload: prompts as token ids, which request gets which, and when it is issued."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sim.core.errors import InputError
from sim.decoding.controllers.base import Controller
from sim.decoding.core.random_source import KeyedRandom
from sim.decoding.core.request import Request
from sim.decoding.core.rows import Sampling
from sim.models.info import ModelInfo
from sim.scenario.schema import Scenario

EMBEDDED_PROMPTS = Path(__file__).parent.parent / "models" / "embedded" / "prompts.jsonl"

# Request ids are unique per device and stay the same whatever the number of devices or requests.
_REQUESTS_PER_DEVICE = 1 << 20


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """One request before anything has happened.

    Attributes:
        device: Index of the device that issues it.
        index: Its number at that device.
        prompt: Token ids.
    """

    device: int
    index: int
    prompt: tuple[int, ...]

    @property
    def id(self) -> int:
        """Unique in a run; keys its random numbers."""
        return self.device * _REQUESTS_PER_DEVICE + self.index


def read_prompts(source: str) -> list[str | list[int]]:
    """Prompts as text or token ids.

    Args:
        source: ``embedded``, a ``.jsonl`` file with ``text`` or ``ids`` per line, or a text file, a prompt per line.

    Raises:
        InputError: A file that cannot be read, is empty, or has a broken line.
    """
    path = EMBEDDED_PROMPTS if source == "embedded" else Path(source)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"workload.prompts: {source!r} cannot be read: {error}") from error
    if path.suffix not in (".jsonl", ".json"):
        prompts: list[str | list[int]] = [line for line in lines if line.strip()]
    else:
        prompts = [_prompt_of(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not prompts:
        raise InputError(f"workload.prompts: {source!r} holds no prompt")
    return prompts


def _prompt_of(line: str, where: str) -> str | list[int]:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: broken prompt line, not JSON: {error.msg}") from error
    if isinstance(entry, dict) and isinstance(entry.get("text"), str):
        return entry["text"]
    ids = entry.get("ids") if isinstance(entry, dict) else None
    if isinstance(ids, list) and all(isinstance(token, int) and token >= 0 for token in ids):
        return ids
    raise InputError(f'{where}: broken prompt line; expected {{"text": "..."}} or {{"ids": [...]}}')


def plan_requests(
    scenario: Scenario, models: dict[str, ModelInfo], encode: Callable[[str], Sequence[int]]
) -> list[PlannedRequest]:
    """Give each device its prompts.

    Args:
        scenario: Says how many, and from where.
        models: Facts by role; the smallest context limits the prompts.
        encode: Turns text into token ids.

    Raises:
        InputError: A prompt that cannot be used.
    """
    prompts = read_prompts(scenario.workload.prompts)
    leader = models.get("target") or next(iter(models.values()))
    room = min(model.max_context for model in models.values()) - scenario.workload.max_new_tokens
    if room < 1:
        raise InputError(
            f"workload.max_new_tokens: {scenario.workload.max_new_tokens} new tokens leave no room for a prompt "
            f"in a context of {room + scenario.workload.max_new_tokens} tokens"
        )
    known: dict[int, tuple[int, ...]] = {}

    def ids_of(number: int) -> tuple[int, ...]:
        if number not in known:
            known[number] = _fit(prompts[number], number, scenario, leader, room, encode)
        return known[number]

    planned = []
    for device in range(scenario.devices.count):
        for index in range(scenario.devices.requests):
            number = _prompt_number(scenario.seed, device, index, len(prompts))
            planned.append(PlannedRequest(device, index, ids_of(number)))
    return planned


def _prompt_number(seed: int, device: int, index: int, count: int) -> int:
    """Each device walks through the prompts in an order of its own, so that none repeats before all were used."""
    order = np.random.Generator(np.random.Philox(key=[seed, device])).permutation(count)
    return int(order[index % count])


def _fit(
    prompt: str | list[int],
    number: int,
    scenario: Scenario,
    leader: ModelInfo,
    room: int,
    encode: Callable[[str], Sequence[int]],
) -> tuple[int, ...]:
    ids = list(encode(prompt)) if isinstance(prompt, str) else prompt
    if any(token >= leader.vocab_size for token in ids):
        raise InputError(
            f"workload.prompts: prompt {number + 1} holds token id {max(ids)}; "
            f"the vocabulary of {leader.name} has {leader.vocab_size}"
        )
    limit = scenario.workload.max_prompt_tokens
    if limit is not None:
        ids = ids[-limit:]
    if len(ids) > room:
        raise InputError(
            f"workload.prompts: prompt {number + 1} has {len(ids)} tokens and {scenario.workload.max_new_tokens} new "
            f"ones are asked for, but the models' context leaves room for {room}; set workload.max_prompt_tokens"
        )
    return tuple(ids) if ids else (leader.bos_id,)


def make_request(
    planned: PlannedRequest,
    scenario: Scenario,
    models: dict[str, ModelInfo],
    controller: Controller | None = None,
) -> Request:
    """The live request behind a planned one.

    Args:
        planned: The request.
        scenario: Its limits and sampling.
        models: Facts by role.
        controller: The device's own, which has learned from its requests so far; a fresh one by default.
    """
    leader = models.get("target") or next(iter(models.values()))
    workload = scenario.workload
    return Request(
        planned.id,
        planned.prompt,
        min(model.vocab_size for model in models.values()),
        workload.max_new_tokens,
        leader.eos_ids if workload.stop_at_eos else frozenset(),
        Sampling(workload.temperature, workload.top_k, workload.top_p),
        controller if controller is not None else make_controller(scenario),
    )


def make_controller(scenario: Scenario) -> Controller:
    """A controller that has seen nothing yet."""
    return scenario.controller.entry.make(scenario.controller.settings)


def rng_for(planned: PlannedRequest, scenario: Scenario) -> KeyedRandom:
    """The random numbers of one request: a function of seed and request alone."""
    return KeyedRandom(scenario.seed, "request", planned.id)


def think_times_s(scenario: Scenario, device: int) -> list[float]:
    """Exponential think times of one device, one before each of its requests."""
    return _exponentials(scenario, "think", device, scenario.devices.think_time_s)


def arrival_times_s(scenario: Scenario) -> list[list[float]]:
    """Arrival times of an open loop, per device, ascending.

    Raises:
        InputError: An arrivals file that cannot be used.
    """
    devices = scenario.devices
    if devices.arrivals == "poisson":
        assert devices.arrival_rate_hz is not None
        gaps = [_exponentials(scenario, "arrival", d, 1 / devices.arrival_rate_hz) for d in range(devices.count)]
        return [np.cumsum(gap).tolist() for gap in gaps]
    return _arrivals_from_file(devices.arrivals, devices.count, devices.requests)


def _exponentials(scenario: Scenario, purpose: str, device: int, mean_s: float) -> list[float]:
    key = [scenario.seed, device * 2 + (purpose == "arrival") + (1 << 40)]
    uniforms = np.random.Generator(np.random.Philox(key=key)).random(scenario.devices.requests)
    return (-np.log1p(-uniforms) * mean_s).tolist()


def _arrivals_from_file(source: str, count: int, requests: int) -> list[list[float]]:
    path = Path(source)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"devices.arrivals: expected closed, poisson or a CSV file, got {source!r} ({error})"
        ) from error
    arrivals: list[list[float]] = [[] for _ in range(count)]
    for number, row in enumerate(rows):
        try:
            time_s = float(row["time_s"])
            device = int(row["device"]) if row.get("device") else number % count
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}:{number + 2}: expected the columns time_s and, optionally, device") from error
        if time_s < 0 or device < 0:
            raise InputError(f"{path}:{number + 2}: time_s and device must not be negative")
        if device < count:
            arrivals[device].append(time_s)
    for device, times in enumerate(arrivals):
        if len(times) < requests:
            raise InputError(f"{path}: {len(times)} arrivals for device {device}, which issues {requests} requests")
    return [sorted(times)[:requests] for times in arrivals]
