"""``decode``: run a protocol with no time at all, as a library function of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from sim.core.errors import InputError
from sim.core.registry import RegistryEntry
from sim.core.settings import Settings
from sim.decoding.controllers.registry import CONTROLLERS, refuse_misfit
from sim.decoding.core.controller import Controller
from sim.decoding.core.random_source import KeyedRandom, RandomSource
from sim.decoding.core.request import Request
from sim.decoding.core.rows import Sampling
from sim.decoding.core.steps import Round
from sim.decoding.drivers.instant import InstantDriver
from sim.decoding.drivers.protocol_run import Record
from sim.decoding.protocols.registry import PROTOCOLS, controls_of, lossless_to
from sim.models.interface import LanguageModel


@dataclass(frozen=True, slots=True)
class DecodeResult:
    """What a protocol produced.

    Attributes:
        tokens: Generated token ids.
        rounds: What each round did.
        steps: Every step with its size, in order.
        text: The tokens as text, where the target model has a tokenizer.
    """

    tokens: list[int]
    rounds: list[Round]
    steps: list[Record]
    text: str | None = None

    @property
    def acceptance_rate(self) -> float:
        """Accepted over tested positions, nan if none was tested."""
        tested = sum(round_.tested for round_ in self.rounds)
        return sum(round_.accepted for round_ in self.rounds) / tested if tested else float("nan")

    @property
    def block_efficiency(self) -> float:
        """Tokens emitted per round."""
        return len(self.tokens) / len(self.rounds)


def decode(
    protocol: str,
    draft: LanguageModel | None,
    target: LanguageModel | None,
    prompt: Sequence[int] | str | Sequence[Mapping[str, str]],
    *,
    seed: int = 0,
    max_new_tokens: int = 64,
    temperature: float = 1.0,
    sampling: Sampling | None = None,
    request_id: int = 0,
    rng: RandomSource | None = None,
    draw: RandomSource | str | None = None,
    models: Mapping[str, LanguageModel] | None = None,
    controller: Controller | str | Mapping[str, Any] | None = None,
    wire_vocab_size: int | None = None,
    draft_temperature: float | None = None,
    **settings: Any,
) -> DecodeResult:
    """Generate with a protocol, no clock, no radio.

    Args:
        protocol: Registered name, such as ``tslt``, or ``package.module:Name``.
        draft: The draft model, None if the protocol needs none.
        target: The target model, None if the protocol needs none.
        prompt: Token ids; or, if the models have a tokenizer, text, or the messages of a chat (``role`` and ``content``
            each), to which the target's chat template is applied. An empty one stands for the begin-of-text token.
        seed: Master seed of the random numbers.
        max_new_tokens: Length limit.
        temperature: Of the sampling that "lossless" is relative to; 0 is greedy.
        sampling: The same with the target's top-k and top-p filters; overrides ``temperature``.
        request_id: Keys the request's random numbers together with the seed.
        rng: Another random source, such as the enumerating one.
        draw: The protocol's own key of this name, such as ``"top_k"``; or a random source, like ``rng``.
        models: Further models by role, for protocols over more than two.
        controller: Adjusts the protocol's controls between rounds: a registered name, a mapping with ``name`` and its
            keys, or an object, which goes on learning from request to request. There is no clock and no channel.
        wire_vocab_size: Charge messages as of a vocabulary of this size; None charges what they encode to.
        draft_temperature: Of the draft where a target verifies; None is the target's.
        settings: The protocol's own keys, such as ``draft_length=4, top_k=64``.

    Raises:
        InputError: Unknown protocol or controller, wrong settings, a controller that does not fit, a missing model, or
            a prompt that does not fit.
    """
    entry = PROTOCOLS.find(protocol)
    if isinstance(draw, str):
        settings["draw"] = draw
    elif rng is None:
        rng = draw
    parsed = _parsed(entry, settings)
    adjusting = controller_from(controller)
    refuse_misfit(str(controller_name(controller)), adjusting.adjusts, protocol, controls_of(entry, parsed))
    present = models_present(protocol, {"draft": draft, "target": target, **(models or {})})
    leader = present.get("target") or present[entry.traits["models"][-1]]
    request = Request(
        request_id,
        prompt_ids(prompt, leader, max_new_tokens),
        leader.vocab_size,
        max_new_tokens,
        leader.eos_ids,
        sampling if sampling is not None else Sampling(temperature),
        adjusting,
        wire_vocab_size,
        draft_temperature,
        (seed, request_id),
        lossless_to(entry),
    )
    source = rng if rng is not None else KeyedRandom(seed, "request", request_id)
    protocol_run = InstantDriver(present).run(entry.make(request, parsed, source), request)
    for model in present.values():
        model.close_request(request_id)
    tokenizer = leader.tokenizer
    text = tokenizer.decode(request.tokens) if tokenizer is not None else None
    return DecodeResult(request.tokens, request.rounds, protocol_run.records, text)


def _parsed(entry: RegistryEntry[Any], settings: Mapping[str, Any]) -> Settings:
    """A protocol's keys, checked.

    Raises:
        InputError: One is unknown or out of bounds.
    """
    try:
        return entry.settings(**settings)
    except ValidationError as error:
        raise InputError(f"protocol {entry.name!r}: {first_problem(error)}") from error


def models_present(protocol: str, by_role: Mapping[str, LanguageModel | None]) -> dict[str, LanguageModel]:
    """The models that there are, by role.

    Raises:
        InputError: One that the protocol needs is missing, or they do not have one vocabulary.
    """
    present = {role: model for role, model in by_role.items() if model is not None}
    missing = [role for role in PROTOCOLS.find(protocol).traits["models"] if role not in present]
    if missing:
        raise InputError(f"protocol {protocol!r} needs a {missing[0]} model")
    if len({model.vocab_size for model in present.values()}) > 1:
        widths = ", ".join(f"{model.name} {model.vocab_size}" for model in present.values())
        raise InputError(f"the models have different vocabularies ({widths}); load them as a pair")
    return present


def controller_name(controller: Controller | str | Mapping[str, Any] | None) -> str:
    """What to call a controller in a message."""
    if isinstance(controller, Mapping):
        return str(controller.get("name"))
    return controller if isinstance(controller, str) else type(controller).__name__


def controller_from(controller: Controller | str | Mapping[str, Any] | None) -> Controller:
    """A controller from its name, its name and keys, or itself; None is one that adjusts nothing.

    Raises:
        InputError: Unknown name or wrong keys.
    """
    if controller is None:
        return Controller(None)
    if isinstance(controller, Controller):
        return controller
    keys = {"name": controller} if isinstance(controller, str) else dict(controller)
    entry = CONTROLLERS.find(str(keys.pop("name", None)))
    try:
        return entry.make(entry.settings(**keys))
    except ValidationError as error:
        raise InputError(f"controller {entry.name!r}: {first_problem(error)}") from error


def prompt_ids(
    prompt: Sequence[int] | str | Sequence[Mapping[str, str]], model: LanguageModel, max_new_tokens: int
) -> list[int]:
    """A prompt as token ids that leave room for the generation.

    Raises:
        InputError: Text without a tokenizer, or a prompt too long for the model's context.
    """
    messages = [part for part in prompt if isinstance(part, Mapping)] if not isinstance(prompt, str) else []
    if isinstance(prompt, str) or messages:
        if model.tokenizer is None:
            raise InputError(f"{model.name} has no tokenizer; give the prompt as token ids")
        ids = model.tokenizer.encode(prompt) if isinstance(prompt, str) else model.tokenizer.encode_chat(messages)
    else:
        ids = [int(token) for token in prompt]  # type: ignore[arg-type]
    ids = ids or [model.bos_id]
    if len(ids) + max_new_tokens > model.max_context:
        raise InputError(
            f"a prompt of {len(ids)} tokens and {max_new_tokens} new ones exceed "
            f"the context of {model.name}, {model.max_context} tokens"
        )
    return ids


def first_problem(error: ValidationError) -> str:
    """The first problem that pydantic found, in one line."""
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    return f"{where}: {problem['msg']}" if where else problem["msg"]
