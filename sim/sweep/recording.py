"""Recording in worker processes: groups of requests are decoded side by side, wherever there is a worker."""

from __future__ import annotations

from sim.core.errors import RunError
from sim.runs.prepare import Progress, Wanted, missing_recordings
from sim.sweep.tasks import Executor, Task
from sim.sweep.work import RecordTask, record_requests
from sim.tape.store import TapeStore


def record_missing(
    wanted: Wanted, store: TapeStore, executor: Executor, progress: Progress, payloads: bool = False
) -> int:
    """Put on tape what the store lacks of these scenarios' requests; returns how many were decoded.

    Raises:
        RunError: A group could not be decoded.
    """
    groups = missing_recordings(wanted, store)
    folder = store.folder if executor.shares_files else None
    tasks = [Task(record_requests, RecordTask.of(group, folder, payloads)) for group in groups]
    total, done = sum(len(group.recordings) for group in groups), 0
    if total:
        progress("decoding", done, total)
    for number, entries, failure in executor.run(tasks):
        if failure:
            raise RunError(f"recording failed: {failure}")
        for key, data in entries.items():
            store.write(key, data)
        done += len(groups[number].recordings)
        progress("decoding", done, total)
    return total
