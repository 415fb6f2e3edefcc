"""The workload: prompts as token ids, which request gets which, and when it is issued."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from channels.text_files import TextFileError, number_in, read_table
from sim.core.errors import InputError
from sim.decoding.core.controller import Controller
from sim.decoding.core.random_source import KeyedRandom
from sim.decoding.core.request import Request
from sim.decoding.core.rows import Sampling
from sim.inputs.prompts import Chat, Prompt, read_prompts
from sim.models.info import ModelInfo
from sim.scenario.schema import Scenario, WorkloadSettings

Encode = Callable[[str | Chat], Sequence[int]]
"""Token ids of a text or of a chat's messages."""

# Request ids are unique per device and stay the same whatever the number of devices or requests.
_REQUESTS_PER_DEVICE = 1 << 20

# Latest arrival that a file may name: over a week.
MAX_ARRIVAL_S = 1e6


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """One request before anything has happened.

    Attributes:
        device: Index of the device that issues it.
        index: Its number at that device.
        prompt: Token ids.
        category: What kind of prompt its file says it is; empty if it does not.
        max_new_tokens: Its own length limit, or None for the workload's.
    """

    device: int
    index: int
    prompt: tuple[int, ...]
    category: str = ""
    max_new_tokens: int | None = None

    @property
    def id(self) -> int:
        """Unique in a run; keys its random numbers."""
        return self.device * _REQUESTS_PER_DEVICE + self.index


def plan_requests(scenario: Scenario, models: dict[str, ModelInfo], encode: Encode) -> list[PlannedRequest]:
    """Give each device its prompts.

    Args:
        scenario: Says how many, and from where.
        models: Facts by role; the smallest context limits the prompts.
        encode: Turns text, or a chat's messages, into token ids.

    Raises:
        InputError: A prompt that cannot be used, or a device for which there is none.
    """
    prompts = read_prompts(scenario.workload.prompts)
    leader = models.get("target") or next(iter(models.values()))
    context = min(model.max_context for model in models.values())
    known: dict[int, tuple[int, ...]] = {}

    def ids_of(number: int) -> tuple[int, ...]:
        if number not in known:
            known[number] = _ids_of(prompts[number], scenario.workload, leader, context, encode)
        return known[number]

    planned = []
    for device in range(scenario.devices.count):
        numbers = _prompts_for(device, prompts, scenario.workload.prompts)
        for index in range(scenario.devices.requests):
            number = numbers[_prompt_number(scenario.seed, device, index, len(numbers))]
            prompt = prompts[number]
            own = prompt.max_new_tokens if prompt.max_new_tokens != scenario.workload.max_new_tokens else None
            planned.append(PlannedRequest(device, index, ids_of(number), prompt.category, own))
    return planned


def _prompts_for(device: int, prompts: Sequence[Prompt], source: str) -> list[int]:
    """Numbers of the prompts of one device: its own ones, or if it has none, those that name no device."""
    own = [number for number, prompt in enumerate(prompts) if prompt.device == device]
    numbers = own or [number for number, prompt in enumerate(prompts) if prompt.device is None]
    if not numbers:
        raise InputError(
            f"{source!r} holds no prompt for device {device}: all are for other devices", "workload.prompts"
        )
    return numbers


def _prompt_number(seed: int, device: int, index: int, count: int) -> int:
    """Each device walks through the prompts in an order of its own, so that none repeats before all were used."""
    order = np.random.Generator(np.random.Philox(key=[seed, device])).permutation(count)
    return int(order[index % count])


def _ids_of(
    prompt: Prompt, workload: WorkloadSettings, leader: ModelInfo, context: int, encode: Encode
) -> tuple[int, ...]:
    """Token ids of a prompt that leave room for the answer."""
    limit = prompt.max_new_tokens or workload.max_new_tokens
    room = context - limit
    if room < 1:
        message = f"{limit} new tokens leave no room for a prompt in a context of {context} tokens"
        if prompt.max_new_tokens is None:
            raise InputError(message, "workload.max_new_tokens")
        raise InputError(f"{prompt.where}: max_new_tokens: {message}", "workload.prompts")
    ids = _encoded(prompt, workload.chat_template, encode)
    if any(token >= leader.vocab_size for token in ids):
        raise InputError(
            f"{prompt.where} holds token id {max(ids)}; the vocabulary of {leader.name} has {leader.vocab_size}",
            "workload.prompts",
        )
    if workload.max_prompt_tokens is not None:
        ids = cut_start(ids, workload.max_prompt_tokens, leader)
    if len(ids) > room:
        raise InputError(
            f"{prompt.where} has {len(ids)} tokens and {limit} new ones are asked for, "
            f"but the models' context leaves room for {room}; set workload.max_prompt_tokens",
            "workload.prompts",
        )
    return tuple(ids) if ids else (leader.bos_id,)


def _encoded(prompt: Prompt, chat_template: str, encode: Encode) -> list[int]:
    content = _to_encode(prompt, chat_template)
    return list(prompt.ids or ()) if content is None else [int(token) for token in encode(content)]


def _to_encode(prompt: Prompt, chat_template: str) -> str | Chat | None:
    """What of a prompt is to be encoded: text as it stands, or messages to which the template is applied."""
    if prompt.ids is not None:
        return None
    if prompt.chat is None:
        return (("user", prompt.text),) if chat_template == "always" else prompt.text
    return prompt.text if chat_template == "never" else prompt.chat


def contents_to_encode(workload: WorkloadSettings) -> list[str | Chat]:
    """All texts and chats of a workload that a tokenizer has to turn into token ids."""
    contents = (_to_encode(prompt, workload.chat_template) for prompt in read_prompts(workload.prompts))
    return [content for content in contents if content is not None]


def cut_start(ids: Sequence[int], limit: int, model: ModelInfo) -> list[int]:
    """The last tokens of a prompt, after the special tokens that it begins with: a model expects those.

    Args:
        ids: The whole prompt.
        limit: Most tokens to keep.
        model: Whose special tokens; where they are not known, the one that begins a text.
    """
    if len(ids) <= limit:
        return list(ids)
    special = set(model.special_ids)
    leading = next((place for place, token in enumerate(ids) if token not in special), len(ids))
    kept = min(leading if special else int(ids[0] == model.bos_id), limit)
    return [*ids[:kept], *ids[len(ids) - (limit - kept) :]]


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
        planned.max_new_tokens or workload.max_new_tokens,
        leader.eos_ids if workload.stop_at_eos else frozenset(),
        Sampling(workload.temperature, workload.top_k, workload.top_p),
        controller if controller is not None else make_controller(scenario),
    )


def make_controller(scenario: Scenario) -> Controller:
    """A controller that has seen nothing yet."""
    value: Controller = scenario.controller.entry.make(scenario.controller.settings)
    return value


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
    value: list[float] = (-np.log1p(-uniforms) * mean_s).tolist()
    return value


def _arrivals_from_file(source: str, count: int, requests: int) -> list[list[float]]:
    path = Path(source)
    arrivals: list[list[float]] = [[] for _ in range(count)]
    try:
        for number, (line, row) in enumerate(read_table(path, ["time_s"], optional=["device"])):
            time_s = number_in(row["time_s"], "time_s", 0, MAX_ARRIVAL_S, path, line)
            device = number % count
            if row.get("device"):
                index = number_in(row["device"], "device", 0, 1e9, path, line)
                if not index.is_integer():
                    raise TextFileError(path, f"device must be a whole number, got {row['device'][:40]!r}", line)
                device = int(index)
            if device < count:
                arrivals[device].append(time_s)
    except TextFileError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            message = f"expected closed, poisson or a CSV file, got {source!r} (no such file)"
            raise InputError(message, "devices.arrivals") from error
        raise InputError(str(error), "devices.arrivals") from error
    for device, times in enumerate(arrivals):
        if len(times) < requests:
            message = f"{path}: {len(times)} arrivals for device {device}, which issues {requests} requests"
            raise InputError(message, "devices.arrivals")
    return [sorted(times)[:requests] for times in arrivals]
