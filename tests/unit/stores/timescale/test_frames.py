"""What a back-fill is handed: one frame, or one after another."""

from __future__ import annotations

import warnings

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from storekeeper.stores.timescale.backfill import ManyRows, frames_of

_ROWS = [{"symbol": "A"}, {"symbol": "B"}]


@pytest.mark.parametrize(
    ("rows", "frames"),
    [
        (_ROWS, 1),
        (iter(_ROWS), 1),
        (pd.DataFrame(_ROWS), 1),
        (pl.DataFrame(_ROWS), 1),
        (pl.LazyFrame(_ROWS), 1),  # refused later, as rows that are none
        (pa.Table.from_pylist(_ROWS), 1),
        ([pd.DataFrame(_ROWS), pd.DataFrame(_ROWS)], 2),
        ((_ROWS for _ in range(3)), 3),
        ([], 0),
    ],
)
def test_frames_are_told_from_rows(rows: ManyRows, frames: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Polars warns of a lazy frame that is asked for its columns
        assert len(list(frames_of(rows))) == frames
