"""A drawing of one round in time, with the parts that its seconds are booked under."""

from __future__ import annotations

from html import escape

from sim.figures.style import PART_COLOURS

# (lane, part or "" for what is not a part, width, words in the box); lanes from top to bottom.
_LANES = ("device", "air", "edge")
_SPANS = (
    ("device", "device_queue", 90, "waits"),
    ("device", "draft_compute", 110, "draft"),
    ("air", "uplink_access", 96, "SR, grant, K2"),
    ("air", "uplink_air", 84, "blocks"),
    ("air", "uplink_retransmission", 60, "HARQ"),
    ("air", "transport", 50, "decode"),
    ("edge", "edge_queue", 70, "batch"),
    ("edge", "verify_compute", 100, "verify"),
    ("air", "downlink_access", 60, "queue"),
    ("air", "downlink_air", 50, "verdict"),
    ("air", "transport", 50, "decode"),
)
_LEFT, _TOP, _LANE, _BOX = 70, 16, 64, 26
_DARK = ("#0072B2", "#003B5C", "#009E73", "#8C6D1F", "#7A3F5F")


def breakdown_svg() -> str:
    """One round from left to right: each span's part is written below it in the lane where it happens."""
    width = _LEFT + sum(span[2] for span in _SPANS) + 20
    height = _TOP + _LANE * len(_LANES) + 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" width="{width}">',
        "<title>One round in time, and the parts that its seconds are booked under</title>",
        "<style>text{font:12px sans-serif;fill:#1b2733}.part{font:10.5px monospace}.lane{font-weight:600}",
        ".line{stroke:#b9c2cc}.step{stroke:#8a97a5;stroke-dasharray:2 3}.on-dark{fill:#fff}.on-light{fill:#1b2733}",
        "@media (prefers-color-scheme: dark){text{fill:#dfe7ef}.on-light{fill:#1b2733}}</style>",
    ]
    for index, lane in enumerate(_LANES):
        y = _TOP + _LANE * index + _BOX / 2
        parts.append(f'<text class="lane" x="4" y="{y + 4}">{lane}</text>')
        parts.append(f'<line class="line" x1="{_LEFT - 10}" y1="{y}" x2="{width - 10}" y2="{y}"/>')
    x, last = float(_LEFT), ""
    for number, (lane, part, span, words) in enumerate(_SPANS):
        y = _TOP + _LANE * _LANES.index(lane)
        if last and last != lane:
            other = _TOP + _LANE * _LANES.index(last)
            parts.append(f'<line class="step" x1="{x}" y1="{other + _BOX}" x2="{x}" y2="{y}"/>')
        colour = PART_COLOURS[part]
        shade = "on-dark" if colour in _DARK else "on-light"
        parts.append(f'<rect x="{x}" y="{y}" width="{span}" height="{_BOX}" fill="{colour}" stroke="#fff"/>')
        middle = x + span / 2
        parts.append(f'<text class="{shade}" x="{middle}" y="{y + 17}" text-anchor="middle">{escape(words)}</text>')
        # Names are longer than their spans: those of neighbours stand on two heights.
        below = y + _BOX + (12 if number % 2 else 25)
        parts.append(f'<text class="part" x="{middle}" y="{below}" text-anchor="middle">{part}</text>')
        x, last = x + span, lane
    y = height - 12
    parts.append(f'<line class="line" x1="{_LEFT}" y1="{y}" x2="{x}" y2="{y}"/>')
    parts.append(
        f'<text x="{(_LEFT + x) / 2}" y="{y - 5}" text-anchor="middle">e2e_s of a request with one round</text>'
    )
    return "\n".join([*parts, "</svg>", ""])
