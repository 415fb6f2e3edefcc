"""``specran prove``: the exact distribution of a protocol's text on small tables."""

from __future__ import annotations

import time
from collections.abc import Callable

from sim.cli.output import only_results_on_stdout, print_json, print_table, say
from sim.cli.run import say_user_code
from sim.decoding.analysis.proof import EXACT, prove
from sim.scenario.overrides import parse_assignment

# Seconds between two lines of progress.
PROGRESS_S = 5.0


def prove_command(
    name: str, set_: list[str], vocab_size: int, tokens: int, pairs: int, max_outcomes: int, as_json: bool
) -> int:
    """Print the distance; 1 if the text does not follow the target's distribution."""
    settings = dict(parse_assignment(text, "--set") for text in set_)
    with only_results_on_stdout():
        proof = prove(name, settings, vocab_size, tokens, pairs, max_outcomes, _progress(pairs, max_outcomes))
        say_user_code()
    smaller = {key: value for key, value in proof.settings.items() if key not in settings}
    if smaller:
        changed = " ".join(f"{key}={value}" for key, value in smaller.items())
        say(f"smaller: {changed} instead of the protocol's default, which has too many outcomes; --set changes it")
    if as_json:
        print_json(proof.to_plain())
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
    return 0 if proof.holds else 1


def _progress(pairs: int, max_outcomes: int) -> Callable[[int, int], None]:
    """Says every few seconds on stderr how far the enumeration is."""
    start_s = last_s = time.monotonic()

    def show(pair: int, outcomes: int) -> None:
        nonlocal last_s
        now_s = time.monotonic()
        if now_s - last_s >= PROGRESS_S:
            last_s = now_s
            say(
                f"running: pair {pair + 1} of {pairs}, {outcomes:,} outcomes followed in {now_s - start_s:.0f} s, "
                f"at most {max_outcomes:,}"
            )

    return show
