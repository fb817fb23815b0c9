"""Pieces checked column by column: what fits, and one reject for each row that does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import given, settings, strategies as st

from row_files import values
from storekeeper.errors import ColumnError, InputError, NaiveTimeError, ValueFitError
from storekeeper.ingest.mapping import ColumnSource, FromColumn, FromConstant, FromMid
from storekeeper.ingest.readers.piece import Piece, Reject
from storekeeper.ingest.rows.checking import Checker
from storekeeper.stores.sql.intake import Misfit, conformed, rules_of

TIME = "2014-05-01T00:00:00Z"


def checker(**changes: Any) -> Checker:
    asked: dict[str, Any] = {
        "sources": {name: FromColumn(name) for name in ("time", "index_symbol", "value", "change")},
        "round_to": {},
        "time_format": None,
        "zone": None,
        "version": None,
        "unit": "line",
        "operation": "ingest",
        "target": "lab.values",
    }
    return Checker(values, **{**asked, **changes})


def piece(rows: Sequence[tuple[str | None, ...]], names: str = "time index_symbol value change") -> Piece:
    columns = list(zip(*rows, strict=True)) or [()] * len(names.split())
    batch = pa.record_batch([pa.array(column, pa.string()) for column in columns], names=names.split())
    return Piece(batch, np.arange(2, 2 + len(rows)), lambda row: repr(rows[row]))


_rows = st.lists(
    st.tuples(
        st.sampled_from([TIME, "2014-05-01T00:00:00.5+01:00", "noon", None, ""]),
        st.sampled_from(["A", "B" * 32, "B" * 33, None, ""]),
        st.sampled_from(["1", "1.5", "x", "NaN", "", None]) | st.integers(0, 10**13).map(str),
        st.sampled_from(["1", "1.0000001", "x", None]),
    ),
    max_size=30,
)


def fits(column: str, value: str | None) -> bool:
    """Whether a value fits by itself, as a column of one."""
    texts = pa.array([value or None if column != "index_symbol" else value], pa.string())
    try:
        conformed(texts, rules_of(values)[column])
    except Misfit:
        return False
    return True


@settings(deadline=None)
@given(rows=_rows)
def test_rows_are_judged_as_if_each_stood_alone(rows: list[tuple[str | None, ...]]) -> None:
    names = ("time", "index_symbol", "value", "change")
    bad = {
        number: next(name for name, value in zip(names, row, strict=True) if not fits(name, value))
        for number, row in enumerate(rows)
        if not all(fits(name, value) for name, value in zip(names, row, strict=True))
    }
    checked = checker().check(piece(rows))
    assert [(reject.place - 2, reject.column, reject.row) for reject in checked.rejects] == [
        (number, column, repr(rows[number])) for number, column in bad.items()
    ]
    good = [number for number in range(len(rows)) if number not in bad]
    assert checked.table.num_rows == len(good)
    assert checked.places.tolist() == [2 + number for number in good]
    assert [checked.text(row) for row in range(len(good))] == [repr(rows[number]) for number in good]
    assert checked.table.column("index_symbol").to_pylist() == [rows[number][1] for number in good]


def test_rejects_of_the_reader_come_in_their_place() -> None:
    given = piece([(TIME, "A", "x", None), (TIME, "A", "1", None)])
    given = Piece(given.batch, np.array([2, 7]), given.text, (Reject(1, "before", ""), Reject(5, "between", "")))
    checked = checker().check(given)
    assert [reject.place for reject in checked.rejects] == [1, 2, 5]
    assert checked.places.tolist() == [7]


def test_times_without_a_zone_are_the_files_fault_only_in_its_first_row() -> None:
    naive = piece([(TIME[:-1], "A", "1", None), (TIME, "A", "1", None)])
    with pytest.raises(NaiveTimeError, match="line 2, column time"):
        checker().check(naive)
    assert not checker(zone="UTC").check(naive).rejects
    later = checker()
    later.check(piece([]))
    later.check(piece([(TIME, "A", "1", None)]))
    assert [reject.reason for reject in later.check(naive).rejects] == [f"'{TIME[:-1]}' has no time zone"]


def test_what_is_set_or_asked_wrongly_is_said_at_once() -> None:
    sources: dict[str, ColumnSource] = {name: FromColumn(name) for name in ("time", "index_symbol", "value")}
    with pytest.raises(ValueFitError, match="what is set, column volume: 'much' is not a number"):
        checker(sources={**sources, "volume": FromConstant("much")})
    with pytest.raises(ColumnError, match="value is missing"):
        checker(sources={name: sources[name] for name in ("time", "index_symbol")})
    with pytest.raises(InputError, match="time is no NUMERIC column"):
        checker(round_to={"time": 1})


def test_versions_are_texts_and_never_missing() -> None:
    versioned = checker(version="v")
    assert versioned.needs == ("time", "index_symbol", "value", "change", "v")
    rows = [(TIME, "A", "1", None, "2"), (TIME, "A", "1", None, None), (TIME, "A", "x", None, "1")]
    checked = versioned.check(piece(rows, "time index_symbol value change v"))
    assert checked.versions is not None
    assert checked.versions.to_pylist() == ["2"]
    assert [reject.column for reject in checked.rejects] == ["v", "value"]


def test_halves_are_exact_and_rounded_where_allowed() -> None:
    sources: dict[str, ColumnSource] = {name: FromColumn(name) for name in ("time", "index_symbol")}
    halved = checker(sources={**sources, "value": FromMid("bid", "ask")}, round_to={"value": 6})
    rows = [(TIME, "A", "1.000001", "1.000002"), (TIME, "A", "1", "2"), (TIME, "A", "1.000003", "1.000002")]
    checked = halved.check(piece(rows, "time index_symbol bid ask"))
    assert [str(value) for value in checked.table.column("value").to_pylist()] == ["1.000002", "1.500000", "1.000002"]
    assert checked.rounded == {"value": 2}


def test_a_column_of_nothing_but_nulls_fits_a_number_of_any_size() -> None:
    table = sa.Table("t", sa.MetaData(), sa.Column("n", sa.Numeric))
    made, _ = conformed(pa.array([None, None], pa.string()), rules_of(table)["n"])
    assert pa.types.is_decimal(made.type)
    assert made.null_count == 2
