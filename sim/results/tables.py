"""Tables that grow while a run goes on: rows are flushed to Parquet and CSV, so that memory does not follow time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sim.core.errors import RunError
from sim.decoding.core.steps import Round
from sim.results.csv_file import write_csv
from sim.results.rows import request_row, round_rows

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow.parquet

    from sim.nodes.device import RequestOutcome

Keep = Literal["summary", "requests", "rounds"]

# Rows kept before they are written; a row of ``rounds`` takes a few kilobytes as a mapping.
FLUSH_ROWS = 2_000


class Table:
    """One table of a run.

    Without a folder all rows stay in memory. With one, rows are written as they come, in the order in which requests
    end; a table that fits into one flush is written in the order of its keys.

    Args:
        name: File name without suffix.
        keys: Columns that identify rows; a small table is sorted by them.
        folder: Where the files go, or None.
        may_be_missing: Whether there are no files where there are no rows.
    """

    def __init__(
        self, name: str, keys: tuple[str, ...], folder: Path | None = None, may_be_missing: bool = False
    ) -> None:
        self.name = name
        self.keys = keys
        self.folder = folder
        self.may_be_missing = may_be_missing
        self.rows: list[dict[str, Any]] = []
        self._columns: list[str] = []
        self._writer: pyarrow.parquet.ParquetWriter | None = None

    def extend(self, rows: Iterable[dict[str, Any]]) -> None:
        """Append rows."""
        self.rows.extend(rows)
        if self.folder is not None and len(self.rows) >= FLUSH_ROWS:
            self._flush()

    def close(self) -> None:
        """Sort what never left memory, write what is left."""
        if self._writer is None:
            self.rows.sort(key=lambda row: tuple(row[key] for key in self.keys))
        if self.folder is not None:
            if self.rows or (self._writer is None and not self.may_be_missing):
                self._flush()
            if self._writer is not None:
                with self._given_up_if_it_fails():
                    self._writer.close()

    @contextmanager
    def _given_up_if_it_fails(self) -> Iterator[None]:
        """Where the disk is full, pyarrow would try again while it is torn down, and complain on its own."""
        try:
            yield
        except OSError:
            if self._writer is not None:
                self._writer.is_open = False
            raise

    def frame(self) -> pd.DataFrame:
        """The whole table; read back from disk where it was written."""
        import pandas as pd

        if self.folder is None or (self.may_be_missing and self._writer is None):
            return pd.DataFrame(self.rows)
        return pd.read_parquet(self.folder / f"{self.name}.parquet")

    def _flush(self) -> None:
        import pandas as pd
        import pyarrow as pa
        import pyarrow.parquet as pq

        assert self.folder is not None
        frame = pd.DataFrame(self.rows, columns=self._columns or None)
        first = self._writer is None
        if first:
            self._columns = list(frame.columns)
        elif unknown := {column for row in self.rows for column in row} - set(self._columns):
            raise RunError(f"{self.name}: column {sorted(unknown)[0]!r} appeared after the first rows were written")
        batch = pa.Table.from_pandas(frame, preserve_index=False)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self.folder / f"{self.name}.parquet", batch.schema)
        with self._given_up_if_it_fails():
            self._writer.write_table(batch.cast(self._writer.schema))
        write_csv(frame, self.folder / f"{self.name}.csv", append=not first)
        self.rows.clear()


class RunTables:
    """The tables of one run.

    Args:
        folder: Where they are written, or None to keep them in memory.
        on_request: Called with each row of ``requests``, what its rounds did, which objectives it met, and the number
            of the recording that stands for it and others.
        keep: The finest table that is kept.
    """

    def __init__(
        self,
        folder: Path | None = None,
        on_request: Callable[[dict[str, Any], Sequence[Round], Mapping[str, bool], int | None], None] | None = None,
        keep: Keep = "rounds",
    ) -> None:
        self.requests = Table("requests", ("device", "request"), folder)
        self.rounds = Table("rounds", ("device", "request", "round"), folder)
        self.servers = Table("servers", ("server", "time_s"), folder, may_be_missing=True)
        self.gpu = Table("gpu", ("site", "time_s"), folder, may_be_missing=True)
        self._on_request = on_request
        self.keep = keep

    def add(self, outcome: RequestOutcome, is_measured: bool = True) -> dict[str, Any]:
        """Take one ended request, and whether it was issued in the measurement window; returns its row."""
        row = request_row(outcome, is_measured)
        if self._on_request is not None and is_measured:
            latencies = {name: row[name] for name in outcome.slo.OBJECTIVES}
            rounds = [emitted.round for emitted in outcome.metrics.emitted]
            self._on_request(row, rounds, outcome.slo.met(latencies), outcome.planned.recording)
        if self.keep != "summary":
            self.requests.extend([row])
        if self.keep == "rounds":
            self.rounds.extend(round_rows(outcome))
        return row

    def add_server_second(self, row: dict[str, Any]) -> None:
        """Take what a server did in a second."""
        if self.keep == "rounds":
            self.servers.extend([row])

    def add_gpu_second(self, row: dict[str, Any]) -> None:
        """Take what layer 1 and a model did on their GPU in a second."""
        if self.keep == "rounds":
            self.gpu.extend([row])

    def close(self) -> None:
        """No more rows will come."""
        self.requests.close()
        self.rounds.close()
        self.servers.close()
        self.gpu.close()
