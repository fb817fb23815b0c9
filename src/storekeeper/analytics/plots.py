"""Pictures of series as PNG: candlesticks over volume, or a line a key. Needs the `analytics` extra (matplotlib)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from storekeeper.errors import ColumnError, InputError, NotSupportedError

if TYPE_CHECKING:
    import pyarrow as pa

UP, DOWN = "#1a9850", "#d73027"
_CANDLE = ("open", "high", "low", "close")
#: More lines than that cannot be told apart.
MOST_LINES = 8
#: What is drawn of rows that are no candles: the first of these that is there, else their first number.
_DRAWN = ("price", "value", "close")


def draw(rows: pa.Table, path: Path, *, title: str, time: str, key: str | None = None) -> None:
    """Draws rows (in order of `time`, UTC) into a PNG at `path`.

    Rows with open, high, low and close, of one key, are candlesticks, over their volume where they have one: a bar
    whose close is below its open is red, any other green. Of other rows a line is drawn for each key: their price,
    their value, or their first number. Raises ColumnError where there is nothing to draw, InputError where there is no
    row, or more keys than can be shown, NotSupportedError without matplotlib.
    """
    if time not in rows.column_names:
        raise ColumnError(f"no column {time}", operation="plot", target=title, hint=f"name {time} in --columns")
    if rows.num_rows == 0:
        raise InputError("there is no row in this range", operation="plot", target=title, hint="ask for another range")
    keys = _keys(rows, key)
    candles = set(_CANDLE) <= set(rows.column_names)
    if len(keys) > (1 if candles else MOST_LINES):
        raise InputError(
            f"{len(keys)} lines would be drawn over one another: {', '.join(keys[:MOST_LINES])}, …"
            if not candles
            else f"candles of {len(keys)} keys would be drawn over one another: {', '.join(keys[:MOST_LINES])}",
            operation="plot",
            target=title,
            hint="choose with --symbol",
        )
    drawn = None if candles else _drawn(rows, {time, key}, title)
    prices, volumes, figure = _figure(title, volume=candles and "volume" in rows.column_names)
    if drawn is None:
        series = {name: _numbers(rows, name) for name in (*_CANDLE, "volume") if name in rows.column_names}
        _draw(prices, volumes, _moments(rows, time), series)
    else:
        prices.set_ylabel(drawn)
        _lines(prices, rows, time, drawn, key, keys)
    figure.savefig(path, format="png", dpi=110)


def _keys(rows: pa.Table, key: str | None) -> list[str]:
    """The keys of these rows, in order; one without a name where there is no such column."""
    if key is None or key not in rows.column_names:
        return [""]
    return sorted({str(value) for value in rows.column(key).unique().to_pylist()})


def _drawn(rows: pa.Table, apart: set[str | None], title: str) -> str:
    import pyarrow as pa

    def is_number(kind: pa.DataType) -> bool:
        return pa.types.is_decimal(kind) or pa.types.is_floating(kind) or pa.types.is_integer(kind)

    numbers = [field.name for field in rows.schema if field.name not in apart and is_number(field.type)]
    if not numbers:
        raise ColumnError("no column holds numbers", operation="plot", target=title, hint="name one in --columns")
    return next((name for name in _DRAWN if name in numbers), numbers[0])


def _moments(rows: pa.Table, time: str) -> Any:
    return rows.column(time).to_numpy().astype("datetime64[us]")


def _numbers(rows: pa.Table, name: str) -> Any:
    import pyarrow as pa

    return rows.column(name).cast(pa.float64()).to_numpy()


def _figure(title: str, *, volume: bool) -> tuple[Any, Any, Any]:
    """The axis of prices, that of volumes where there are any, and their figure."""
    try:
        # the object interface: no window system, and no state of pyplot that outlives the call
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise NotSupportedError(
            "matplotlib is not installed", operation="plot", target=title, hint="pip install 'storekeeper[analytics]'"
        ) from error
    figure = Figure(figsize=(11, 6), layout="constrained")
    FigureCanvasAgg(figure)
    made: list[Any] = list(figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))) if volume else [figure.subplots()]
    made[0].set_title(title, loc="left")
    made[0].set_ylabel("price")
    made[-1].set_xlabel("UTC")
    if volume:
        made[1].set_ylabel("volume")
    for axis in made:
        axis.grid(visible=True, alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    return made[0], (made[1] if volume else None), figure


def _lines(axis: Any, rows: pa.Table, time: str, drawn: str, key: str | None, keys: list[str]) -> None:
    import numpy as np

    moments, values = _moments(rows, time), _numbers(rows, drawn)
    names = rows.column(key).to_pylist() if key is not None and key in rows.column_names else [""] * rows.num_rows
    of_rows = np.array([str(name) for name in names])
    for one in keys:
        axis.plot(moments[of_rows == one], values[of_rows == one], linewidth=1.0, label=one)
    if len(keys) > 1:
        axis.legend(loc="best", frameon=False)
    _dates(axis)


def _dates(axis: Any) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator()  # type: ignore[no-untyped-call]  # matplotlib leaves it untyped
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]  # as above


def _draw(prices: Any, volumes: Any | None, buckets: Any, series: dict[str, Any]) -> None:
    import numpy as np
    from matplotlib.dates import date2num

    x = date2num(buckets)  # type: ignore[no-untyped-call]  # matplotlib leaves it untyped
    step = float(np.min(np.diff(x))) if len(x) > 1 else 1 / 24
    width = 0.7 * step
    up = series["close"] >= series["open"]
    for chosen, colour in ((up, UP), (~up, DOWN)):
        at = x[chosen]
        low, high = series["low"][chosen], series["high"][chosen]
        bottom = np.minimum(series["open"][chosen], series["close"][chosen])
        body = np.abs(series["close"][chosen] - series["open"][chosen])
        # a bar that ends where it began is a line, which a height of zero would not show
        body = np.maximum(body, (high - low) * 0.02)
        prices.vlines(at, low, high, color=colour, linewidth=0.8)
        prices.bar(at, body, width, bottom=bottom, color=colour)
        if volumes is not None:
            volumes.bar(at, series["volume"][chosen], width, color=colour, alpha=0.6)
    prices.autoscale(axis="y")
    _dates(volumes if volumes is not None else prices)
    prices.set_xlim(x[0] - step, x[-1] + step)
