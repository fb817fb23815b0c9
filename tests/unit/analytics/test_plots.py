"""Pictures of series: what is drawn, not how many pixels it has."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from matplotlib.colors import to_hex
from matplotlib.dates import num2date

from storekeeper.analytics.plots import DOWN, UP, draw, plot
from storekeeper.errors import ColumnError, InputError

START = datetime(2024, 3, 9, 12, tzinfo=UTC)
OPEN = [1.0, 3.0, None, 2.0]
CLOSE = [2.0, 2.0, None, 2.0]


def candles(zone: str = "UTC", symbols: tuple[str, ...] = ("A",)) -> pa.Table:
    moments = [START + timedelta(hours=hour) for hour in range(4) for _ in symbols]
    return pa.table(
        {
            "bucket": pa.array(moments, pa.timestamp("us", tz="UTC")).cast(pa.timestamp("us", tz=zone)),
            "symbol": list(symbols) * 4,
            "open": [value for value in OPEN for _ in symbols],
            "high": [value and value + 2 for value in OPEN for _ in symbols],
            "low": [value and value - 1 for value in OPEN for _ in symbols],
            "close": [value for value in CLOSE for _ in symbols],
            "volume": [0 if value is None else 10 for value in OPEN for _ in symbols],
        }
    )


def test_candles_have_a_body_each_a_volume_and_a_gap() -> None:
    figure = plot(candles(), title="A, hours")
    prices: Any
    volumes: Any
    prices, volumes = figure.axes
    bodies = sorted((bar.get_x() + bar.get_width() / 2, to_hex(bar.get_facecolor())) for bar in prices.patches)
    dates: Any = num2date
    hours = [dates(x).replace(second=0, microsecond=0) for x, _ in bodies]
    assert [(hour - START) / timedelta(hours=1) for hour in hours] == pytest.approx([0, 1, 3], abs=0.02)
    assert [colour for _, colour in bodies] == [UP, DOWN, UP]
    assert [bar.get_height() for bar in prices.patches if to_hex(bar.get_facecolor()) == DOWN] == [1.0]
    assert sorted(bar.get_height() for bar in volumes.patches) == [10, 10, 10]
    assert prices.get_title(loc="left") == "A, hours"
    assert volumes.get_xlabel() == "UTC"


def test_the_axis_is_in_the_zone() -> None:
    for figure in (plot(candles("America/New_York")), plot(candles(), zone="America/New_York")):
        axis = figure.axes[-1]
        assert axis.get_xlabel() == "America/New_York"
        figure.canvas.draw()
        texts = " ".join(text.get_text() for text in axis.get_xticklabels())
        assert "09:00" in texts, "14:00 UTC"
        assert "14:00" not in texts


def test_lines_break_where_nothing_is_known() -> None:
    both = candles(symbols=("A", "B"))
    for rows in (both, pl.DataFrame(pl.from_arrow(both))):
        (axis,) = plot(rows, kind="lines").axes
        assert [line.get_label() for line in axis.lines] == ["A", "B"]
        drawn: Any = axis.lines[0].get_ydata()
        assert np.isnan(drawn).tolist() == [False, False, True, False]
        assert axis.get_ylabel() == "close"
    (axis,) = plot(candles().to_pandas(), value="high").axes
    assert axis.get_ylabel() == "high"
    assert axis.get_legend() is None


def test_what_cannot_be_drawn(tmp_path: Path) -> None:
    cases: list[tuple[Callable[[], object], type[Exception], str]] = [
        (lambda: plot(candles(symbols=("A", "B"))), InputError, "candles of 2 keys"),
        (lambda: plot(candles(symbols=tuple("ABCDEFGHI")), kind="lines"), InputError, "9 lines"),
        (lambda: plot(candles().slice(0, 0)), InputError, "no row"),
        (lambda: plot(candles().drop_columns(["high"]), kind="candles"), ColumnError, "no column high"),
        (lambda: plot(candles(), value="nonsense"), ColumnError, "nonsense"),
        (lambda: plot(candles(), value="symbol"), ColumnError, "numbers"),
        (lambda: plot(candles(), time="at"), ColumnError, "no column at"),
        (lambda: plot(candles().select(["symbol", "open"])), ColumnError, "is a time"),
        (lambda: plot(candles(), zone="Mars/Olympus"), InputError, "no time zone"),
        (lambda: plot(candles(), kind="pie"), InputError, "no kind"),  # type: ignore[arg-type]  # not allowed
    ]
    for call, error, said in cases:
        with pytest.raises(error, match=said):
            call()
    picture = tmp_path / "candles.png"
    draw(candles(), picture, title="A", time="bucket", key="symbol")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_no_window_system_and_no_global_state() -> None:
    """Neither pyplot is imported, nor a backend chosen."""
    program = (
        "import sys, pyarrow as pa; from datetime import datetime, UTC; import storekeeper;"
        "rows = pa.table({'t': pa.array([datetime(2024, 1, 1, tzinfo=UTC)] * 2), 'price': [1.0, 2.0]});"
        "figure = storekeeper.plot(rows); print('matplotlib.pyplot' in sys.modules, len(figure.axes))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "1"]


def test_times_with_an_offset_are_shown_in_utc() -> None:
    figure = plot(candles(zone="+02:00"))
    assert figure.axes[-1].get_xlabel() == "UTC"
