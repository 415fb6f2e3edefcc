"""A scenario's requests with their prompts as token ids."""

from __future__ import annotations

import json
from functools import lru_cache

from sim.core.files import cache_folder
from sim.core.user_code import remote_code_is_trusted
from sim.inputs.imported import prompts_in
from sim.inputs.prompts import Chat
from sim.inputs.requests import DrawnRequests
from sim.inputs.scenario_models import model_info_of
from sim.inputs.workload import PlannedRequest
from sim.models.info import ModelInfo
from sim.models.sources import is_here
from sim.scenario.schema import Kind, Scenario


def planned_requests(scenario: Scenario) -> list[PlannedRequest]:
    """Requests of a scenario of devices alike that are known before it runs, or the recordings that stand for all."""
    return request_source(Kind("", 0, scenario)).recordings()


def request_source(kind: Kind) -> DrawnRequests:
    """The requests of a kind of devices with their prompts as token ids."""
    models_info = model_info_of(kind.scenario)
    leader = models_info.get("target") or next(iter(models_info.values()))
    trusted = remote_code_is_trusted()

    def encode(content: str | Chat) -> tuple[int, ...]:
        return encode_prompt(leader, trusted, content)

    return DrawnRequests(kind.scenario, models_info, encode, kind.first, kind.name)


@lru_cache(maxsize=4096)
def encode_prompt(model: ModelInfo, trust_remote_code: bool, content: str | Chat) -> tuple[int, ...]:
    """Token ids of a text or a chat; those of models that are not on this machine come from an imported tape."""
    from sim.models.loading import load_tokenizer

    imported = prompts_in(cache_folder()).get(model.fingerprint, {})
    if (key := prompt_key(content)) in imported and not is_here(model.name):
        return tuple(imported[key])
    tokenizer = load_tokenizer(model.name, trust_remote_code=trust_remote_code)
    if isinstance(content, str):
        return tuple(tokenizer.encode(content))
    return tuple(tokenizer.encode_chat([{"role": role, "content": text} for role, text in content]))


def prompt_key(content: str | Chat) -> str:
    """What the token ids of a text or a chat are remembered by."""
    return content if isinstance(content, str) else f"chat {json.dumps(content)}"


def planned_by_kind(scenario: Scenario) -> list[tuple[Scenario, list[PlannedRequest]]]:
    """Each kind of a scenario's devices with its requests that are known before it runs."""
    return [(kind.scenario, request_source(kind).recordings()) for kind in scenario.by_kind()]
