"""One self-contained HTML page: everything is inline, nothing is fetched, and every text is escaped."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.figures.captions import caption_of
from sim.figures.labels import name_of, number, significant, unit_of
from sim.report.asked import script

if TYPE_CHECKING:
    import pandas as pd

# More rows than a person scrolls through; the CSV beside the page has them all.
_MAX_ROWS = 500
# The one part of a manifest that differs between runs of one scenario.
RUN_FACTS = "run_facts"
_ONE_COLUMN_PT = 300
_IMAGE_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}


def write_report(
    folder: Path,
    title: str,
    summary_rows: Sequence[Mapping[str, Any]],
    tables: Mapping[str, pd.DataFrame],
    figures: Sequence[Path],
    scenario_yaml: str,
    manifest: Mapping[str, Any],
    warnings: Sequence[str],
    subtitle: str = "",
    asked: str = "",
) -> Path:
    """Write ``report.html``.

    Args:
        folder: Where to.
        title: Head of the page.
        summary_rows: One card each: ``label``, ``value``, and if wanted ``unit`` and ``note``.
        tables: Frames by heading.
        figures: Pictures; of files that differ in suffix alone, SVG is taken before PNG, others are left out.
        scenario_yaml: The resolved scenario.
        manifest: Versions and whatever else the result came from, nested.
        warnings: What to know before believing it.
        subtitle: A line below the title.
        asked: The section that a reader's choices draw, as ``sim.report.asked`` makes it.

    Returns:
        The page's path.
    """
    sections = [
        _warnings(warnings),
        _cards(summary_rows),
        _figures(figures),
        asked,
        *(_table_section(heading, frame) for heading, frame in tables.items()),
        _scenario(scenario_yaml),
        _manifest(manifest),
    ]
    body = "\n".join(section for section in sections if section)
    page = _page(title, subtitle, body, script() if asked else "")
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _page(title: str, subtitle: str, body: str, more_script: str = "") -> str:
    assets = files("sim.report")
    css = assets.joinpath("page.css").read_text(encoding="utf-8")
    sorting = assets.joinpath("page.js").read_text(encoding="utf-8")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>
{css}</style>
</head>
<body>
<main class="page">
<h1>{escape(title)}</h1>
<p class="subtitle">{escape(subtitle)}</p>
{body}
<footer>Written by SpecRAN. Tables and figures lie beside this page.</footer>
</main>
<script>
{sorting}{more_script.removeprefix('"use strict";')}</script>
</body>
</html>
"""


def _warnings(warnings: Sequence[str]) -> str:
    if not warnings:
        return ""
    items = "\n".join(f"<li>{escape(_unbroken(text[:1].upper() + text[1:]))}</li>" for text in warnings)
    return f'<ul class="warnings" aria-label="Warnings">\n{items}\n</ul>'


def _cards(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    cards = []
    for row in rows:
        unit = f' <span class="unit">{escape(str(row["unit"]))}</span>' if row.get("unit") else ""
        note = f' <span class="note">{escape(str(row["note"]))}</span>' if row.get("note") else ""
        value = escape(cell_text(row["value"]))
        cards.append(f"<div><dt>{escape(str(row['label']))}</dt><dd>{value}{unit}{note}</dd></div>")
    return '<dl class="cards">\n' + "\n".join(cards) + "\n</dl>"


def _figures(figures: Sequence[Path]) -> str:
    chosen: dict[str, Path] = {}
    for path in figures:
        if path.suffix in _IMAGE_TYPES and chosen.get(path.stem, path).suffix != ".svg":
            chosen[path.stem] = path
    if not chosen:
        return ""
    shown = "\n".join(_figure(stem, path) for stem, path in chosen.items())
    return f'<h2>Figures</h2>\n<div class="figures">\n{shown}\n</div>'


def _figure(stem: str, path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    caption = escape(_unbroken(caption_of(stem)))
    wide = ' class="wide"' if _is_wide(path) else ""
    return (
        f'<figure{wide}><img alt="{caption}" src="data:{_IMAGE_TYPES[path.suffix]};base64,{data}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _is_wide(path: Path) -> bool:
    """Whether a picture is so wide, and so much wider than high, that it needs the page's width."""
    if path.suffix == ".png":
        header = path.read_bytes()[16:24]
        width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:], "big")
    else:
        box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', path.read_text(encoding="utf-8")[:4000])
        width, height = (float(side) for side in box.groups()) if box else (1, 1)
    # A picture for one column of a paper stays legible in one column of the page.
    return width > 2.2 * height and (path.suffix == ".png" or width > _ONE_COLUMN_PT)


def _unbroken(text: str) -> str:
    """The text with percent signs kept beside their numbers."""
    return text.replace(" %", "\u00a0%")


def _table_section(heading: str, frame: pd.DataFrame) -> str:
    if frame.empty:
        return ""
    left_out = len(frame) - _MAX_ROWS
    note = f'<p class="note">The first {_MAX_ROWS} of {len(frame)} rows.</p>' if left_out > 0 else ""
    table = html_table(frame.head(_MAX_ROWS))
    box = f'<div class="box" role="region" tabindex="0" aria-label="{escape(heading)}">\n{table}\n</div>'
    return f"<h2>{escape(heading)}</h2>\n{box}{note}"


def html_table(frame: pd.DataFrame) -> str:
    """A frame as a table whose heads sort it; numbers in full precision behind the cells."""
    import pandas as pd

    numeric = [pd.api.types.is_numeric_dtype(frame[column]) for column in frame]
    heads = "".join(
        f'<th scope="col"{"" if is_number else " class=text"} title="{escape(str(column))}">{_head(str(column))}</th>'
        for column, is_number in zip(frame, numeric, strict=True)
    )
    texts = [_column_texts(frame[column]) if numeric[place] else None for place, column in enumerate(frame)]
    rows = []
    for index, row in enumerate(frame.itertuples(index=False)):
        cells = "".join(
            _cell(value, None if shown is None else shown[index]) for value, shown in zip(row, texts, strict=True)
        )
        rows.append(f"<tr>{cells}</tr>")
    return f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n" + "\n".join(rows) + "\n</tbody>\n</table>"


def _head(column: str) -> str:
    unit = unit_of(column)
    below = f'<span class="unit">{escape(unit)}</span>' if unit else ""
    # No button element: browsers leave those out where a page of paper repeats the head.
    return f'<span class="head" role="button" tabindex="0">{escape(name_of(column))}{below}</span>'


def _column_texts(column: pd.Series) -> list[str]:
    """Numbers of a column with significant digits alike; keys and whole numbers as they are."""
    values = [value.item() if hasattr(value, "item") else value for value in column]
    finite = [value for value in values if not _is_missing(value)]
    if "." in str(column.name) or all(isinstance(value, bool) or float(value).is_integer() for value in finite):
        return [cell_text(value) for value in values]
    return ["–" if _is_missing(value) else significant(value) for value in values]


def _cell(value: Any, shown: str | None) -> str:
    """A cell; ``shown`` is what a number is shown as, None for what is none."""
    if shown is None:
        return f'<td class="text">{escape(str(value))}</td>'
    behind = "" if _is_missing(value) else repr(value.item() if hasattr(value, "item") else value)
    return f'<td data-value="{escape(behind)}">{escape(shown)}</td>'


def cell_text(value: Any) -> str:
    """A value as people read it: three or four significant digits, a dash where there is none."""
    if _is_missing(value):
        return "–"
    return number(value.item() if hasattr(value, "item") else value)


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def _scenario(text: str) -> str:
    if not text:
        return ""
    return (
        "<h2>Scenario</h2>\n<details><summary>The resolved scenario, every key spelled out</summary>\n"
        f'<div class="box" role="region" tabindex="0" aria-label="Scenario"><pre>{escape(text)}</pre></div>\n</details>'
    )


def _manifest(manifest: Mapping[str, Any]) -> str:
    own = manifest.get(RUN_FACTS, {})
    rows = _fact_rows("", {key: value for key, value in manifest.items() if key != RUN_FACTS})
    own_rows = _fact_rows(RUN_FACTS, own)
    if not rows and not own_rows:
        return ""
    return (
        "<h2>Where it comes from</h2>\n<details><summary>Versions, seed, hashes, host</summary>\n"
        f'<div class="box" role="region" tabindex="0" aria-label="Manifest">'
        f'<table class="facts"><tbody>\n{rows}\n</tbody>'
        f'<tbody id="run-facts">\n{own_rows}\n</tbody></table></div>\n</details>'
    )


def _fact_rows(prefix: str, values: Mapping[str, Any]) -> str:
    leaves = _flat(prefix, values)
    return "\n".join(f"<tr><td>{escape(key)}</td><td>{escape(cell_text(value))}</td></tr>" for key, value in leaves)


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Leaves of nested mappings with their dotted keys."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else str(key), inner)
    elif isinstance(value, list | tuple):
        yield prefix, ", ".join(cell_text(item) for item in value)
    else:
        yield prefix, value
