"""``python -m tests.validation``: run every oracle, print one table, write JSON."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.validation.registry import Maker, run
from tests.validation.report import counts, print_rows, write_json

JSON = Path("results/reference/validation.json")


def _say_time(maker: Maker, seconds: float) -> None:
    print(f"{seconds:7.2f} s  {maker.section}: {maker.make.__name__}", file=sys.stderr)


def main(arguments: list[str] | None = None) -> int:
    """Run the validation; exit code 1 if a row does not say what it should."""
    parser = argparse.ArgumentParser(prog="python -m tests.validation", description=__doc__)
    parser.add_argument("--fast", action="store_true", help="the subset that takes under a minute")
    parser.add_argument("--only", action="append", default=[], metavar="SECTION", help="a section or a function's name")
    parser.add_argument("--times", action="store_true", help="say how long each function took")
    parser.add_argument("--json", type=Path, help=f"where to write the rows; {JSON} for a whole run")
    options = parser.parse_args(arguments)
    took = _say_time if options.times else None
    rows = print_rows(run(options.fast, options.only, took))
    path = options.json or (None if options.fast or options.only else JSON)
    if path is not None:
        write_json(rows, path)
        print(f"rows: {path}", file=sys.stderr)
    print(counts(rows))
    wrong = [row for row in rows if not row.is_as_stated]
    for row in wrong:
        print(f"{row.verdict}: {row.section}: {row.what}: expected {row.expected}, got {row.got}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
