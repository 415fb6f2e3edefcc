"""``specran prove``: the exact distribution of a protocol's text on small tables."""

from __future__ import annotations

import ast
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from sim.cli.output import only_results_on_stdout, print_json, print_table, say
from sim.cli.reached_lines import ReachedLines, in_words
from sim.cli.run import say_user_code
from sim.core.errors import InputError
from sim.core.user_code import is_user_name
from sim.decoding.analysis.proof import EXACT, prove
from sim.decoding.protocols.registry import PROTOCOLS
from sim.scenario.overrides import parse_assignment

# Seconds between two lines of progress.
PROGRESS_S = 5.0


def prove_command(
    name: str, set_: list[str], vocab_size: int, tokens: int, pairs: int, max_outcomes: int, as_json: bool
) -> int:
    """Print the distance; 1 if the text does not follow the target's distribution."""
    settings = dict(parse_assignment(text, "--set") for text in set_)
    with only_results_on_stdout():
        try:
            entry = PROTOCOLS.find(name)
        except InputError as error:
            raise InputError(f"{error.message}{_hint_of_a_file(name)}", error.key, error.place) from error
        # Of one that ships the tests have settled it.
        reached = ReachedLines(entry.make) if is_user_name(name) else None
        with nullcontext() if reached is None else reached.watching():
            proof = prove(name, settings, vocab_size, tokens, pairs, max_outcomes, _progress(pairs, max_outcomes))
        say_user_code()
    smaller = {key: value for key, value in proof.settings.items() if key not in settings}
    if smaller:
        changed = " ".join(f"{key}={value}" for key, value in smaller.items())
        say(f"smaller: {changed} instead of the protocol's default, which has too many outcomes; --set changes it")
    if as_json:
        missed = {} if reached is None else {"lines_not_reached": reached.missed}
        print_json({**proof.to_plain(), **missed})
    else:
        columns = ("pair", "ends of text", "distance", "text that differs most", "protocol", "target")
        rows = [
            (
                str(table.pair),
                "yes" if table.ends else "no",
                f"{table.distance:.3g}",
                " ".join(map(str, table.worst_text)),
                f"{table.probability:.15g}",
                f"{table.target_probability:.15g}",
            )
            for table in proof.tables
        ]
        title = f"{name}: total variation from the target's distribution, {vocab_size} tokens, texts of {tokens}"
        print_table(title, columns, rows)
    if proof.holds:
        say(f"proved:  the largest distance is {proof.distance:.3g}, at most {EXACT:g} is rounding")
    else:
        claim = " although it is registered as lossless" if proof.claims_lossless else ""
        say(f"lossy:   the largest distance is {proof.distance:.3g}{claim}; at most {EXACT:g} is rounding")
    if reached is not None and reached.missed:
        which = f"{in_words(reached.missed)} of {Path(reached.path).name}"
        say(f"not run: {which}: no path came there, and nothing is proved of it (try more --tokens, or other keys)")
    return 0 if proof.holds else 1


def _hint_of_a_file(name: str) -> str:
    """What to write for a protocol in a file of the working folder, where that is what was meant."""
    path = Path(name if name.endswith(".py") else f"{name}.py")
    if ":" in name or not path.is_file():
        return ""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return ""
    own = [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        for one in node.decorator_list
        if isinstance(one, ast.Call) and getattr(one.func, "id", getattr(one.func, "attr", "")) == "protocol"
    ]
    names = " or ".join(f"{path.stem}:{function}" for function in own) or f"{path.stem}:NAME"
    return f". There is {path} here: name its protocol {names}"


def _progress(pairs: int, max_outcomes: int) -> Callable[[int, int], None]:
    """Says every few seconds on stderr how far the enumeration is, and how long it may take at most."""
    start_s = last_s = time.monotonic()

    def show(pair: int, outcomes: int) -> None:
        nonlocal last_s
        now_s = time.monotonic()
        if now_s - last_s >= PROGRESS_S:
            last_s = now_s
            rate_hz = outcomes / (now_s - start_s)
            left_s = (max_outcomes - outcomes) / rate_hz
            say(
                f"running: pair {pair + 1} of {pairs}, {outcomes:,} outcomes followed in {now_s - start_s:.0f} s "
                f"({rate_hz:,.0f} a second); at most {max_outcomes:,}, which would take {left_s:,.0f} s more"
            )

    return show
