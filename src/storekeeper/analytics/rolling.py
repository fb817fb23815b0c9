"""Rolling statistics, returns, volatility and drawdown of bars, line by line: a table in, the table and a column out.

| call | adds |
| --- | --- |
| `rolling(bars, "mean", 20)` | close_mean_20: of the last 20 bars of each symbol |
| `rolling(bars, "std", hours(1), column="volume")` | volume_std_1h: of the bars less than an hour older |
| `returns(bars)`, `returns(bars, kind="log")` | close_return, close_log_return |
| `volatility(bars, 30, periods_per_year="trading days")` | close_volatility_30, a year's |
| `drawdown(bars)` | close_drawdown: how far below the highest so far |

Rows are an Arrow table, a pandas or a Polars frame, in any order: what is before what is said by `time`, within a line
by `by` (rows of one time keep their order). The answer is an Arrow table of the same rows in the same order.

`by` are the columns that tell lines apart. What the store answers knows them: those that the series is declared with;
so does a pandas frame whose index has the time and them. Anything else has to be told, `by=()` for one line: an error.

Missing are nulls, NaN and infinities. A missing value is in no statistic, counts for no `least`, and is not filled; no
function makes a NaN: what cannot be computed is null. Numbers are float64, decimals too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from storekeeper.errors import ColumnError, InputError
from storekeeper.span import Span
from storekeeper.stores.timescale.answers import keys_told

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    Rows: TypeAlias = pa.Table | pd.DataFrame | pl.DataFrame

Statistic = Literal["mean", "std", "min", "max", "sum"]

#: How many bars of a length a year has. A trading day has six and a half hours, a trading year 252 such days.
PERIODS_PER_YEAR: Final = {
    "days": 365.0,
    "trading days": 252.0,
    "weeks": 52.0,
    "months": 12.0,
    "hours": 365.0 * 24,
    "trading hours": 252 * 6.5,
    "minutes": 365.0 * 1440,
    "trading minutes": 252 * 390.0,
}
#: What pandas counts rows and lengths of time with.
_MOST: Final = 2**63 - 1
_LONGEST: Final = timedelta(days=290 * 365)


def rolling(
    rows: Rows,
    statistic: Statistic,
    window: int | Span | timedelta,
    *,
    column: str = "close",
    by: Sequence[str] | None = None,
    time: str = "bucket",
    least: int | None = None,
    name: str | None = None,
) -> pa.Table:
    """A statistic over each row and those before it of its line, as a column called COLUMN_STATISTIC_WINDOW, or `name`.

    `window` is a count of rows, or a length of time: rows less than that much older, (t - window, t]. Null where fewer
    than `least` values are known: by default all of a count, one of a length. `std` is of a sample (n - 1) and needs
    two. By pandas' one-pass sums (Welford 1962, "Note on a method for calculating corrected sums of squares and
    products"): of values that differ by more than some ten digits the smaller ones are lost. Raises InputError (also
    where `by` is not given and not known), ColumnError.
    """
    if statistic not in get_args(Statistic):
        raise InputError(
            f"there is no statistic {statistic!r}", operation="roll", target=column, hint=", ".join(get_args(Statistic))
        )
    length, text = _window(window, column)
    least = least if least is not None else (length if isinstance(length, int) else 1)
    if not _is_count(least) or (isinstance(length, int) and least > length):
        raise InputError(f"at least {least} values are never in a window of {text}", operation="roll", target=column)
    lines = _lines(rows, column, by, time)
    found = _rolled(lines, lines.values, statistic, length, least)
    return lines.with_column(name or f"{column}_{statistic}_{text}", found)


def returns(
    rows: Rows,
    *,
    kind: Literal["simple", "log"] = "simple",
    periods: int = 1,
    column: str = "close",
    by: Sequence[str] | None = None,
    time: str = "bucket",
    name: str | None = None,
) -> pa.Table:
    """What a value is against the one `periods` rows before it in its line: P(t) / P(t-n) - 1, or ln(P(t) / P(t-n)).

    As column_return or column_log_return. Null at the first rows of a line, where either value is missing, or where the
    earlier one (of logarithms: either) is not above 0: so it is after a gap too, unless the gap was filled. After Tsay,
    "Analysis of Financial Time Series", 3rd edition, 1.1. Raises InputError, ColumnError.
    """
    if kind not in ("simple", "log"):
        raise InputError(f"there is no kind {kind!r} of returns", operation="compute returns", hint="simple or log")
    if not _is_count(periods):
        raise InputError(f"{periods!r} rows before it is none", operation="compute returns", target=column)
    lines = _lines(rows, column, by, time)
    suffix = "log_return" if kind == "log" else "return"
    return lines.with_column(name or f"{column}_{suffix}", _returns(lines, kind, periods))


def volatility(
    rows: Rows,
    window: int | Span | timedelta,
    *,
    periods_per_year: float | str,
    column: str = "close",
    by: Sequence[str] | None = None,
    time: str = "bucket",
    least: int | None = None,
    name: str | None = None,
) -> pa.Table:
    """The annualised volatility: the standard deviation (of a sample) of a window of log returns from row to row, times
    the square root of the rows of a year; as column_volatility_WINDOW.

    `periods_per_year` is how many bars a year has: a number, or one of PERIODS_PER_YEAR, such as "trading days" for
    daily closes. The window and `least` (at least 2) count returns. After Hull, "Options, Futures, and Other
    Derivatives", chapter "The Black-Scholes-Merton model", "Estimating volatility from historical data". Raises
    InputError, ColumnError.
    """
    a_year = PERIODS_PER_YEAR.get(periods_per_year) if isinstance(periods_per_year, str) else periods_per_year
    if not isinstance(a_year, Real) or not (math.isfinite(float(a_year)) and a_year > 0):
        raise InputError(
            f"{periods_per_year!r} is no number of periods in a year",
            operation="compute volatility",
            target=column,
            hint=f"a number above 0, or one of {', '.join(PERIODS_PER_YEAR)}",
        )
    length, text = _window(window, column)
    least = least if least is not None else (length if isinstance(length, int) else 2)
    least = max(2, least) if _is_count(least, 0) else least
    if not _is_count(least) or (isinstance(length, int) and least > length):
        raise InputError(
            f"a window of {text} returns has no standard deviation of {least}",
            operation="compute volatility",
            target=column,
        )
    lines = _lines(rows, column, by, time)
    found = _rolled(lines, _returns(lines, "log", 1), "std", length, least)
    return lines.with_column(name or f"{column}_volatility_{text}", found * math.sqrt(float(a_year)))


def drawdown(
    rows: Rows,
    *,
    column: str = "close",
    by: Sequence[str] | None = None,
    time: str = "bucket",
    name: str | None = None,
) -> pa.Table:
    """How far a value is below the highest of its line so far, as a share of that: P(t) / max(P(s), s ≤ t) - 1, from 0
    down to -1; as column_drawdown. Its least is the line's maximum drawdown.

    Null where the value is missing, or the highest so far is not above 0. After Magdon-Ismail and Atiya, "Maximum
    drawdown", Risk 17(10), 2004. Raises InputError, ColumnError.
    """
    import numpy as np

    lines = _lines(rows, column, by, time)
    grouped = lines.series(lines.values).groupby(lines.codes)
    highest = grouped.cummax().to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(highest > 0, lines.values / highest - 1, np.nan)
    return lines.with_column(name or f"{column}_drawdown", found)


@dataclass(frozen=True)
class _Lines:
    """A table's rows in the order of line and time: which line each is of, its time, its value (NaN: missing), and
    which row of the table it is."""

    table: Any
    order: Any
    codes: Any
    times: Any
    values: Any

    def series(self, values: Any) -> Any:
        import pandas as pd

        return pd.Series(values)

    def with_column(self, name: str, values: Any) -> pa.Table:
        """The table, in its own order, with these values of its sorted rows; a column of that name is replaced."""
        import numpy as np
        import pyarrow as pa

        found = np.empty(len(values))
        found[self.order] = values
        column = pa.array(found, pa.float64(), mask=~np.isfinite(found))
        place = self.table.schema.get_field_index(name)
        table: pa.Table = (
            self.table.append_column(name, column) if place < 0 else self.table.set_column(place, name, column)
        )
        return table


def as_table(rows: Rows, *, operation: str) -> pa.Table:
    """An Arrow table of what was handed in: one, a pandas or a Polars frame. Raises InputError."""
    import pandas as pd
    import pyarrow as pa

    if isinstance(rows, pa.Table):
        return rows
    if isinstance(rows, pd.DataFrame):
        named = rows.reset_index() if any(rows.index.names) else rows
        try:
            return pa.Table.from_pandas(named, preserve_index=False)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise InputError(f"the frame is no table of typed columns: {error}", operation=operation) from error
    to_arrow = getattr(rows, "to_arrow", None)
    if to_arrow is None:
        raise InputError(
            f"a {type(rows).__name__} is no table",
            operation=operation,
            hint="give an Arrow table, a pandas or a Polars frame",
        )
    table: pa.Table = to_arrow()
    return table


def _lines(rows: Rows, column: str, by: Sequence[str] | None, time: str) -> _Lines:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    table = as_table(rows, operation="compute")
    if isinstance(by, str):
        raise InputError(f"by={by!r} is one text, not a list of columns", operation="compute", hint="put it in a list")
    for name in (column, time):
        if table.column_names.count(name) != 1:
            raise ColumnError(
                f"there is no column {name!r}" if name not in table.column_names else f"{name} is there twice",
                operation="compute",
                hint=f"it has {', '.join(table.column_names)}",
            )
    keys = tuple(by) if by is not None else _known_keys(rows, table, column, time)
    missing = [name for name in keys if name not in table.column_names]
    if missing:
        raise ColumnError(
            f"there is no column {missing[0]!r}, which tells its lines apart",
            operation="compute",
            target=column,
            hint=f"it has {', '.join(table.column_names)}: read the key too, or name what there is: by=[…]",
        )
    moments, values = table.column(time), table.column(column)
    if not pa.types.is_timestamp(moments.type) or moments.null_count:
        raise InputError(f"{time} is no time, or not of every row", operation="compute", target=column)
    kind = values.type
    if not (pa.types.is_decimal(kind) or pa.types.is_floating(kind) or pa.types.is_integer(kind)):
        raise ColumnError(f"{column} holds no numbers", operation="compute")
    codes = np.zeros(table.num_rows, dtype=np.int64)
    for name in keys:
        some, known = pd.factorize(table.column(name).to_pandas(), use_na_sentinel=False)
        codes = codes * max(1, len(known)) + some
    times = moments.cast(pa.timestamp("us", tz=moments.type.tz), safe=False).cast(pa.int64()).to_numpy()
    order = np.lexsort((times, codes))
    numbers = values.cast(pa.float64(), safe=False).to_numpy().astype(np.float64)  # the nearest, beyond 2^53 too
    numbers = np.where(np.isfinite(numbers), numbers, np.nan)
    return _Lines(table, order, codes[order], times[order], numbers[order])


def _known_keys(rows: Rows, table: pa.Table, column: str, time: str) -> tuple[str, ...]:
    """What tells lines apart: as the store told it, or the index of a pandas frame. Raises InputError."""
    import pandas as pd

    told = keys_told(table)
    if told is not None:
        return told
    if isinstance(rows, pd.DataFrame) and rows.index.nlevels > 1 and time in rows.index.names:
        return tuple(str(name) for name in rows.index.names if name != time)
    if set(table.column_names) <= {column, time}:
        return ()  # there is none that could
    texts = text_columns(table)
    named = f"by=[{', '.join(map(repr, texts))}]" if texts else "by=[…]"
    raise InputError(
        "nothing says which columns tell its lines apart: a frame does not keep what the store's table knew",
        operation="compute",
        target=column,
        hint=f"name them: {named}; by=() where it is one line; or hand in the store's Arrow table",
    )


def text_columns(table: pa.Table) -> tuple[str, ...]:
    """The columns of text: what a line is likely called by."""
    import pyarrow as pa

    def is_text(kind: Any) -> bool:
        if pa.types.is_dictionary(kind):
            return is_text(kind.value_type)
        return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))

    return tuple(field.name for field in table.schema if is_text(field.type))


def _window(window: int | Span | timedelta, column: str) -> tuple[int | timedelta, str]:
    """A window, and how it is called."""
    if isinstance(window, timedelta) and window > timedelta():
        window = Span(duration=window)
    if isinstance(window, Span):
        if window.calendar:
            raise InputError(f"a window of {window} has no fixed length", operation="roll", target=column, hint="30d")
        if window.duration > _LONGEST:
            raise InputError(f"a window of {window} is longer than 290 years", operation="roll", target=column)
        return window.duration, str(window)
    if isinstance(window, bool) or not isinstance(window, int) or not 1 <= window <= _MOST:
        raise InputError(
            f"{window!r} is no window", operation="roll", target=column, hint="give a count of rows, or hours(1)"
        )
    return window, str(window)


def _is_count(count: object, least: int = 1) -> bool:
    """Whether it is a count of rows that pandas can count to."""
    if isinstance(count, bool) or not isinstance(count, Integral):
        return False
    return least <= int(count) <= _MOST


def _rolled(lines: _Lines, values: Any, statistic: Statistic, length: int | timedelta, least: int) -> Any:
    import pandas as pd

    if not len(values):
        return values
    series = pd.Series(values, index=pd.DatetimeIndex(lines.times.astype("datetime64[us]")))
    rolled = series.groupby(lines.codes).rolling(length, min_periods=least)
    found = getattr(rolled, statistic)()
    return found.to_numpy()


def _returns(lines: _Lines, kind: Literal["simple", "log"], periods: int) -> Any:
    import numpy as np

    earlier = lines.series(lines.values).groupby(lines.codes).shift(periods).to_numpy()
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if kind == "simple":
            return np.where(earlier > 0, lines.values / earlier - 1, np.nan)
        both = (earlier > 0) & (lines.values > 0)
        return np.where(both, np.log(lines.values) - np.log(earlier), np.nan)
