"""``specran tape``: record, list, verify, prune, export and import what was decoded."""

from __future__ import annotations

import math
import os
from pathlib import Path

from sim.cli.output import ProgressBars, only_results_on_stdout, print_json, say
from sim.cli.run import say_user_code
from sim.cli.terminal import print_lines
from sim.core.errors import InputError
from sim.core.files import clean_cache
from sim.inputs.tokenised_requests import planned_by_kind
from sim.inputs.versions import decoding_code
from sim.runs.prepare import must_be_live, tape_store
from sim.scenario.loading import load_scenario, locate_errors
from sim.scenario.overrides import changes_of, parse_axes
from sim.scenario.points import expand
from sim.scenario.schema import Scenario
from sim.tape.archive import TapeArchive, shipped_tapes
from sim.tape.pruning import max_tape_bytes, prune


def record_tape_command(
    name: str, vary: list[str], set_: list[str], seed: int | None, jobs: int | None, payloads: bool
) -> None:
    """Put on tape whatever a scenario, its sweep included, will replay."""
    from sim.sweep.executors import make_executor
    from sim.sweep.recording import record_missing

    axes, changes = parse_axes(vary), changes_of(set_, seed)
    workers = jobs or os.cpu_count() or 1
    with only_results_on_stdout():
        scenarios = _replayed(load_scenario(name, changes, axes, check=expand))
        say_user_code()
        # Payloads are kept of what is recorded now: what ships has none.
        store, max_bytes = tape_store(with_shipped=not payloads), max_tape_bytes()
        with locate_errors(name, changes, axes):
            wanted = [one for scenario in scenarios for one in planned_by_kind(scenario)]
        with ProgressBars() as progress, make_executor(workers, None, workers) as executor:
            decoded = record_missing(wanted, store, executor, progress, payloads)
    prune(store, max_bytes)
    total = sum(len(planned) for _, planned in wanted)
    say(f"{decoded} of {total} requests were decoded; the others were on tape already")
    say(f"tape:    {store.folder}")


def _replayed(scenario: Scenario) -> list[Scenario]:
    """The scenario's own run and the points of its sweep, as far as a tape can stand in for decoding."""
    everything = [scenario, *(point.scenario for point in expand(scenario))]
    replayed = [one for one in everything if not must_be_live(one)]
    if not replayed:
        raise InputError(f"{scenario.name}: adapts to the channel or times real forwards, so it cannot be on tape")
    if len(replayed) < len(everything):
        live = len(everything) - len(replayed)
        say(f"{live} of {len(everything)} runs adapt to the channel or time real forwards; no tape stands in for these")
    by_decoding: dict[str, Scenario] = {}
    for one in replayed:
        keys = one.dump()
        parts = ("seed", "devices", "workload", "models", "protocol", "controller")
        by_decoding.setdefault(repr([keys[part] for part in parts]), one)
    return list(by_decoding.values())


def list_tape_command(as_json: bool) -> None:
    """One line per recorded request."""
    from sim.tape.inspect import list_tape

    store = tape_store()
    listed = [vars(line) for line in list_tape(store)]
    _say_left_out(sum(1 for _ in store.files()) - len(listed))
    if as_json:
        print_json(listed)
        return
    for line in listed:
        print_lines(
            [
                f"{line['key'][:12]}  {line['protocol']:<16} seed {line['seed']}  request {line['request']:<10} "
                f"{line['prompt_tokens']:>5} + {line['tokens']:<5} tokens  {line['rounds']:>4} rounds  "
                f"alpha {line['acceptance_rate']:.3f}  {line['size_bytes']:,} bytes"
            ]
        )
    say(f"{len(listed)} requests, {sum(line['size_bytes'] for line in listed) / 1e6:.1f} MB in {store.folder}")


def _say_left_out(count: int) -> None:
    if count > 0:
        say(f"{count} damaged or of another version, and left out; specran tape verify says which")


def verify_command(remove: bool) -> int:
    """Check every entry; 1 if one is damaged and stays. What another version has recorded is left alone or removed."""
    from sim.tape.inspect import verify_tape

    store = tape_store()
    left_over = store.clean() + clean_cache()
    check = verify_tape(store)
    for key, problem in check.damaged.items():
        say(f"{store.path(key)}: {problem}")
    if remove:
        for key in (*check.damaged, *check.outdated):
            store.path(key).unlink(missing_ok=True)
    removed = ", removed" if remove else ""
    outdated = f"; {len(check.outdated)} of another version{removed}" if check.outdated else ""
    say(f"{len(store.list_keys())} entries; {len(check.damaged)} damaged{removed if check.damaged else ''}{outdated}")
    if left_over:
        say(f"{left_over} unfinished files of killed recorders removed")
    damaged_archives = [archive for archive in shipped_tapes().archives if not _archive_is_whole(archive)]
    return 1 if damaged_archives or (check.damaged and not remove) else 0


def _archive_is_whole(archive: TapeArchive) -> bool:
    """Say what was found in an archive that ships; whether nothing in it is damaged."""
    from sim.tape.inspect import verify_tape

    try:
        about = archive.about()
    except ValueError as error:
        say(str(error))
        return False
    check = verify_tape(archive)
    for key, problem in check.damaged.items():
        say(f"{archive.path}: entry {key}: {problem}")
    other = "" if about.get("code") == decoding_code() else "; recorded by another version's code, not used"
    say(f"{archive.path}: {len(archive.keys())} entries that ship; {len(check.damaged)} damaged{other}")
    return not check.damaged


def prune_command(max_gb: float | None) -> None:
    """Remove the least recently used entries until the rest fits."""
    if max_gb is not None and not 0 <= max_gb < math.inf:
        raise InputError(f"--max-gb must be a number of gigabytes, zero or more, got {max_gb:g}")
    pruned = prune(tape_store(), max_tape_bytes() if max_gb is None else max_gb * 1e9)
    needed = f"; {pruned.needed} of them are needed by what is running now" if pruned.needed else ""
    say(f"{pruned.removed} entries removed, {pruned.kept} kept ({pruned.kept_bytes / 1e6:.1f} MB){needed}")


def export_command(
    name: str | None,
    vary: list[str],
    set_: list[str],
    seed: int | None,
    parquet: Path | None,
    folder: Path | None,
    archive: Path | None,
) -> None:
    """Write rounds as a table, or what another machine needs to replay a scenario."""
    store = tape_store()
    if sum(place is not None for place in (parquet, folder, archive)) != 1:
        raise InputError(
            "tape export: give --parquet FILE for a table of rounds, or --folder DIR or --archive FILE for another "
            "machine"
        )
    axes, changes = parse_axes(vary), changes_of(set_, seed)
    scenarios = None if name is None else _replayed(load_scenario(name, changes, axes, check=expand))
    say_user_code()
    if parquet is not None:
        from sim.tape.inspect import export_rounds
        from sim.tape.transfer import recorded_keys

        done = export_rounds(store, parquet, None if scenarios is None else recorded_keys(scenarios, store))
        say(f"{done.rounds} rounds of {done.requests} requests in {parquet}")
        _say_left_out(done.left_out)
        return
    from sim.tape.transfer import export_archive, export_folder

    if scenarios is None:
        raise InputError("tape export: name the scenario that is to be replayed elsewhere")
    export, place = (export_archive, archive) if archive is not None else (export_folder, folder)
    assert place is not None
    say(f"{export(scenarios, store, place)} requests in {place}; there: specran tape import {place.name}")


def import_tape_command(source: Path) -> None:
    """Take over a folder or archive that another machine exported."""
    from sim.tape.transfer import import_tape

    store = tape_store()
    say(f"{import_tape(source, store)} new requests on tape in {store.folder}")
