"""A disk that fills up while tables grow: one message, nothing more from those that are torn down."""

from __future__ import annotations

import gc
import sys

import pytest

from sim.results.tables import Table


def test_a_table_on_a_full_disk_fails_once(tmp_path, monkeypatch):
    import pyarrow.parquet as pq

    complaints: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    closed = pq.ParquetWriter.close

    def refuse(self, *_: object) -> None:
        if self.is_open:
            raise OSError(28, "No space left on device")
        closed(self)

    monkeypatch.setattr(pq.ParquetWriter, "close", refuse)
    table = Table("requests", ("device",), tmp_path)
    table.extend([{"device": 1}])
    with pytest.raises(OSError, match="No space left"):
        table.close()
    del table
    gc.collect()
    assert not complaints
