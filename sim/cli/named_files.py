"""The files that a scenario names, opened with the readers that a run opens them with; no model is loaded for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

from channels.text_files import check_regular
from sim.core.errors import InputError
from sim.inputs.prompt_limits import ModelLimits, by_device, check_prompts, notes_of_devices
from sim.inputs.prompts import OF_FILE, SHIPPED, PromptFile, prompts_named, read_prompt_file, read_prompts, trace_of
from sim.scenario.devices import RENEWAL_PROCESSES
from sim.scenario.schema import Kind, Scenario


class Opened(NamedTuple):
    """What is to be said of the files of scenarios, a sentence each.

    Attributes:
        notes: What a run would say of them.
        left_out: What was not opened, and why.
    """

    notes: list[str]
    left_out: list[str]


def check_named_files(scenarios: Iterable[Scenario]) -> Opened:
    """Open every file that a run of these scenarios would open, but for the weights of models.

    Args:
        scenarios: One, or the points of a sweep; parts that they share are looked at once.

    Raises:
        InputError: A file is missing, cannot be read, or holds something else, or what no device or model of the
            scenario takes; with the key that names it.
    """
    notes: dict[str, None] = {}
    left_out: dict[str, None] = {}
    read = lru_cache(maxsize=2)(read_prompt_file)
    prompts_alone, prompts_of_models = partial(_prompts, read=read), partial(_limits, read=read)
    looked_at: dict[tuple[object, ...], Kind] = {}  # by the parts that are read, which are kept along
    for kind in (kind for each in scenarios for kind in each.by_kind()):
        own = kind.scenario
        prompts, placed = prompts_named(own.workload, own.models), (own.devices.count, kind.first)
        limits = (own.models, id(own.protocol), id(own.workload))
        for key, check, parts in (
            ("workload.prompts", prompts_alone, (prompts, kind.name, *placed)),
            ("devices.arrivals", _arrivals, (prompts, own.workload.turns, id(own.devices), kind.first)),
            ("link", _link, (id(own.link), id(own.devices))),
            ("compute", _calibrations, (id(own.compute), id(own.protocol), id(own.edge))),
            ("models", _models, (own.models, id(own.protocol))),
            ("workload.prompts", prompts_of_models, (prompts, *limits, *placed)),
        ):
            if looked_at.setdefault((check, *parts), kind) is kind:
                try:
                    said = dict.fromkeys(check(kind))
                except (OSError, RuntimeError, ValueError) as error:
                    # A name that no file can have: too long, or in the home folder of nobody.
                    raise InputError(f"{getattr(error, 'strerror', None) or error}", key) from error
                if check is prompts_alone:
                    notes |= said
                else:
                    left_out |= said
    return Opened(list(notes), list(left_out))


# How an entry of a file of prompts is read, by the key that it was read from.
_FORMATS = {
    "text": "plain texts",
    "ids": "token ids",
    "messages": "chats of OpenAI's interface",
    "conversations": "chats of ShareGPT",
    "turns": "questions of MT-bench or Spec-Bench",
    "prompt": "prompts of HumanEval or vLLM",
    "question": "questions of GSM8K",
    "instruction": "instructions of Alpaca",
}


def prompt_lines(scenarios: Iterable[Scenario]) -> list[str]:
    """What was read from the user's own files of prompts: a line each with how many there are and in which format.

    Raises:
        InputError: A file cannot be read.
    """
    kinds = (kind.scenario for each in scenarios for kind in each.by_kind())
    sources = dict.fromkeys(prompts_named(own.workload, own.models) for own in kinds)
    return [_described(source) for source in sources if source not in SHIPPED]


def _described(source: str) -> str:
    trace = trace_of(source)
    if trace is not None:
        return f"{len(trace.entries):,} requests of {source}, read as a trace: {trace.format}"
    prompts = read_prompts(source)
    found = dict.fromkeys(_FORMATS[prompt.form] for prompt in prompts if prompt.form)
    return f"{len(prompts):,} of {source}, read as {' and '.join(found) or 'plain texts, one a line'}"


def _prompts(kind: Kind, read: Callable[[str], PromptFile]) -> Iterator[str]:
    """Prompts, or a trace that stands for them; what a run notes of them."""
    devices = kind.scenario.devices
    file = read(prompts_named(kind.scenario.workload, kind.scenario.models))
    yield from (f"{OF_FILE}{note}" for note in file.notes)
    if file.prompts[0].num_tokens is None:
        indices = range(kind.first, kind.first + devices.count)
        absent = notes_of_devices(by_device(file.prompts), indices, is_alone=not kind.name)
        yield from (f"{OF_FILE}{note}" for note in absent)


def _limits(kind: Kind, read: Callable[[str], PromptFile]) -> list[str]:
    """Prompts that no device or model takes, as far as that is seen without a tokenizer."""
    own = kind.scenario
    source = prompts_named(own.workload, own.models)
    prompts = read(source).prompts
    limits = _model_limits(own, any(prompt.ids for prompt in prompts))
    check_prompts(prompts, source, own.workload, own.devices, kind.first, limits)
    return []


def _model_limits(scenario: Scenario, with_ids: bool) -> ModelLimits:
    """What is known of the models that the protocol runs; nothing of one that is not here."""
    from sim.inputs.scenario_models import model_names
    from sim.models.quick_limits import quick_context, quick_vocab_size

    if not scenario.protocol.entry.loaded:
        return ModelLimits()
    names = model_names(scenario.models, tuple(scenario.protocol.trait("models")))
    leader = names.get("target") or next(iter(names.values()))
    contexts = [quick_context(name) for name in dict.fromkeys(names.values())]
    known = [context for context in contexts if context is not None]
    vocab_size = quick_vocab_size(leader) if with_ids else None
    return ModelLimits(leader, vocab_size, min(known) if len(known) == len(contexts) else None)


def _arrivals(kind: Kind) -> list[str]:
    """Arrivals from a file, and a file of how their rate follows the time."""
    from sim.inputs.arrivals import Arrivals

    scenario = kind.scenario
    workload, devices = scenario.workload, scenario.devices
    if devices.is_closed_loop:
        return []
    trace = trace_of(prompts_named(workload, scenario.models))
    arrivals = Arrivals(devices, scenario.seed, trace, kind.first, workload.turns)
    if devices.arrivals not in RENEWAL_PROCESSES:
        for stream in arrivals.streams():
            for _ in stream:
                pass  # Each entry is checked when it is issued.
    return []


def _link(kind: Kind) -> list[str]:
    """Traces of bandwidth, and recordings of fading."""
    settings, num_devices = kind.scenario.link.settings, kind.scenario.devices.count
    for key in ("uplink_trace", "downlink_trace"):
        given = getattr(settings, key, None)
        if given is not None and kind.scenario.link.name == "trace":
            from channels.bandwidth_traces import load_trace

            for path in given if isinstance(given, list) else [given]:
                try:
                    load_trace(path)
                except ValueError as error:
                    raise InputError(str(error), f"link.{key}") from error
    recording = getattr(settings, "fading_trace", None)
    if recording is not None and kind.scenario.link.name == "nr":
        from channels.recorded import FadingTrace, RecordedFading

        try:
            RecordedFading(FadingTrace.load(Path(recording)), num_devices)
        except (OSError, ValueError) as error:
            raise InputError(str(error), "link.fading_trace") from error
    return []


def _calibrations(kind: Kind) -> list[str]:
    """Calibration files of the sites at which the protocol runs a model."""
    scenario = kind.scenario
    if not scenario.protocol.entry.loaded:
        return []
    used = {str(location.value) for where in scenario.placed().values() for location in where}
    for site, choice in scenario.compute.items():
        path = getattr(choice.settings, "file", None)
        if site in used and choice.name == "calibrated" and path is not None:
            from sim.compute.calibration_files import load

            try:
                load(Path(path))
            except InputError as error:
                raise InputError(error.message, f"compute.{site}.file") from error
    return []


def _models(kind: Kind) -> Iterator[str]:
    """Folders and files of the models that the protocol runs; of those that are not here, where they come from."""
    from sim.inputs.imported import find_models
    from sim.inputs.scenario_models import model_names
    from sim.models.sources import is_here

    scenario = kind.scenario
    if not scenario.protocol.entry.loaded:
        yield "models: which of them the protocol runs is known to its own code only; none was looked for"
        return
    names = model_names(scenario.models, tuple(scenario.protocol.trait("models")))
    imported = find_models(names, scenario.models.dtype) is not None
    for role, name in names.items():
        if imported and not is_here(name):
            yield f"models.{role} {name!r}: not here; what is on tape of it came with an imported tape"
            continue
        try:
            note = _model_note(name)
        except InputError as error:
            raise InputError(error.message, f"models.{role}") from error
        if note:
            yield f"models.{role} {name!r}: {note}"
    draft, target = (names.get(role, "") for role in ("draft", "target"))
    if draft and target and _family(draft) != _family(target) and is_here(draft) and is_here(target):
        yield f"models: whether the two make a pair; specran models check {draft} --with {target} tells"


def _family(name: str) -> str:
    """What models have in common that are surely a pair: made for each other, or layers of one model."""
    from sim.models.sources import LAYERS_MARK, SHIPPED_NAMES

    plain = name.partition(LAYERS_MARK)[0]
    return plain.split("/", maxsplit=1)[0] + "/" if plain in SHIPPED_NAMES else plain


def _model_note(name: str) -> str:
    """What is left to a run to find out of a model; empty if all that it needs is here.

    Raises:
        InputError: It is no model, or its folder cannot be used.
    """
    from sim.models.checkpoint import LAYERS_FILE, check_folder, read_json
    from sim.models.gguf_files import check_gguf
    from sim.models.sources import BASE_KEY, LAYERS_MARK, SHIPPED_NAMES, find_model, is_here

    plain = name.partition(LAYERS_MARK)[0]
    path = Path(plain).expanduser()
    if plain in SHIPPED_NAMES and not is_here(plain):
        return "smollm2/target is not here; fetched when run (93 MB)"
    if path.suffix.lower() == ".gguf":
        check_regular(path)
        check_gguf(path, name)
        return _left_to_check(name)
    if path.is_dir():
        check_folder(path, name)
        base = read_json(path / "config.json").get(BASE_KEY)
        if (path / LAYERS_FILE).is_file() and isinstance(base, str) and (note := _model_note(base)):
            return f"{base}: {note}"
        find_model(name)
        return _left_to_check(name)
    if (note := _hub_note(plain)) is not None:
        return note
    find_model(name)
    return ""


def _left_to_check(name: str) -> str:
    return f"its weights and network; specran models check {name} tells whether a run would refuse it"


def _hub_note(name: str) -> str | None:
    """What is left to a run to find out of a model of the hub; None if the name is none of the hub's."""
    from sim.compute.model_config import find_config
    from sim.models.hub import HUB_ID
    from sim.models.sources import SHIPPED_FOLDERS

    if name.startswith(tuple(SHIPPED_FOLDERS)) or Path(name).expanduser().exists() or not HUB_ID.fullmatch(name):
        return None
    try:
        is_cached = "/" in name and find_config(name) is not None
    except InputError:
        is_cached = False
    return "" if is_cached else "not here; asked of the Hugging Face hub when run"
