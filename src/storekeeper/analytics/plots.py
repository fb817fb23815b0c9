"""Pictures of series: candlesticks over volume, or a line a key. Needs the `analytics` extra (matplotlib)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from storekeeper.errors import ColumnError, InputError, NotSupportedError
from storekeeper.timescale.calendars import zone_of

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.figure import Figure

    from storekeeper.analytics.rolling import Rows

UP, DOWN = "#1a9850", "#d73027"
_CANDLE = ("open", "high", "low", "close")
#: More lines than that cannot be told apart.
MOST_LINES = 8
#: What is drawn of rows that are no candles: the first of these that is there, else their first number.
_DRAWN = ("price", "value", "close")


def plot(
    rows: Rows,
    *,
    kind: Literal["candles", "lines"] | None = None,
    title: str = "",
    time: str | None = None,
    key: str | None = None,
    value: str | None = None,
    zone: str | None = None,
) -> Figure:
    """A figure of rows: an Arrow table, a pandas or a Polars frame, in order of `time` (by default the first column
    that is one).

    Candles: of rows with open, high, low and close, of one key, over their volume where they have one: a bar whose
    close is below its open is red, any other green. A bar of nulls is a gap. Lines: one for each key of `value` (by
    default the price, the value, the close, or the first number), broken where it is null. `key` is the column that
    tells lines apart (by default the first of the series' key, else of text). `kind` None: candles where all is there
    for them.

    The axis shows times in `zone`, by default that of the column (UTC where it has but an offset). The figure belongs
    to the caller, and to no window: `figure.savefig(path)`, or the last line of a notebook's cell. Needs the
    `analytics` extra (matplotlib).

    Raises ColumnError where there is nothing to draw, InputError where there is no row, no such zone, or more keys than
    can be shown, NotSupportedError without matplotlib.
    """
    from storekeeper.analytics.rolling import as_table, text_columns
    from storekeeper.stores.timescale.answers import keys_told

    if kind not in (None, "candles", "lines"):
        raise InputError(f"there is no kind {kind!r} of plots", operation="plot", target=title, hint="candles or lines")
    table = as_table(rows, operation="plot")
    time = time if time is not None else _time_of(table)
    if time not in table.column_names:
        raise ColumnError(f"no column {time}", operation="plot", target=title, hint=f"read {time} too (--columns)")
    if table.num_rows == 0:
        raise InputError("there is no row in this range", operation="plot", target=title, hint="ask for another range")
    told = keys_told(table)
    key = key if key is not None else next(iter(text_columns(table) if told is None else told), None)
    keys = _keys(table, key)
    there = set(_CANDLE) <= set(table.column_names)
    if kind == "candles" and not there:
        missing = ", ".join(name for name in _CANDLE if name not in table.column_names)
        raise ColumnError(f"no column {missing} for candles", operation="plot", target=title)
    candles = there and value is None if kind is None else kind == "candles"
    if len(keys) > (1 if candles else MOST_LINES):
        raise InputError(
            f"{len(keys)} lines would be drawn over one another: {', '.join(keys[:MOST_LINES])}, …"
            if not candles
            else f"candles of {len(keys)} keys would be drawn over one another: {', '.join(keys[:MOST_LINES])}",
            operation="plot",
            target=title,
            hint="choose some (--symbol)" + (', or draw lines: kind="lines"' if candles else ""),
        )
    drawn = None if candles else _drawn(table, {time, key}, title, value)
    shown = zone_of(zone if zone is not None else _own_zone(table.schema.field(time).type), target=title)
    prices, volumes, figure = _figure(title, shown, volume=candles and "volume" in table.column_names)
    if drawn is None:
        series = {name: _numbers(table, name) for name in (*_CANDLE, "volume") if name in table.column_names}
        _draw(prices, volumes, _moments(table, time), series)
    else:
        prices.set_ylabel(drawn)
        _lines(prices, table, time, drawn, key, keys)
    _dates(volumes if volumes is not None else prices, shown)
    return figure


def draw(rows: Rows, path: Path, *, title: str, time: str, key: str | None = None, zone: str | None = None) -> None:
    """`plot` into a PNG at `path`. Raises what it raises."""
    figure = plot(rows, title=title, time=time, key=key, zone=zone)
    figure.savefig(path, format="png", dpi=110)


def _time_of(table: pa.Table) -> str:
    import pyarrow as pa

    found = next((field.name for field in table.schema if pa.types.is_timestamp(field.type)), None)
    if found is None:
        raise ColumnError("no column is a time", operation="plot", hint="name it: time=…")
    return found


def _own_zone(kind: pa.DataType) -> str | None:
    """The zone of a column; of one that has only an offset (+02:00), none."""
    zone: str | None = getattr(kind, "tz", None)
    return None if zone is None or zone[:1] in "+-" else zone


def _keys(rows: pa.Table, key: str | None) -> list[str]:
    """The keys of these rows, in order; one without a name where there is no such column."""
    if key is None or key not in rows.column_names:
        return [""]
    return sorted({str(value) for value in rows.column(key).unique().to_pylist()})


def _drawn(rows: pa.Table, apart: set[str | None], title: str, value: str | None) -> str:
    import pyarrow as pa

    if value is not None and value not in rows.column_names:
        raise ColumnError(f"no column {value}", operation="plot", target=title)

    def is_number(kind: pa.DataType) -> bool:
        return pa.types.is_decimal(kind) or pa.types.is_floating(kind) or pa.types.is_integer(kind)

    numbers = [field.name for field in rows.schema if field.name not in apart and is_number(field.type)]
    numbers = numbers if value is None else [name for name in numbers if name == value]
    if not numbers:
        raise ColumnError("no column holds numbers", operation="plot", target=title, hint="read one (--columns)")
    return next((name for name in _DRAWN if name in numbers), numbers[0])


def _moments(rows: pa.Table, time: str) -> Any:
    return rows.column(time).to_numpy().astype("datetime64[us]")


def _numbers(rows: pa.Table, name: str) -> Any:
    import pyarrow as pa

    return rows.column(name).cast(pa.float64(), safe=False).to_numpy()  # the nearest, beyond 2^53 too


def _figure(title: str, zone: str, *, volume: bool) -> tuple[Any, Any, Figure]:
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
    made[-1].set_xlabel(zone)
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


def _dates(axis: Any, zone: str) -> None:
    from zoneinfo import ZoneInfo

    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(tz=ZoneInfo(zone))  # type: ignore[no-untyped-call]  # matplotlib leaves it untyped
    axis.xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(locator, tz=ZoneInfo(zone))  # type: ignore[no-untyped-call]  # as above
    axis.xaxis.set_major_formatter(formatter)


def _draw(prices: Any, volumes: Any | None, buckets: Any, series: dict[str, Any]) -> None:
    import numpy as np
    from matplotlib.dates import date2num

    there = np.isfinite(np.sum([series[name] for name in _CANDLE], axis=0))  # the rest are gaps
    x = date2num(buckets)  # type: ignore[no-untyped-call]  # matplotlib leaves it untyped
    step = float(np.min(np.diff(x))) if len(x) > 1 else 1 / 24
    width = 0.7 * step
    up = series["close"] >= series["open"]
    for chosen, colour in ((there & up, UP), (there & ~up, DOWN)):
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
    prices.set_xlim(x[0] - step, x[-1] + step)
