"""Who asks what: each request's prompt and limits, made when it is asked for, so that a run may be of any length."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from typing_extensions import override

from sim.core.errors import InputError, RunError
from sim.core.wording import counted
from sim.inputs.arrivals import Arrivals, generator, turn_think_time_s
from sim.inputs.lengths import draw_length
from sim.inputs.prompt_limits import ModelLimits, by_device, check_prompts, no_room, notes_of_devices
from sim.inputs.prompts import OF_FILE, Prompt, prompts_named, read_prompt_file, trace_of
from sim.inputs.workload import (
    REQUESTS_PER_DEVICE,
    Encode,
    PlannedRequest,
    cut_start,
    ids_of_prompt,
    texts_to_cut_from,
)
from sim.models.info import ModelInfo
from sim.scenario.schema import Scenario

# Where a request's own random numbers begin, and those of the order in which a trace's entries are asked.
_OWN = 1 << 52
# Prompts that are compared with each other for a common beginning.
_MAX_COMPARED = 2_000
# Prompts whose order is kept for each device, in all.
_MAX_ORDERED = 4_000_000


class RequestSource(ABC):
    """All requests of a run."""

    @abstractmethod
    def request(self, device: int, index: int, number: int) -> PlannedRequest | None:
        """A request; None if the device issues no more.

        Args:
            device: Which device issues it.
            index: Its number at the device.
            number: Its number in the stream of arrivals.
        """

    @property
    def notes(self) -> list[str]:
        """What the user should know of what was left out or cut since ``begin``, a sentence each."""
        return []

    def begin(self) -> None:  # noqa: B027 (most count nothing)
        """A run begins; what was cut before does not count."""

    @property
    def turns(self) -> int:
        """Requests that make one chat, in which prompts depend on the answers before them; 1 without chats."""
        return 1

    def answered(self, planned: PlannedRequest, answer: Sequence[int]) -> None:  # noqa: B027 (most forget)
        """A request has ended with these tokens."""

    def think_time_s(self, planned: PlannedRequest) -> float | None:  # noqa: ARG002 (those without chats)
        """Time from the answer to the next request of the same chat in an open loop; None if no such one follows."""
        return None

    @abstractmethod
    def recordings(self) -> list[PlannedRequest]:
        """Requests that stand for all that can be foreseen, to be decoded beforehand."""


class ListedRequests(RequestSource):
    """Requests that are given one by one.

    Args:
        planned: All of them.
    """

    def __init__(self, planned: Iterable[PlannedRequest]) -> None:
        self._planned = list(planned)
        self._by_place = {(one.device, one.index): one for one in self._planned}

    @override
    def request(self, device: int, index: int, number: int) -> PlannedRequest | None:
        """The one with this index, or None."""
        return self._by_place.get((device, index))

    def recordings(self) -> list[PlannedRequest]:
        """All of them."""
        return self._planned


class DrawnRequests(RequestSource):
    """Requests whose prompts come from a file, and whose lengths may come from a trace or a distribution.

    Args:
        scenario: Says from where.
        models: Metadata by role; the smallest context limits the prompts.
        encode: Turns text, or a chat's messages, into token ids.
        first_device: Index of the first of the scenario's devices.
        kind: Name of these devices, if there are others.

    Raises:
        InputError: A file that cannot be used, a device for which there is no prompt, or a prompt that does not fit.
    """

    def __init__(
        self,
        scenario: Scenario,
        models: Mapping[str, ModelInfo],
        encode: Encode,
        first_device: int = 0,
        kind: str = "",
    ) -> None:
        workload, devices = scenario.workload, scenario.devices
        self._devices, self._workload, self._seed = devices, workload, scenario.seed
        self._first, self._kind = first_device, kind
        self._encode: Encode | None = encode
        self._leader = models.get("target") or next(iter(models.values()))
        self._context = min(model.max_context for model in models.values())
        self._models, named = scenario.models, prompts_named(workload, scenario.models)
        trace, file = trace_of(named), read_prompt_file(named)
        self._prompts, self._file_notes = file.prompts, file.notes
        limits = ModelLimits(self._leader.name, self._leader.vocab_size, self._context)
        check_prompts(file.prompts, named, workload, devices, first_device, limits)
        self._is_paired = trace is not None and devices.arrivals in ("trace", workload.prompts)
        if self._is_paired and workload.turns > 1:
            message = "turns above 1 need arrivals of their own: each entry of a trace is one request"
            raise InputError(message, "workload.turns")
        self.arrivals: Arrivals | None = None
        if not devices.is_closed_loop:
            self.arrivals = Arrivals(devices, scenario.seed, trace, first_device, workload.turns)
        self._texts: dict[int, tuple[int, ...]] = {}
        self._corpus: tuple[int, ...] = ()
        self._orders: dict[int, np.ndarray] = {}
        self._own_prompts = by_device(self._prompts)
        self._cut: Counter[str] = Counter()
        self._conversations: dict[int, tuple[int, tuple[int, ...]]] = {}
        self._shared = self._common_beginnings()
        self._encode_ahead()

    def __getstate__(self) -> dict[str, Any]:
        """Without what cannot be sent to another process; all that is needed there has been encoded."""
        return {**self.__dict__, "_encode": None, "_orders": {}}

    @property
    def notes(self) -> list[str]:
        """What the user should know of what was left out or cut since ``begin``, a sentence each."""
        not_issued = self.arrivals.left_out if self.arrivals is not None else None
        arrivals = f"devices.{self._kind}.arrivals" if self._kind else "devices.arrivals"
        of = f" of {self._kind}" if self._kind else ""
        return [
            *(f"{OF_FILE}{note}" for note in (*self._file_notes, *self._unasked())),
            *([f"{arrivals}: {not_issued}"] if not_issued else []),
            *(f"{counted(number, 'request')}{of}: {what}" for what, number in self._cut.items()),
        ]

    def _unasked(self) -> Iterator[str]:
        """Prompts that no device asks."""
        if not self._is_paired:
            devices = range(self._first, self._first + self._devices.count)
            yield from notes_of_devices(self._own_prompts, devices, is_alone=not self._kind)

    def begin(self) -> None:
        """A run begins; what was cut before does not count."""
        self._cut.clear()
        self._conversations.clear()

    @property
    def turns(self) -> int:
        """Requests that make one chat."""
        return self._workload.turns

    def answered(self, planned: PlannedRequest, answer: Sequence[int]) -> None:
        """Keep the conversation so far for the next turn of a chat; forget one that is over."""
        session = self._session(planned.device, planned.index)
        if (planned.index + 1) % self.turns:
            self._conversations[session] = (planned.index, (*planned.prompt, *answer))
        else:
            self._conversations.pop(session, None)

    def think_time_s(self, planned: PlannedRequest) -> float | None:
        """Time from the answer to the next request of the same chat in an open loop; None if no such one follows."""
        if self._devices.is_closed_loop or not (planned.index + 1) % self.turns:
            return None
        return turn_think_time_s(self._devices, self._seed, planned.unique_id)

    def _session(self, device: int, index: int) -> int:
        return device * REQUESTS_PER_DEVICE + index // self.turns

    # --- which prompt -------------------------------------------------------------------------------------------

    def request(self, device: int, index: int, number: int) -> PlannedRequest | None:
        """A request of a device, or what stands for it where there are fewer recordings than requests."""
        limit = self._devices.requests_per_device
        if limit is not None and index >= limit and self._devices.total_rate_hz is None:
            return None
        distinct, turn = self._workload.distinct_requests, index % self._workload.turns
        if turn and self._conversations.get(self._session(device, index), (None,))[0] != index - 1:
            return None  # the conversation before is not known yet
        if distinct is None:
            place = number % len(self._prompts) if self._is_paired else self._prompt_number(device, index)
            return self._make(device, index, place, None)
        recording = (index * self._devices.count + device - self._first) % distinct
        if self._is_paired:
            recording = number % distinct
        return self._make(device, index, self._recorded_prompt(recording), recording)

    def _recorded_prompt(self, recording: int) -> int:
        """Number of the prompt of a recording; those of a trace are spread over all of it."""
        count = self._devices.count
        if not self._is_paired:
            return self._prompt_number(self._first + recording % count, recording // count)
        return recording * len(self._prompts) // (self._workload.distinct_requests or 1) % len(self._prompts)

    def _prompt_number(self, device: int, index: int) -> int:
        """Each device walks through the prompts in an order of its own: none repeats before all were used."""
        numbers = self._own_prompts.get(device) or self._own_prompts[None]
        order = self._orders.get(device)
        if order is None:
            order = np.random.Generator(np.random.Philox(key=[self._seed, device])).permutation(len(numbers))
            if (len(self._orders) + 1) * len(numbers) <= _MAX_ORDERED:
                self._orders[device] = order
        return numbers[int(order[index % len(numbers)])]

    def recordings(self) -> list[PlannedRequest]:
        """The recordings that stand for all; or every request, as far as they are known before the run."""
        distinct, count = self._workload.distinct_requests, self._devices.count
        if distinct is not None:
            # The first requests that use them; no more of them than there are requests.
            found = [self._make(0, 0, self._recorded_prompt(number), number) for number in range(distinct)]
            return found if (total := self._num_requests()) is None else found[:total]
        limit = self._devices.requests_per_device
        if self.arrivals is None:
            devices = range(self._first, self._first + count)
            places = ((device, index, 0) for device in devices for index in range(limit or 1))
        else:
            places = _places(self.arrivals, self.turns)
        requests = (self.request(*place) for place in places)
        return [one for one in requests if one is not None]

    def _num_requests(self) -> int | None:
        """How many requests the run issues, None if that is not known before."""
        devices = self._devices
        return None if devices.requests_per_device is None else devices.requests_per_device * devices.count

    # --- what it holds ------------------------------------------------------------------------------------------

    def _make(self, device: int, index: int, number: int, recording: int | None) -> PlannedRequest:
        prompt, workload = self._prompts[number], self._workload
        bare = PlannedRequest(device, index, (), prompt.category, recording=recording)
        rng = generator(self._seed, _OWN + bare.id)
        length = prompt.num_tokens
        if workload.prompt_tokens is not None:
            length = draw_length(workload.prompt_tokens, rng)
        limit = prompt.max_new_tokens
        if limit is None and workload.output_tokens is not None:
            limit = draw_length(workload.output_tokens, rng)
        if length is None:
            ids, extra, shared = self._text_of(number), 0, self._shared.get(number, 0)
        else:
            ids, extra = self._synthetic(length, rng, prompt)
            shared = 0
        if workload.decoded_prompt_tokens is not None and len(ids) > workload.decoded_prompt_tokens:
            extra += len(ids) - workload.decoded_prompt_tokens
            ids, shared = tuple(cut_start(ids, workload.decoded_prompt_tokens, self._leader)), 0
        ids, shared = self._in_context(ids, shared, device, index, limit)
        limit = self._fit(prompt, ids, limit)
        own = None if limit == workload.max_new_tokens else limit
        session = self._session(device, index) if workload.turns > 1 else None
        return replace(
            bare,
            prompt=ids,
            max_new_tokens=own,
            extra_prompt_tokens=extra,
            shared_tokens=shared,
            session=session,
            blocks=prompt.blocks,
            uplink_bytes=workload.uplink_attachment_bytes,
            downlink_bytes=workload.downlink_attachment_bytes,
        )

    def _in_context(
        self, ids: tuple[int, ...], shared: int, device: int, index: int, limit: int | None
    ) -> tuple[tuple[int, ...], int]:
        """A prompt behind the system prompt and the earlier messages of its chat, and how much of it others share."""
        workload, system = self._workload, self._system_prompt()
        if index % workload.turns == 0:
            return (*system, *ids), len(system) + shared
        ids = (*self._conversations[self._session(device, index)][1], *ids)
        room = self._context - (workload.max_new_tokens if limit is None else limit)
        if len(ids) > room > 0:
            self._cut["chats cut to what the models' context leaves"] += 1
            return tuple(cut_start(ids, room, self._leader)), 0
        return ids, len(system)

    def _system_prompt(self) -> tuple[int, ...]:
        length = self._workload.system_prompt_tokens
        if not length:
            return ()
        corpus = self._corpus_ids()
        return (corpus * (length // len(corpus) + 1))[:length]

    def _fit(self, prompt: Prompt, ids: Sequence[int], limit: int | None) -> int:
        """The length limit, cut where it was drawn or comes from a trace and the context has no room for it."""
        workload = self._workload
        asked = workload.max_new_tokens if limit is None else limit
        room = self._context - len(ids)
        if room >= asked:
            return asked
        if room >= 1 and (prompt.num_tokens is not None or workload.output_tokens is not None):
            self._cut["answers cut to what the models' context leaves beside the prompt"] += 1
            return room
        raise no_room(prompt, len(ids), asked, workload, self._context)

    def _text_of(self, number: int) -> tuple[int, ...]:
        """Token ids of a prompt's text."""
        known = self._texts.get(number)
        if known is None:
            if self._encode is None:
                raise RunError(f"{self._prompts[number].where} was not encoded before the run")
            workload = self._workload
            ids = ids_of_prompt(self._prompts[number], workload, self._leader, self._encode)
            known = self._texts[number] = tuple(ids) if ids else (self._leader.bos_id,)
        return known

    def _synthetic(self, length: int, rng: np.random.Generator, prompt: Prompt) -> tuple[tuple[int, ...], int]:
        """A piece of real text of a length, and how many tokens longer the prompt is than what is decoded after."""
        workload = self._workload
        limit = workload.max_prompt_tokens
        if limit is not None and length > limit:
            self._cut["prompts cut to workload.max_prompt_tokens"] += 1
            length = limit
        decoded = min(length, workload.decoded_prompt_tokens or length)
        corpus = self._corpus_ids()
        start = int(rng.integers(len(corpus)))
        if decoded > self._context:
            raise InputError(
                f"{prompt.where} has {length} tokens, and the models' context is {self._context}; "
                "set workload.max_prompt_tokens or workload.decoded_prompt_tokens",
                "workload.prompts",
            )
        repeated = -(-(start + decoded) // len(corpus))
        return (corpus * repeated)[start : start + decoded], length - decoded

    def _corpus_ids(self) -> tuple[int, ...]:
        """Token ids of the real text that prompts of a given length are cut from."""
        if not self._corpus:
            assert self._encode is not None
            special, vocab_size = set(self._leader.special_ids), self._leader.vocab_size
            for prompt in texts_to_cut_from(self._prompts, self._models):
                ids = prompt.ids if prompt.ids is not None else self._encode(prompt.text)
                self._corpus += tuple(int(token) for token in ids if token < vocab_size and token not in special)
            if not self._corpus:
                raise InputError("there is no text to cut prompts from", "workload.prompts")
        return self._corpus

    # --- before the run -----------------------------------------------------------------------------------------

    def _encode_ahead(self) -> None:
        """Encode what a run may ask for and that is not known before, so that it can run in another process."""
        workload, devices = self._workload, self._devices
        has_lengths = any(prompt.num_tokens is not None for prompt in self._prompts)
        if has_lengths or workload.prompt_tokens is not None or workload.system_prompt_tokens:
            self._corpus_ids()
        if has_lengths or workload.prompt_tokens is not None:
            return
        if workload.turns > 1 or (
            devices.duration_s is not None and devices.is_closed_loop and workload.distinct_requests is None
        ):
            for number in range(len(self._prompts)):
                self._text_of(number)

    def _common_beginnings(self) -> dict[int, int]:
        """For each prompt how many leading tokens another one has, too: those of a system prompt, say.

        Only other prompts count: that a small set of prompts is used again and again is no property of the load.
        """
        numbers = [number for number, prompt in enumerate(self._prompts) if prompt.num_tokens is None]
        if not 1 < len(numbers) <= _MAX_COMPARED or self._workload.prompt_tokens is not None:
            return {}
        ordered = sorted(numbers, key=self._text_of)
        found = dict.fromkeys(numbers, 0)
        for first, second in pairwise(ordered):
            common = _common_length(self._text_of(first), self._text_of(second))
            found[first], found[second] = max(found[first], common), max(found[second], common)
        return {number: common for number, common in found.items() if common}


def _common_length(first: Sequence[int], second: Sequence[int]) -> int:
    for place, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return place
    return min(len(first), len(second))


def _places(arrivals: Arrivals, turns: int) -> Iterator[tuple[int, int, int]]:
    """Device, index and number of every arrival, of chats those of the first request."""
    issued: Counter[int] = Counter()
    for stream in arrivals.streams():
        for arrival in stream:
            yield arrival.device, issued[arrival.device] * turns, arrival.number
            issued[arrival.device] += 1
