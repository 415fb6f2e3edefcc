"""The generated pages, written below ``docs/generated``: all that changes with the code comes from the code."""

from __future__ import annotations

import inspect
import json
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from docs.generators.breakdown import breakdown_svg
from docs.generators.schema import Key, Part, parts

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "results" / "reference"


def write_all(folder: Path) -> list[Path]:
    """Write every generated page.

    Args:
        folder: Where to; made if it is missing.

    Returns:
        The pages.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, make in PAGES.items():
        path = folder / f"{name}.md"
        path.write_text(make(folder), encoding="utf-8")
        written.append(path)
    (folder / "breakdown.svg").write_text(breakdown_svg(), encoding="utf-8")
    return written


def cell(text: str) -> str:
    """Text that stays within one cell of a table."""
    return " ".join(text.replace("|", "\\|").split())


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    lines += [f"| {' | '.join(cell(value) for value in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


# ---- keys ------------------------------------------------------------------------------------------------------------

_CHOSEN = {
    "protocol": ("Protocols", "Decoding protocols and their keys, below `protocol:` beside `name`."),
    "controller": (
        "Controllers",
        "Controllers that adjust a protocol between rounds, below `controller:` beside `name`.",
    ),
    "link": ("Links", "Models of the air, below `link:` beside `kind`."),
    "compute": (
        "Compute models",
        "What model work costs, below `compute.device:`, `compute.edge:` or `compute.cloud:` beside `kind`.",
    ),
}


def keys_page(folder: Path) -> str:
    """Every key of a scenario."""
    found = _parts()
    text = [
        "# Scenario keys\n",
        "A scenario is a YAML file. This page lists every key with its unit, bounds, default and meaning. It is made",
        "from the schema that checks the file; `specran schema` prints that as JSON Schema, which editors understand.",
        "A default is what a key has where it is left out; *required* keys have none.\n",
    ]
    text.append("## Top level\n")
    text.append(_key_table(found[0].keys))
    for part in found[1:]:
        if not part.selector and part.path not in _CHOSEN:
            # A server's keys depend on its engine.
            engine = next((key.bounds.strip("`") for key in part.keys if key.name == "engine"), "")
            anchor, title = (f"{part.path}-{engine}", f"{part.path}, engine {engine}") if engine else (part.path,) * 2
            text += [f"(keys-{anchor})=", f"## {title}\n", f"{part.meaning}\n", _key_table(part.keys)]
    for name, (title, opening) in _CHOSEN.items():
        text += [f"(keys-{name})=", f"## {title}\n", f"{opening}\n"]
        for part in found:
            if part.path.startswith(f"{name}.") and part.selector:
                chosen = part.path.rpartition(".")[2]
                text += [f"(keys-{name}-{chosen})=", f"### {name}: {chosen}\n", f"{part.meaning}\n"]
                text.append(_key_table(part.keys) if part.keys else "It has no keys of its own.\n")
    return "\n".join(text)


def _parts() -> list[Part]:
    import sim

    return parts(version=getattr(sim, "__version__", "") or _declared_version())


def _declared_version() -> str:
    import tomllib

    return str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def _key_table(keys: Sequence[Key]) -> str:
    rows = [
        (
            f"`{key.name}`",
            f"{key.kind}{f' [{key.unit}]' if key.unit else ''}",
            f"`{key.default}`" if key.default else "*required*",
            key.bounds,
            key.meaning.replace("``", "`"),
            key.since,
        )
        for key in keys
    ]
    return table(("key", "type", "default", "values", "meaning", "since"), rows)


# ---- columns ---------------------------------------------------------------------------------------------------------


def columns_page(folder: Path) -> str:
    """Every column of every table."""
    from sim.figures.labels import label_of
    from sim.results.columns import TABLES

    heads = {
        "sweep": "`sweep.parquet` and `sweep.csv`: a row per point and replication, with a column per varied key and "
        "those of the summary",
        "summary": "`summary.json`: figures of one run",
        "requests": "`requests.parquet`: a row per request. Counts, payload bits, energies and parts of its time are "
        "sums over its rounds, of all their tokens and messages",
        "rounds": "`rounds.parquet`: a row per round. Counts (`tokens`, `drafted_tokens`, `tested_positions`, "
        "`accepted_tokens`, `inner_*`), payload bits and the parts of its time are sums over the round's tokens and "
        "messages. `overlap`, `tail_mass` and `draft_entropy_bits` are means over its tested positions, "
        "`target_entropy_bits` and `surprisal_bits` over its tokens: a mean of several rounds weighs each by "
        "`tested_positions` or `tokens`, as the summary does",
        "flows": "`flows.csv`: a row per background flow, of an `nr` link with `background`",
        "kpm": "`kpm.csv`: a row per cell and period in which anything was sent, of an `nr` link with `kpm_period_s`; "
        "names of TS 28.552",
        "slots": "`slots.parquet`: a row per transport block, of an `nr` link with `record_slots`",
    }
    text = [
        "# Columns\n",
        "The unit of a column is in its name: `_s` seconds, `_bits` bits, `_j` joules, `_bps` bit/s, `_mbps` Mbit/s,",
        "`_db` decibels. `specran list columns` prints this page as text.\n",
    ]
    for name, columns in TABLES.items():
        text += [f"(columns-{name})=", f"## {name}\n", f"{heads.get(name, name)}.\n"]
        text.append(
            table(
                ("column", "drawn as", "meaning"),
                [(f"`{key}`", label_of(key), value) for key, value in columns.items()],
            )
        )
    return "\n".join(text)


# ---- protocols and other registries ----------------------------------------------------------------------------------


def protocols_page(folder: Path) -> str:
    """Every protocol: what crosses the air in a round, its code, its keys."""
    from docs.generators.sequence import one_round, to_svg
    from sim.decoding.protocols.registry import PROTOCOLS

    text = [
        "# Protocols\n",
        "Each diagram shows one round as the registered code ran it over two small models with 64 tokens: what was",
        "computed where, and the bits of each encoded message. The code below a diagram is the protocol itself; it",
        "knows neither a clock nor a channel. *Lossless* means that the emitted text follows the target model's own",
        "distribution, which [an exact test](../concepts/exactness.md) proves for each of them.\n",
        protocol_table(),
    ]
    for entry in PROTOCOLS:
        picture = folder / "protocols" / f"{entry.name}.svg"
        picture.parent.mkdir(exist_ok=True)
        events = one_round(entry.name)
        picture.write_text(to_svg(events, f"One round of {entry.name}"), encoding="utf-8")
        text += [
            f"(protocol-{entry.name.replace('_', '-')})=",
            f"## {entry.name}\n",
            f"{_docstring(entry.make)}\n",
            f"Lossless: {_lossless(entry)}. Keys: [{entry.name}](keys.md#keys-protocol-{entry.name}).\n",
            f"![One round of {entry.name}](protocols/{entry.name}.svg)\n" if len(events) > 1 else "",
            _source(entry.make),
        ]
    return "\n".join(text)


def protocol_table() -> str:
    """Name, what crosses the air, losslessness and source of every protocol; names link to their sections."""
    from sim.decoding.protocols.registry import PROTOCOLS

    return table(
        ("name", "what it is", "lossless", "source"),
        [
            (
                f"[`{entry.name}`](#protocol-{entry.name.replace('_', '-')})",
                entry.summary,
                _lossless(entry),
                entry.traits.get("source") or "",
            )
            for entry in PROTOCOLS
        ],
    )


def _lossless(entry: Any) -> str:
    lossless = entry.traits.get("lossless")
    return "depends on its keys" if callable(lossless) else ("yes" if lossless else "no")


def _docstring(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").replace("``", "`")


def _source(thing: Any) -> str:
    code = textwrap.dedent(inspect.getsource(thing))
    return f"```python\n{code}```\n"


def registries_page(folder: Path) -> str:
    """Everything else that can be named in YAML."""
    from sim.cli.registries import REGISTRIES

    text = [
        "# Names\n",
        "What can be named in a scenario, as `specran list KIND` prints it, too. Any of these can also be a file of",
        "your own, named as `module:Name`.\n",
    ]
    for kind, part in REGISTRIES.items():
        if kind == "protocols":  # They have a page of their own.
            continue
        rows = [(f"`{entry.name}`", entry.summary) for entry in part.registry]
        text += [f"## {part.title}\n", f"Named by `{part.where}`.\n", table(("name", "what it is"), rows)]
    return "\n".join(text)


def hardware_page(folder: Path) -> str:
    """Named hardware, runtimes, precisions and model sizes, with the source of every number."""
    return "\n".join([*_hardware(), *_price_tables(), *_model_sizes()])


def _hardware() -> list[str]:
    from sim.compute.hardware import find_hardware, hardware_names

    rows = []
    for name in hardware_names():
        one = find_hardware(name)
        peak = max(one.peak_flops.items(), key=lambda pair: pair[0] == "fp16")
        cells = (
            peak[1] / 1e12,
            one.memory_bandwidth_bytes_per_s / 1e9,
            one.memory_bytes / 1e9,
            one.idle_power_w,
            one.peak_power_w,
        )
        shown = [f"{cell:,.0f}" if cell >= 1000 else f"{cell:.3g}" for cell in cells]
        rows.append((f"`{name}`", one.title, one.hardware_class, f"{shown[0]} ({peak[0]})", *shown[1:]))
    heads = ("name", "what it is", "class", "peak [TFLOP/s]", "memory [GB/s]", "memory for models [GB]", "idle [W]")
    text = [
        "# Hardware and model sizes\n",
        "What `compute: {edge: {kind: roofline, hardware: ..., model_size: ...}}` can name. An *assumption* is",
        "a number that no maker publishes; a scenario may set its own. How prices compare with measurements is on",
        "the page [validation](validation.md).\n",
        "## Hardware\n",
        table((*heads, "peak [W]"), rows),
        "## Sources of hardware\n",
    ]
    for name in hardware_names():
        text += [f"`{name}`\n", *(f"- {key}: {source}" for key, source in find_hardware(name).sources.items()), ""]
    return text


def _price_tables() -> list[str]:
    from sim.compute.data_files import read_table
    from sim.compute.runtimes import find_precision, precision_names, runtime_names, runtime_title

    text = ["## Runtimes\n", "What a runtime's own kernels reach and cost, by class of hardware.\n"]
    for name in runtime_names():
        sources = {key: row["source"] for key, row in read_table("runtimes")[name].items() if isinstance(row, dict)}
        text += [f"`{name}`: {runtime_title(name)}\n", *(f"- {key}: {source}" for key, source in sources.items()), ""]
    rows = []
    for name in precision_names():
        one = find_precision(name)
        sizes = (f"{one.bytes_per_weight:g}", f"{one.head_bytes_per_weight:g}")
        rows.append((f"`{name}`", *sizes, ", ".join(one.arithmetics)))
    heads = ("name", "bytes per weight", "in embedding and head", "computed in")
    return [*text, "## Precisions of weights\n", table(heads, rows)]


def _model_sizes() -> list[str]:
    from sim.compute.model_sizes import find_shape, shape_names, size_names

    called: dict[str, list[str]] = {}
    for size, name in size_names().items():
        called.setdefault(name, []).append(f"`{size}`")
    rows = []
    for name in shape_names():
        shape = find_shape(name)
        cached = f"{shape.kv_values_per_token() * 2 / 1e3:.4g}"
        cells = (f"{shape.parameters / 1e6:.0f}", f"{shape.layers:g}", cached, shape.source)
        rows.append((f"`{name}`", ", ".join(called.get(name, ())), *cells))
    heads = ("name", "size", "parameters [10⁶]", "layers", "16-bit keys and values per token [kB]", "source")
    return ["## Model sizes\n", table(heads, rows)]


# ---- command line ----------------------------------------------------------------------------------------------------


def commands_page(folder: Path) -> str:
    """Every command with its arguments and options, from the code that parses them."""
    import typer

    from sim.cli.app import build

    text = [
        "# Command line\n",
        "Made from the same texts as `specran --help`. Exit codes: 0 done; 2 the input is wrong (one message that says",
        "where and what would be right); 1 it failed. Results go to stdout, everything else to stderr.\n",
    ]
    root = typer.main.get_command(build())
    for name, command in commands("specran", root):
        context = command.context_class(command, info_name=name)
        usage = " ".join([name, *command.collect_usage_pieces(context)])
        text += [f"## {name}\n", f"{(command.help or '').strip()}\n", f"```text\n{usage}\n```\n"]
        records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
        rows = [
            (f"`{spelling}`", _with_options(meaning))
            for spelling, meaning in filter(None, records)
            if "--help" not in spelling
        ]
        if rows:
            text.append(table(("argument or option", "meaning"), rows))
    return "\n".join(text)


def _with_options(text: str) -> str:
    """Options within a sentence as code, so that their two hyphens stay two."""
    return re.sub(r"(?<![\w`-])(--[a-z][a-z-]*)", r"`\1`", text)


def commands(name: str, command: Any) -> Iterable[tuple[str, Any]]:
    """All commands below one, by what is typed."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
        return
    for key, value in inner.items():
        yield from commands(f"{name} {key}", value)


# ---- gallery and validation ------------------------------------------------------------------------------------------


def gallery_page(folder: Path) -> str:
    """Each bundled scenario with its figure, what it shows and the command that makes it."""
    import shutil

    from sim.reference import PICTURES, REFERENCES
    from sim.scenario.loading import bundled_scenarios

    pictures = folder / "gallery"
    pictures.mkdir(exist_ok=True)
    text = [
        "# Gallery\n",
        "The bundled scenarios. Each figure is in `results/reference/` with the table that it is drawn from;",
        "`make figures` makes them all anew.\n",
    ]
    for name, path in bundled_scenarios().items():
        text += [f"## {name}\n", f"{_opening_comment(path)}\n"]
        for reference in REFERENCES:
            if reference.scenario == name and (REFERENCE / f"{reference.name}.png").exists():
                shutil.copy(REFERENCE / f"{reference.name}.png", pictures)
                text.append(f"![{reference.caption}](gallery/{reference.name}.png)\n\n{reference.caption}\n")
        for picture in PICTURES:
            if picture.scenario == name and (REFERENCE / f"{picture.name}.png").exists():
                shutil.copy(REFERENCE / f"{picture.name}.png", pictures)
                text.append(f"![{picture.caption}](gallery/{picture.name}.png)\n\n{picture.caption}\n")
        if name.startswith("calibration_"):
            text.append(_calibrated(name, pictures))
        text.append(f"```sh\nspecran {_command_of(name, path)} {name}\n```\n")
    return "\n".join(text)


def _command_of(name: str, path: Path) -> str:
    """What a bundled scenario is made for."""
    if name == "city":
        return "city"
    if name.startswith("calibration_"):
        return "channel calibrate"
    return "sweep" if "\nsweep:" in path.read_text(encoding="utf-8") else "run"


def _calibrated(name: str, folder: Path) -> str:
    """The figure of a calibration, drawn now from one drop."""
    from sim.figures.calibration import calibration_figure
    from sim.figures.style import save
    from sim.links.nr.calibration import calibration_drop
    from sim.scenario.loading import load_scenario

    link: Any = load_scenario(name).link.settings
    drop = calibration_drop(link, 570, seed=1)
    drops = {"coupling_loss_db": drop.coupling_loss_db, "sir_db": drop.sir_db}
    save(calibration_figure(drops, link.scenario, link.carrier_ghz), folder / f"{name}.png")
    caption = "Coupling loss and geometry of 570 devices, with the medians of 3GPP's companies where there are any."
    return f"![{caption}](gallery/{name}.png)\n\n{caption}\n"


def _opening_comment(path: Path) -> str:
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# ").strip())
    return " ".join(lines)


def validation_page(folder: Path) -> str:
    """The validation table as it was written last."""
    from tests.validation.report import page

    return page(json.loads((REFERENCE / "validation.json").read_text(encoding="utf-8")))


PAGES: dict[str, Callable[[Path], str]] = {
    "keys": keys_page,
    "columns": columns_page,
    "protocols": protocols_page,
    "names": registries_page,
    "hardware": hardware_page,
    "commands": commands_page,
    "gallery": gallery_page,
    "validation": validation_page,
}
