"""Workloads by the names of AI traffic in 3GPP S4-260115.

The names are 3GPP's; none of the lengths and bytes is. They are this project's own, of the size such services have,
meant to be changed. ``turns`` are left out: a chat needs all that was said, and these prompts are decoded after their
last tokens only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def _lognormal(mean: int, longest: int) -> dict[str, Any]:
    return {"distribution": "lognormal", "mean": mean, "cv": 1.0, "min": 4, "max": longest}


def _geometric(mean: int, longest: int) -> dict[str, Any]:
    return {"distribution": "geometric", "mean": mean, "max": longest}


def _of(prompt: int, answer: int, system: int = 0, up: int = 0, down: int = 0) -> dict[str, Any]:
    return {
        "prompt_tokens": _lognormal(prompt, 8 * prompt),
        "output_tokens": _geometric(answer, 4 * answer),
        "decoded_prompt_tokens": 64,
        "system_prompt_tokens": system,
        "uplink_attachment_bytes": up,
        "downlink_attachment_bytes": down,
    }


TRAFFIC: Mapping[str, Mapping[str, Any]] = {
    "chat_basic": _of(120, 200, system=128),
    "chat_streaming": _of(400, 200, system=128),
    "shopping_agent": _of(1200, 100, system=512, down=300_000),
    "web_search_agent": _of(4000, 200, system=512),
    "realtime_text": _of(60, 40, system=128),
    # 5 s of speech at 40 kbit/s up, 6 s down.
    "realtime_audio": _of(100, 120, system=128, up=25_000, down=30_000),
    "image_generation": _of(60, 20, down=1_500_000),
    "multimodal_analysis": _of(1200, 200, up=500_000),
    # 10 s of video at 2 Mbit/s.
    "video_streaming": _of(2500, 80, up=2_500_000),
    # A picture of the screen.
    "computer_control_agent": _of(2000, 60, system=512, up=200_000),
}
"""What each name sets under ``workload``, where the scenario does not say otherwise."""
