"""The workload: what a request is before it runs, its prompt as token ids, and the live request behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sim.decoding.core.controller import Controller
from sim.decoding.core.random_source import KeyedRandom
from sim.decoding.core.request import Request
from sim.decoding.core.rows import Sampling
from sim.decoding.protocols.registry import lossless_to
from sim.inputs.prompt_limits import ModelLimits, check_ids
from sim.inputs.prompts import Chat, Prompt, prompts_named, read_prompts, shipped_for
from sim.models.info import ModelInfo
from sim.scenario.schema import ModelsSettings, Scenario
from sim.scenario.workload import WorkloadSettings

Encode = Callable[[str | Chat], Sequence[int]]
"""Token ids of a text or of a chat's messages."""

# Request ids are unique per device and stay the same whatever the number of devices or requests.
REQUESTS_PER_DEVICE = 1 << 20


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """One request before anything has happened.

    Attributes:
        device: Index of the device that issues it.
        index: Its number at that device.
        prompt: Token ids.
        category: What kind of prompt its file says it is; empty if it does not.
        max_new_tokens: Its own length limit, or None for the workload's.
        extra_prompt_tokens: Tokens by which its prompt is longer than what is decoded after.
        shared_tokens: Leading prompt tokens that other prompts have, too.
        session: Chat session that it belongs to, None if it stands alone.
        blocks: What its prompt's blocks of 512 tokens are known by, where a trace has them.
        uplink_bytes: Bytes that go up with its prompt; ``downlink_bytes`` come down with its first tokens.
        recording: Number of the recording that stands for it; None if it has its own.
    """

    device: int
    index: int
    prompt: tuple[int, ...]
    category: str = ""
    max_new_tokens: int | None = None
    extra_prompt_tokens: int = 0
    shared_tokens: int = 0
    session: int | None = None
    blocks: tuple[int, ...] = ()
    recording: int | None = None
    uplink_bytes: int = 0
    downlink_bytes: int = 0

    @property
    def unique_id(self) -> int:
        """Unique in a run."""
        return self.device * REQUESTS_PER_DEVICE + self.index

    @property
    def id(self) -> int:
        """Keys its random numbers: its own, or those of the recording that stands for it."""
        return self.unique_id if self.recording is None else self.recording

    @property
    def num_prompt_tokens(self) -> int:
        """Length of its prompt, whether or not all of it is decoded after."""
        return len(self.prompt) + self.extra_prompt_tokens


def ids_of_prompt(prompt: Prompt, workload: WorkloadSettings, model: ModelInfo, encode: Encode) -> list[int]:
    """Token ids of a prompt, no more than the workload takes.

    Args:
        prompt: One with a text or with ids.
        workload: Whether a chat template is applied, and how long prompts may be.
        model: Whose vocabulary counts.
        encode: Turns text, or a chat's messages, into token ids.

    Raises:
        InputError: An id that the vocabulary does not have.
    """
    content = _to_encode(prompt, workload.chat_template)
    ids = list(prompt.ids or ()) if content is None else [int(token) for token in encode(content)]
    check_ids(ids, prompt.where, ModelLimits(model.name, model.vocab_size))
    return ids if workload.max_prompt_tokens is None else cut_start(ids, workload.max_prompt_tokens, model)


def _to_encode(prompt: Prompt, chat_template: str) -> str | Chat | None:
    """What of a prompt is to be encoded: text as it stands, or messages to which the template is applied."""
    if prompt.ids is not None:
        return None
    if prompt.chat is None:
        return (("user", prompt.text),) if chat_template == "always" else prompt.text
    return prompt.text if chat_template == "never" else prompt.chat


def contents_to_encode(scenario: Scenario) -> list[str | Chat]:
    """All texts and chats of a scenario's workload that a tokenizer has to turn into token ids."""
    workload = scenario.workload
    prompts = read_prompts(prompts_named(workload, scenario.models))
    contents = [_to_encode(prompt, workload.chat_template) for prompt in prompts if prompt.num_tokens is None]
    if workload.prompt_tokens is not None or workload.system_prompt_tokens or len(contents) < len(prompts):
        contents += [prompt.text for prompt in texts_to_cut_from(prompts, scenario.models) if prompt.ids is None]
    return [content for content in contents if content is not None]


def texts_to_cut_from(prompts: Sequence[Prompt], models: ModelsSettings) -> Sequence[Prompt]:
    """Prompts whose text those of a given length are cut from: a workload's own, or those that ship if it has none."""
    own = [prompt for prompt in prompts if prompt.num_tokens is None]
    return own or read_prompts(shipped_for(models))


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
        planned.unique_id,
        planned.prompt,
        min(model.vocab_size for model in models.values()),
        planned.max_new_tokens or workload.max_new_tokens,
        leader.eos_ids if workload.stop_at_eos else frozenset(),
        Sampling(workload.temperature, workload.top_k, workload.top_p),
        controller if controller is not None else make_controller(scenario),
        scenario.models.wire_vocab_size,
        workload.draft_temperature,
        (scenario.seed, planned.id),
        lossless_to(scenario.protocol.entry),
    )


def make_controller(scenario: Scenario) -> Controller:
    """A controller that has seen nothing yet."""
    value: Controller = scenario.controller.entry.make(scenario.controller.settings)
    return value


def rng_for(planned: PlannedRequest, scenario: Scenario) -> KeyedRandom:
    """The random numbers of one request: a function of seed and request alone."""
    return KeyedRandom(scenario.seed, "request", planned.id)
