"""Prompts that a scenario's devices or models cannot take: refused by a run and by ``specran validate`` alike."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sim.core.errors import InputError
from sim.core.wording import counted
from sim.inputs.prompts import Prompt
from sim.scenario.devices import DevicesSettings
from sim.scenario.workload import WorkloadSettings

# Devices that a message lists.
_MAX_LISTED = 5


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """What models can take, as far as it is known.

    Attributes:
        name: What the user called the model whose vocabulary counts.
        vocab_size: Its token ids are below this; None if that is not known.
        max_context: Longest text of all models, prompt and generated tokens together; None if that is not known.
    """

    name: str = ""
    vocab_size: int | None = None
    max_context: int | None = None


def by_device(prompts: Sequence[Prompt]) -> dict[int | None, list[int]]:
    """Numbers of the prompts by the only device that they are for; None stands for those of all devices."""
    found: dict[int | None, list[int]] = {}
    for number, prompt in enumerate(prompts):
        found.setdefault(prompt.device, []).append(number)
    return found


def check_prompts(
    prompts: Sequence[Prompt],
    source: str,
    workload: WorkloadSettings,
    devices: DevicesSettings,
    first: int,
    limits: ModelLimits,
) -> None:
    """Refuse prompts that cannot be asked, as far as that is seen without a tokenizer.

    All prompts that the devices may be given are looked at, whichever of them a run's seed draws. Texts count as the
    one token that they have at least; lengths that are drawn or come from a trace are left to the run.

    Args:
        prompts: Those of a file.
        source: What the user called the file.
        workload: How prompts are cut, and how long answers may be.
        devices: The devices.
        first: Index of the first of them.
        limits: What the models can take.

    Raises:
        InputError: A device has no prompt, a token id is beyond the vocabulary, or a prompt does not fit.
    """
    own = by_device(prompts)
    # Of a few recordings each is made with the prompts of a device of its own.
    num_asking = min(devices.count, workload.distinct_requests or devices.count)
    _check_devices(own, source, range(first, first + num_asking), first + devices.count - 1)
    asked = range(first, first + devices.count)
    is_common = not _all_have_own(own, asked)
    for prompt in prompts:
        if is_common if prompt.device is None else prompt.device in asked:
            if prompt.ids is not None and workload.prompt_tokens is None:
                check_ids(prompt.ids, prompt.where, limits)
            _check_length(prompt, workload, limits.max_context)


def _check_devices(own: Mapping[int | None, Sequence[int]], source: str, asking: range, last: int) -> None:
    without = None if None in own else next((device for device in asking if device not in own), None)
    if without is not None:
        listed = ", ".join(str(device) for device in sorted(one for one in own if one is not None)[:_MAX_LISTED])
        more = ", ..." if len(own) > _MAX_LISTED else ""
        raise InputError(
            f"{source!r} holds no prompt for device {without}: all are for other devices (device: {listed}{more}); "
            f"valid: {asking.start} to {last}, or no device for all of them",
            "workload.prompts",
        )


def check_ids(ids: Collection[int], where: str, limits: ModelLimits) -> None:
    """Refuse token ids that a vocabulary does not have.

    Raises:
        InputError: There is one.
    """
    if limits.vocab_size is not None and ids and max(ids) >= limits.vocab_size:
        raise InputError(
            f"{where} holds token id {max(ids)}; the vocabulary of {limits.name} has {limits.vocab_size}, "
            f"0 to {limits.vocab_size - 1}",
            "workload.prompts",
        )


def _check_length(prompt: Prompt, workload: WorkloadSettings, context: int | None) -> None:
    if context is None or prompt.num_tokens is not None or workload.output_tokens is not None:
        return
    asked = workload.max_new_tokens if prompt.max_new_tokens is None else prompt.max_new_tokens
    num_tokens = 1
    if prompt.ids is not None and workload.prompt_tokens is None:
        limits = (workload.max_prompt_tokens, workload.decoded_prompt_tokens)
        num_tokens = min(max(len(prompt.ids), 1), *(limit for limit in limits if limit is not None), _ENDLESS)
        num_tokens += workload.system_prompt_tokens
    if num_tokens + asked > context:
        raise no_room(prompt, num_tokens, asked, workload, context)


# More than any text.
_ENDLESS = 1 << 60


def no_room(prompt: Prompt, num_tokens: int, asked: int, workload: WorkloadSettings, context: int) -> InputError:
    """What to raise where a context has no room for a prompt and its answer.

    Args:
        prompt: The prompt.
        num_tokens: Its length.
        asked: Length limit of the answer.
        workload: The keys that could be changed.
        context: Longest text of the models.
    """
    if asked >= context:
        message = f"{asked} new tokens leave no room for a prompt in a context of {context} tokens"
        if prompt.max_new_tokens is None:
            return InputError(message, "workload.max_new_tokens")
        return InputError(f"{prompt.where}: max_new_tokens: {message}", "workload.prompts")
    keys = "workload.max_prompt_tokens"
    if prompt.num_tokens is not None or workload.prompt_tokens is not None:
        keys += " or workload.decoded_prompt_tokens"
    return InputError(
        f"{prompt.where} has {counted(num_tokens, 'token')} and {asked} new ones are asked for, "
        f"but the models' context leaves room for {context - asked}; set {keys}",
        "workload.prompts",
    )


def notes_of_devices(own: Mapping[int | None, Sequence[int]], devices: range, is_alone: bool) -> Iterator[str]:
    """Prompts of a file that none of these devices asks.

    Args:
        own: Numbers of the prompts by device.
        devices: Indices of the devices.
        is_alone: Whether the scenario has no other devices.
    """
    if None in own and _all_have_own(own, devices):
        which = f"devices {devices[0]} to {devices[-1]}, which have own ones"
        if len(devices) == 1:
            which = f"device {devices[0]}, which has own ones"
        verb = "is" if len(own[None]) == 1 else "are"
        yield f"{counted(len(own[None]), 'prompt')} without a device {verb} not asked by {which}"
    absent = [device for device in own if device is not None and device >= devices.stop] if is_alone else []
    if absent:
        count = counted(sum(len(own[device]) for device in absent), "prompt")
        valid = f"the first is for device {absent[0]}, valid: 0 to {devices[-1]}"
        yield f"{count} for devices that the scenario does not have; {valid}"


def _all_have_own(own: Mapping[int | None, Sequence[int]], devices: range) -> bool:
    return len(own) >= len(devices) and all(device in own for device in devices)
