"""The schema of the workload: what is asked, how long prompts and answers are, and how tokens are drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from sim.core.settings import Settings
from sim.scenario.devices import MAX_REQUESTS
from sim.scenario.lengths import LengthSettings
from sim.scenario.traffic import TRAFFIC

# More than any model's context.
MAX_TOKENS = 10_000_000
# Logits over it stay far from overflow.
MIN_TEMPERATURE = 0.001


class WorkloadSettings(Settings):
    """What is asked, and how tokens are drawn."""

    traffic: (
        Literal[
            "chat_basic",
            "chat_streaming",
            "shopping_agent",
            "web_search_agent",
            "realtime_text",
            "realtime_audio",
            "image_generation",
            "multimodal_analysis",
            "video_streaming",
            "computer_control_agent",
        ]
        | None
    ) = None
    """Lengths and attachments by a name of AI traffic in 3GPP S4-260115; the numbers are this project's own, and keys
    that are set come first."""
    prompts: str = "auto"
    """`chat` (eight kinds of requests) or `embedded` (beginnings of Python code), which ship with SpecRAN; `auto` is
    `embedded` with the target `embedded/target`, which writes nothing else, and `chat` with any other; or a file: JSON
    lines or a JSON list of `text`, `ids`, or chats as OpenAI, ShareGPT, MT-bench, Spec-Bench, HumanEval, GSM8K, Alpaca
    and vLLM have them, with `category`, `device` and `max_new_tokens` of their own; or plain text, a prompt a line."""
    chat_template: Literal["auto", "always", "never"] = "auto"
    """Whether the target's chat template is applied: `auto` to chats, `always` to plain texts too, `never` at all."""
    max_prompt_tokens: int | None = Field(default=None, ge=1, le=MAX_TOKENS)
    """Keep only the last so many tokens of a prompt, with the special tokens that it begins with; without it a prompt
    that does not fit is refused."""
    max_new_tokens: int = Field(default=64, ge=1, le=MAX_TOKENS)
    """Length limit of each generation."""
    prompt_tokens: LengthSettings | None = None
    """Lengths of prompts that are cut from real text at random, in place of the prompts themselves."""
    output_tokens: LengthSettings | None = None
    """Length limits of the generations, drawn for each request; a prompt's own in its file comes first."""
    decoded_prompt_tokens: int | None = Field(default=None, ge=1, le=MAX_TOKENS)
    """Decode after the last so many tokens of a longer prompt, for which time, memory and airtime are still those of
    its full length: for loads of long prompts whose text does not matter."""
    system_prompt_tokens: int = Field(default=0, ge=0, le=MAX_TOKENS)
    """Tokens of real text that all prompts begin with, as with a system prompt; a server's prefix cache keeps them."""
    turns: int = Field(default=1, ge=1, le=10_000)
    """Requests of a device that make one chat: the prompt of each holds the ones before it and their answers. In an
    open loop chats arrive, and each further request comes after the answer before it and a think time."""
    uplink_attachment_bytes: int = Field(default=0, ge=0, le=1_000_000_000)
    """Bytes that go up with every prompt beside its text, such as an image or speech."""
    downlink_attachment_bytes: int = Field(default=0, ge=0, le=1_000_000_000)
    """Bytes that come down with the first tokens of every answer, such as an image that was made."""
    distinct_requests: int | None = Field(default=None, ge=1, le=MAX_REQUESTS)
    """Decode so many requests only, each of which stands for many of a long window; all are different if not set."""
    stop_at_eos: bool = True
    """Whether an end-of-text token ends a generation."""
    temperature: float = Field(default=1.0, ge=0, le=100)
    """Sampling temperature of target and draft; 0 is greedy, anything else is at least 0.001."""
    draft_temperature: float | None = Field(default=None, ge=0, le=100)
    """Sampling temperature of the draft model where another one verifies; the target's if not set. Verification is
    exact for whatever the draft is drawn from, so that only acceptance depends on it."""
    top_k: int | None = Field(default=None, ge=1, le=10_000_000)
    """Sample among the k most probable tokens only."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    """Sample among the smallest set that holds this mass only."""

    @model_validator(mode="before")
    @classmethod
    def _of_traffic(cls, data: Any) -> Any:
        """What the name of a kind of traffic sets, below what is set itself."""
        name = data.get("traffic") if isinstance(data, Mapping) else None
        return {**TRAFFIC[name], **data} if isinstance(name, str) and name in TRAFFIC else data

    @field_validator("temperature", "draft_temperature")
    @classmethod
    def _no_overflow(cls, temperature: float | None) -> float | None:
        if temperature is not None and 0 < temperature < MIN_TEMPERATURE:
            raise ValueError(f"expected 0 (greedy) or at least {MIN_TEMPERATURE}, got {temperature:g}")
        return temperature

    @model_validator(mode="after")
    def _turns_fit(self) -> WorkloadSettings:
        if self.turns > 1:
            for key in ("distinct_requests", "decoded_prompt_tokens"):
                if getattr(self, key) is not None:
                    raise ValueError(f"turns above 1 need the conversation so far; take {key} out")
        return self
