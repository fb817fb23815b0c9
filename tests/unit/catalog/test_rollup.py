"""Rollups: a measure over finer buckets gives what it gives over the rows themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from storekeeper.catalog import Aggregate, Measure, Rollup, ohlcv
from storekeeper.errors import DeclarationError
from storekeeper.span import days, hours, minutes, months, years

Row = dict[str, Decimal]
ROWS = st.lists(
    st.builds(
        lambda price, volume: {"price": Decimal(price), "volume": Decimal(volume)},
        st.integers(1, 1000),
        st.integers(0, 50),
    ),
    min_size=1,
    max_size=30,
)


def measured(measures: Iterable[Measure], rows: Sequence[Row]) -> Row:
    """The reference: what each measure makes of rows in the order of time."""
    return {measure.name: _value(measure, rows) for measure in measures}


def _value(measure: Measure, rows: Sequence[Row]) -> Decimal:
    values = [row[measure.columns[0]] for row in rows] if measure.columns else []
    match measure.aggregate:
        case Aggregate.FIRST:
            return values[0]
        case Aggregate.LAST:
            return values[-1]
        case Aggregate.MIN:
            return min(values)
        case Aggregate.MAX:
            return max(values)
        case Aggregate.SUM:
            return sum(values, Decimal())
        case Aggregate.SUM_PRODUCT:
            return sum((row[measure.columns[0]] * row[measure.columns[1]] for row in rows), Decimal())
        case Aggregate.COUNT:
            return Decimal(len(rows))


@given(ROWS, st.integers(1, 7))
def test_a_rollup_of_a_rollup_holds_what_the_rows_hold(rows: list[Row], size: int) -> None:
    measures = ohlcv("price", "volume")
    fine = [measured(measures, rows[start : start + size]) for start in range(0, len(rows), size)]
    assert measured([m.over_rollup() for m in measures], fine) == measured(measures, rows)


def test_ohlcv_has_the_columns_that_the_data_contract_names() -> None:
    rollup = Rollup("stock_prices_5min", every=minutes(5), by=("symbol",), measures=ohlcv("price", "volume"))
    assert rollup.columns == (
        *("bucket", "symbol", "open", "high", "low", "close", "volume"),
        *("notional", "count"),
    )


@pytest.mark.parametrize(
    ("aggregate", "columns"),
    [
        (Aggregate.COUNT, ("price",)),
        (Aggregate.SUM_PRODUCT, ("price",)),
        (Aggregate.MAX, ()),
        (Aggregate.SUM, ("a", "b")),
    ],
)
def test_a_measure_takes_as_many_columns_as_it_needs(aggregate: Aggregate, columns: tuple[str, ...]) -> None:
    with pytest.raises(DeclarationError, match="takes"):
        Measure("m", aggregate, columns)


def test_chunks_of_coarse_rollups_are_longer() -> None:
    def chunk(rollup: Rollup) -> object:
        return rollup.chunk_span

    assert chunk(Rollup("fine", minutes(5), ("symbol",), ())) == days(30)
    assert chunk(Rollup("coarse", hours(1), ("symbol",), ())) == years(1)
    assert chunk(Rollup("monthly", months(1), ("symbol",), ())) == years(1)
    assert chunk(Rollup("told", minutes(5), ("symbol",), (), chunk=days(7))) == days(7)
