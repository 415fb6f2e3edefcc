"""Sequence diagrams as SVG: what a protocol really computed and sent in one round, from its recorded steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

_COLUMN, _ROW, _HEAD, _BOX = 250, 34, 46, 168
_PLACES = ("device", "edge", "cloud")


@dataclass(frozen=True)
class Event:
    """One line of a diagram.

    Attributes:
        source: Where it happens or starts: ``device``, ``edge`` or ``cloud``.
        target: Where a message goes; the source itself for computation.
        text: What is written at it.
        model: What model ran, of computation.
        passes: How many forward passes of it.
    """

    source: str
    target: str
    text: str
    model: str = ""
    passes: int = 0


def one_round(protocol: str) -> list[Event]:
    """What one round of a protocol does with small models of known rows, the prompt left out.

    Args:
        protocol: Registered name.
    """
    from sim.decoding import decode
    from sim.models.tabular import TabularModel

    target = TabularModel.random(3, 64, concentration=0.4, name="target")
    draft = TabularModel.random(4, 64, concentration=0.4, near=target, nearness=0.4, name="draft")
    middle = TabularModel.random(5, 64, concentration=0.4, near=target, nearness=0.8, name="middle")
    done = decode(protocol, draft, target, (0, 1, 2), seed=2, max_new_tokens=12, models={"middle": middle})
    events: list[Event] = []
    ended = False
    for step in done.steps:
        if ended:
            break
        ended = _note(step, events)
    return events


def _note(step: Any, events: list[Event]) -> bool:
    """Add a recorded step; True if it ended the first round."""
    from sim.decoding.drivers.protocol_run import branches_of

    kind = type(step).__name__
    if kind == "ComputeRecord":
        _computed(step, events)
    elif kind == "TransmitRecord":
        if step.kind != "prompt":
            source, target = _ends(step.hop)
            events.append(Event(source, target, f"{step.kind}, {step.payload_bits} bit"))
        return getattr(step, "round", None) is not None
    elif kind in ("TogetherRecord", "StartRecord"):
        ended = [_note(inner, events) for branch in branches_of(step) for inner in branch]
        return any(ended)
    return kind == "EmitRecord"


def _computed(step: Any, events: list[Event]) -> None:
    """Several forward passes of one model in a row are one line."""
    place = str(step.site.value)
    text = f"{step.model}: {step.new_tokens} new, {step.num_rows} rows"
    last = events[-1] if events else None
    if last is None or not last.source == last.target == place or last.model != step.model:
        events.append(Event(place, place, text, step.model, 1))
        return
    count = last.passes + 1
    events[-1] = Event(place, place, f"{count} × {step.model}", step.model, count)


def _ends(hop: Any) -> tuple[str, str]:
    ends = {
        "uplink": ("device", "edge"),
        "downlink": ("edge", "device"),
        "backhaul_up": ("edge", "cloud"),
        "backhaul_down": ("cloud", "edge"),
    }
    return ends[hop.value]


def to_svg(events: Sequence[Event], title: str) -> str:
    """Draw events from top to bottom between the vertical lines of the places that take part.

    Args:
        events: In order.
        title: For readers that are read the picture.
    """
    used = [place for place in _PLACES if any(place in (event.source, event.target) for event in events)]
    places = used if len(used) > 1 else list(_PLACES[:2])
    x = {place: 110 + index * _COLUMN for index, place in enumerate(places)}
    width, height = 220 + (len(places) - 1) * _COLUMN, _HEAD + _ROW * (len(events) + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" width="{width}">',
        f"<title>{escape(title)}</title>",
        "<style>text{font:13px sans-serif;fill:#1b2733}.line{stroke:#8a97a5}.arrow{stroke:#0b5a94;stroke-width:1.4}",
        ".box{fill:#eef3f8;stroke:#8a97a5}.head{font-weight:600}",
        "@media (prefers-color-scheme: dark){text{fill:#dfe7ef}.box{fill:#22303d}.arrow{stroke:#7cc0f2}}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#0b5a94"/></marker></defs>',
    ]
    for place in places:
        parts.append(f'<text class="head" x="{x[place]}" y="20" text-anchor="middle">{place}</text>')
        parts.append(f'<line class="line" x1="{x[place]}" y1="28" x2="{x[place]}" y2="{height - 8}"/>')
    for index, event in enumerate(events):
        y = _HEAD + _ROW * (index + 0.6)
        parts += _arrow(event, x, y) if event.source != event.target else _box(event, x, y)
    return "\n".join([*parts, "</svg>", ""])


def _arrow(event: Event, x: dict[str, int], y: float) -> list[str]:
    start, end = x[event.source], x[event.target]
    inset = 4 if end > start else -4
    return [
        f'<line class="arrow" x1="{start}" y1="{y}" x2="{end - inset}" y2="{y}" marker-end="url(#tip)"/>',
        f'<text x="{(start + end) / 2}" y="{y - 5}" text-anchor="middle">{escape(event.text)}</text>',
    ]


def _box(event: Event, x: dict[str, int], y: float) -> list[str]:
    left = x[event.source] - _BOX / 2
    return [
        f'<rect class="box" x="{left}" y="{y - 14}" width="{_BOX}" height="22" rx="4"/>',
        f'<text x="{x[event.source]}" y="{y + 1}" text-anchor="middle">{escape(event.text)}</text>',
    ]
