"""``specran plot`` and ``specran compare``: figures and paired differences from tables on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sim.core.errors import InputError, unknown_name_message

if TYPE_CHECKING:
    import pandas as pd

    from sim.figures.options import FigureOptions

# What is drawn and compared if no column is named: of sweeps, and of the requests of runs.
_SWEEP_LATENCY, _REQUEST_LATENCY = "e2e_mean_s", "e2e_s"
# So many names stand in a message.
_MAX_LISTED = 8


@dataclass(frozen=True)
class PlotRequest:
    """What ``specran plot`` was asked for, as it was typed.

    Attributes:
        results: Folders or tables, each ``PATH`` or ``NAME=PATH``; a path may be a pattern that matches one.
        x, y, by, facet: Columns.
        where: ``COLUMN=VALUE`` each.
        kind: ``line``, ``pareto``, ``heatmap`` or a registered figure.
        log_x, log_y: Scales; None chooses by the values.
        out: Picture to write.
        latex: Table to write beside it.
        size, style, title, xlabel, ylabel, xlim, ylim, legend, color: How it is to look.
    """

    results: Sequence[str]
    x: str | None = None
    y: str = _SWEEP_LATENCY
    by: str | None = None
    facet: str | None = None
    where: Sequence[str] = ()
    kind: str = "line"
    log_x: bool | None = None
    log_y: bool | None = None
    out: Path = Path("plot.png")
    latex: Path | None = None
    size: str = "ieee1"
    style: str | None = None
    title: str | None = None
    xlabel: str | None = None
    ylabel: str | None = None
    xlim: str | None = None
    ylim: str | None = None
    legend: Sequence[str] = ()
    color: Sequence[str] = ()


def plot_command(asked: PlotRequest) -> None:
    """Draw one figure, and write its table."""
    from sim.cli.output import say
    from sim.figures.plot import plot
    from sim.figures.style import save

    if asked.latex is not None and asked.latex.resolve() == asked.out.resolve():
        raise InputError(f"--out and --latex both name {asked.out}; give each a file of its own")
    rows = _parse_where(asked.where)
    columns = [column for column in (asked.x, asked.y, asked.by, asked.facet, *rows) if column is not None]
    tables = _tables_of(asked.results, columns)
    y = _latency_of(tables, asked.y)
    figure = plot(
        tables,
        asked.x,
        y,
        by=asked.by,
        facet=asked.facet,
        kind=asked.kind,
        log_x=asked.log_x,
        log_y=asked.log_y,
        where=rows,
        options=_options(asked, tables, y, rows),
    )
    _write(asked.out, lambda: save(figure, asked.out))
    say(f"figure:  {asked.out}")
    if asked.latex is not None:
        text = _latex(asked, tables, y, rows)
        _write(asked.latex, lambda: asked.latex and asked.latex.write_text(text, encoding="utf-8"))
        say(f"table:   {asked.latex}")


def _write(path: Path, write: Any) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write()
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error


def _latex(asked: PlotRequest, tables: Sequence[pd.DataFrame], y: str, rows: dict[str, list[str]]) -> str:
    from sim.figures.conditions import join, only
    from sim.figures.latex import latex_table
    from sim.figures.roles import find_roles

    if asked.kind != "line":
        raise InputError(f"--latex has a meaning with --kind line, not {asked.kind}")
    table, _ = only(join(tables), rows)
    roles = find_roles(table, asked.x, y, asked.by, asked.facet, asked.kind)
    return latex_table(table, roles.x, y, roles.by, _options(asked, tables, y, rows), roles.facet)


def _names_of_series(
    asked: PlotRequest, tables: Sequence[pd.DataFrame], y: str, rows: dict[str, list[str]]
) -> list[str]:
    """Whatever the series of a figure may be called; nothing for a registered figure, or if no series is named."""
    from sim.figures.conditions import check_columns, join, only, values_of
    from sim.figures.options import names_of
    from sim.figures.plot import KINDS
    from sim.figures.roles import find_roles, heatmap_roles

    if asked.kind not in KINDS or not (asked.legend or asked.color):
        return []
    table, _ = only(join(tables), rows)
    check_columns(table, x=asked.x, y=y, by=asked.by, facet=asked.facet)
    if asked.kind == "heatmap":
        roles = heatmap_roles(table, asked.x, y, asked.by, asked.facet)
    else:
        roles = find_roles(table, asked.x, y, asked.by, asked.facet, asked.kind)
    by = roles.by
    return [] if by is None else [name for value in values_of(table, by) for name in names_of(by, value)]


def _options(asked: PlotRequest, tables: Sequence[pd.DataFrame], y: str, rows: dict[str, list[str]]) -> FigureOptions:
    """The options of a figure from what was typed."""
    from sim.figures.options import LEGEND_PLACES, FigureOptions, parse_limits, split_named
    from sim.figures.style import WIDTHS_IN

    size, style_file = asked.size, None
    if asked.style in WIDTHS_IN:
        size = str(asked.style)
    elif asked.style is not None:
        style_file = Path(asked.style)
    places = [text for text in asked.legend if text in LEGEND_PLACES]
    known = _names_of_series(asked, tables, y, rows)
    named = [split_named(text, known) for text in asked.legend if text not in LEGEND_PLACES]
    if len(places) > 1:
        raise InputError(f"--legend: one place, not {' and '.join(places)}")
    colours = {}
    for text in asked.color:
        name, colour = split_named(text, known)
        if not (name and colour):
            raise InputError(f"--color expects NAME=COLOUR, such as 'top-64=tab:red', got {text!r}")
        colours[name] = colour
    return FigureOptions(
        size=size,
        title=asked.title,
        x_label=asked.xlabel,
        y_label=asked.ylabel,
        x_limits=parse_limits("xlim", asked.xlim),
        y_limits=parse_limits("ylim", asked.ylim),
        legend=places[0] if places else "outside",
        order=tuple(name for name, _ in named),
        names={name: label for name, label in named if label},
        colors=colours,
        style_file=style_file,
    )


def _parse_where(texts: Sequence[str]) -> dict[str, list[str]]:
    """Columns and the values asked for, from ``COLUMN=VALUE`` each."""
    rows: dict[str, list[str]] = {}
    for text in texts:
        column, equals, value = text.partition("=")
        if not (column and equals and value):
            raise InputError(f"--where expects COLUMN=VALUE, such as protocol.top_k=32, got {text!r}")
        rows.setdefault(column, []).append(value)
    return rows


def _latency_of(tables: Sequence[pd.DataFrame], column: str) -> str:
    """The column asked for; of requests' latency, where the one of sweeps is meant and none of them has it."""
    if column == _SWEEP_LATENCY and all(column not in table and _REQUEST_LATENCY in table for table in tables):
        return _REQUEST_LATENCY
    return column


def _named(text: str) -> tuple[str | None, Path]:
    """A name of one's own and a path, from ``NAME=PATH`` or ``PATH``; shells leave patterns after ``NAME=`` to us."""
    name, equals, path = text.partition("=")
    if equals and not Path(text).exists():
        return name, _newest(_matched(text, path))
    return None, _newest(_matched(text, text))


def _newest(path: Path) -> Path:
    """The result at a path, told where that is the newest of a scenario's folder."""
    from sim.cli.output import say
    from sim.figures.result_names import result_at

    found = result_at(path)
    if found != path:
        say(f"newest:  {found}")
    return found


def _matched(text: str, path: str) -> Path:
    """The one path that a pattern matches; a path without a pattern, or of that very name, as it is.

    Raises:
        InputError: Nothing matches, or several do.
    """
    import glob

    place = Path(path).expanduser()
    if place.exists() or not glob.has_magic(path):
        return place
    found = sorted(map(Path, glob.glob(str(place))), key=lambda match: (-match.stat().st_mtime_ns, match))
    if not found:
        raise InputError(f"{text}: no file or folder matches")
    if len(found) > 1:
        names = ", ".join(map(str, found[:_MAX_LISTED])) + (", ..." if len(found) > _MAX_LISTED else "")
        raise InputError(f"{text}: {len(found)} files or folders match; name one of them, newest first: {names}")
    return found[0]


def _tables_of(results: Sequence[str], columns: list[str]) -> list[pd.DataFrame]:
    """A table per result; runs are rows of one table if a column is asked for that requests lack and summaries have."""
    from sim.figures.runs_table import is_run, runs_table
    from sim.figures.variants import with_settings
    from sim.results.reading import read_table

    named = [_named(text) for text in results]
    given = [name for name, _ in named if name is not None]
    for name in given:
        if given.count(name) > 1:
            raise InputError(
                f"{given.count(name)} results are called {name!r}; give each a name of its own: NAME=RESULT"
            )
    named = [(name or by_keys, path) for (name, path), by_keys in zip(named, _by_keys(named), strict=True)]
    tables = {}
    for place, (name, path) in enumerate(named):
        tables[place] = with_settings(read_table(path, "kind" in columns), path, columns)
        tables[place].attrs["name"] = name or (path.stem if path.is_file() else path.resolve().name)
    runs = [place for place, (_, path) in enumerate(named) if is_run(path)]
    if all(set(columns) <= set(tables[place]) for place in runs):
        return list(tables.values())
    together = runs_table([named[place][1] for place in runs], columns)
    if not set(columns) <= set(together):
        return list(tables.values())
    together.attrs["name"] = "runs" if len(runs) > 1 else tables[runs[0]].attrs["name"]
    return [*(table for place, table in tables.items() if place not in runs), together]


def _by_keys(named: Sequence[tuple[str | None, Path]]) -> list[str | None]:
    """What results without a name of one's own are called, if their scenarios differ."""
    from sim.figures.result_names import names_by_difference

    places = [place for place, (name, _) in enumerate(named) if name is None]
    found = names_by_difference([named[place][1] for place in places])
    names: list[str | None] = [None] * len(named)
    for place, name in zip(places, found or (), strict=False):
        names[place] = name
    return names


def _sides(a: Path, b: Path | None, side_a: str | None, side_b: str | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The two tables that are compared."""
    from sim.figures.runs_table import seed_of
    from sim.results.reading import read_table

    tables = {path: read_table(path) for path in (a, b or a)}
    if b is None and (side_a is None or side_b is None):
        raise InputError("name two results, or two sides of one: --a VARIANT --b VARIANT")
    if b is not None:
        seeds = seed_of(a), seed_of(b)
        if None not in seeds and seeds[0] != seeds[1]:
            raise InputError(
                f"A ran with seed {seeds[0]}, B with seed {seeds[1]}: pairs must have seen the same random numbers"
            )
    return _side(tables[a], a, "a", side_a), _side(tables[b or a], b or a, "b", side_b)


def _side(table: pd.DataFrame, path: Path, option: str, text: str | None) -> pd.DataFrame:
    """The rows that one side of a comparison is made of."""
    from sim.figures.conditions import only
    from sim.figures.variants import with_settings

    if text is None:
        return table
    column, equals, value = text.partition("=")
    is_variant = "variant" in table and text in set(table["variant"])  # whose name may hold the sign
    if is_variant or not equals:
        column, value = "variant", text
        _check_variant(table, option, text)
    try:
        return only(with_settings(table, path, [column]), {column: [value]})[0]
    except InputError as error:
        raise InputError(str(error).replace("--where", f"--{option}", 1)) from error


def _check_variant(table: pd.DataFrame, option: str, text: str) -> None:
    """Refuse a name that no variant has, with the variants and the axes there are."""
    from sim.figures.conditions import text_of, values_of, varied_columns

    variants = [str(value) for value in values_of(table, "variant") if str(value)] if "variant" in table else []
    if text in variants:
        return
    axes = {}
    for column in varied_columns(table):
        if column != "variant":
            axes[column] = [text_of(value) for value in values_of(table, column)]
    such = next((f", such as {column}={text}" for column, values in axes.items() if text in values), "")
    listed = "; ".join(f"{column}={', '.join(values[:_MAX_LISTED])}" for column, values in axes.items())
    if variants:
        unknown = unknown_name_message("variant", text, variants)
        raise InputError(f"--{option}: {unknown}" + (f"; or COLUMN=VALUE{such} of {listed}" if axes else ""))
    if not axes:
        raise InputError(f"--{option} {text}: there are no variants here, and nothing was varied")
    raise InputError(
        f"--{option} {text}: there are no variants here; name rows by COLUMN=VALUE{such}; varied here: {listed}"
    )


def compare_command(
    a: Path,
    b: Path | None,
    metric: str,
    form: Literal["table", "json", "csv"] = "table",
    side_a: str | None = None,
    side_b: str | None = None,
) -> None:
    """Print paired differences.

    Args:
        a, b: Folders or tables; without ``b`` two sides of ``a`` are compared.
        metric: Column.
        form: How the rows are printed.
        side_a, side_b: Rows of each: a variant, or COLUMN=VALUE.
    """
    from sim.cli.output import print_rows, print_table, say
    from sim.figures.compare import compare
    from sim.figures.result_names import difference_lines

    a, b = _newest(a), b and _newest(b)
    tables = _sides(a, b, side_a, side_b)
    metric = _latency_of(tables, metric)
    compared = compare(*tables, metric)
    if form == "table":
        print_table(metric, *_compared_cells(compared))
    else:
        print_rows([{"metric": metric, **_plain_row(row)} for row in compared.to_dict("records")], form == "json")
    for name, path, side in (("A", a, side_a), ("B", b or a, side_b)):
        say(f"{name}: {path}" + (f", {side}" if side else ""))
    for line in difference_lines([a, b]) if b is not None else ():
        say(f"differs: {line}")
    count, per = compared["independent"].max(), compared.attrs["per"]
    say(f"intervals: Student's t over {count} {per}" + ("" if count > 1 else ", which gives none"))
    for name, alone in zip("AB", compared.attrs["alone"], strict=True):
        if alone:
            say(f"{name} has {alone} rows without a partner, which are left out")


def _compared_cells(compared: pd.DataFrame) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows for people."""
    from sim.cli.output import format_value

    def interval(row: dict[Any, Any], name: str) -> str:
        if row[f"{name}_low"] != row[f"{name}_low"]:
            return "-"
        return f"{format_value(row[f'{name}_low'])} to {format_value(row[f'{name}_high'])}"

    varied: list[str] = compared.attrs["varied"]
    columns = [*(varied or ["condition"]), "pairs", "A", "B", "B - A", "95 % interval", "B / A", "95 % interval"]
    rows = [
        [
            *_condition(row, varied),
            row["pairs"],
            row["mean_a"],
            row["mean_b"],
            row["difference"],
            interval(row, "difference"),
            row["ratio"],
            interval(row, "ratio"),
        ]
        for row in compared.to_dict("records")
    ]
    return columns, rows


def _plain_row(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row whose numbers are Python's own."""
    return {str(key): value.item() if hasattr(value, "item") else value for key, value in row.items()}


def _condition(row: dict[Any, Any], varied: list[str]) -> list[str]:
    """What the cells of a row say of its condition."""
    if row["condition"] == "all":
        return ["all", *[""] * (len(varied) - 1)]
    return [f"{row[key]:g}" if isinstance(row[key], float) else str(row[key]) for key in varied]
