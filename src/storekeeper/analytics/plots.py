"""Pictures of bars: candlesticks over volume, as PNG. Needs the `analytics` extra (matplotlib)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from storekeeper.errors import ColumnError, InputError, NotSupportedError

if TYPE_CHECKING:
    import pyarrow as pa

UP, DOWN = "#1a9850", "#d73027"
_NEEDED = ("bucket", "open", "high", "low", "close", "volume")


def candlesticks(bars: pa.Table, path: Path, *, title: str) -> None:
    """Draws bars of one key (columns bucket, open, high, low, close, volume; times UTC) into a PNG at `path`.

    A bar whose close is below its open is red, any other green. Raises ColumnError where a column is missing,
    InputError where there is no bar, or bars of several keys.
    """
    missing = [name for name in _NEEDED if name not in bars.column_names]
    if missing:
        raise ColumnError(f"no column {', '.join(missing)}", operation="plot", target=title, hint="ask for --bars")
    if bars.num_rows == 0:
        raise InputError("there is no bar in this range", operation="plot", target=title)
    import pyarrow as pa

    buckets = bars.column("bucket").to_numpy().astype("datetime64[us]")
    if len(set(buckets.tolist())) != len(buckets):
        raise InputError("bars of several keys", operation="plot", target=title, hint="choose one with --symbol")
    axes = _figure(title)
    series = {name: bars.column(name).cast(pa.float64()).to_numpy() for name in _NEEDED[1:]}
    _draw(axes, buckets, series)
    axes[0].figure.savefig(path, format="png", dpi=110)


def _figure(title: str) -> Any:
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
    prices, volumes = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    prices.set_title(title, loc="left")
    prices.set_ylabel("price")
    volumes.set_ylabel("volume")
    volumes.set_xlabel("UTC")
    for axis in (prices, volumes):
        axis.grid(visible=True, alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    return prices, volumes


def _draw(axes: Any, buckets: Any, series: dict[str, Any]) -> None:
    import numpy as np
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num

    prices, volumes = axes
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
        volumes.bar(at, series["volume"][chosen], width, color=colour, alpha=0.6)
    prices.autoscale(axis="y")
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]  # matplotlib leaves it untyped
    volumes.xaxis.set_major_locator(locator)
    volumes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]  # as above
    prices.set_xlim(x[0] - step, x[-1] + step)
