"""Drafts of series: what was made against what is declared, as calls both ways; without a server."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from storekeeper import Hypertable, Rollup, Span, days, hours, minutes, months, ohlcv, seconds, years
from storekeeper.migrations.drafting import Draft, source
from storekeeper.migrations.series_drafting import drafted_series, lost, unmade
from storekeeper.migrations.series_made import Made
from storekeeper.timescale.adjusting import alterations, on_record
from storekeeper.timescale.spellings import NEWEST, spelling

MEASURES = ohlcv("price", "volume")


def series(name: str = "ticks", **said: Any) -> Hypertable:
    table = sa.Table(
        name,
        sa.MetaData(schema="lab"),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("symbol", sa.String(32), nullable=False),
        sa.Column("price", sa.Numeric(18, 6)),
        sa.Column("volume", sa.Float),
    )
    sa.Index(f"idx_{name}", table.c.symbol, table.c.time.desc().nulls_last(), unique=True)
    return Hypertable(table, time="time", **{"natural_key": ("symbol", "time"), "chunk": days(1), **said})


def rollup(name: str, every: Span, **said: Any) -> Rollup:
    return Rollup(name, every, by=("symbol",), measures=MEASURES, **said)


FINE, COARSE = rollup("fine", minutes(5)), rollup("coarse", hours(1))


def made(*hypertables: Hypertable) -> dict[str, Hypertable]:
    return {one.name: one for one in hypertables}


def executed(draft: Draft, first: str = "up") -> list[tuple[str, ...]]:
    """What the draft's functions call, by running its file with operations that only take notes."""
    text = source("lab", "what is drafted", "lab_0002", "lab_0001", draft)
    names: dict[str, Any] = {}
    calls: list[tuple[str, ...]] = []
    exec(compile(text, "draft", "exec"), names)
    for name in draft.imports:
        names[name] = lambda *given, name=name: calls.append(
            (name, *(one.name if isinstance(one, Hypertable) else one for one in given))
        )
    names["upgrade" if first == "up" else "downgrade"]()
    return calls


def test_nothing_differs_where_only_jobs_are_told_otherwise() -> None:
    before = series(drop_after=days(30), compress_after=days(8), rollups=(replace(FINE, keep=years(1)),))
    after = series(drop_after=days(60), compress_after=days(3), rollups=(FINE,))
    assert drafted_series(made(before), [after]) == Draft()
    assert [line.partition(" is nothing")[0] for line in unmade(made(before), [after])] == [
        "compress_after of lab.ticks (8d → 3d)",
        "drop_after of lab.ticks (30d → 60d)",
    ]


def test_a_rollup_in_between_takes_those_above_it_along() -> None:
    before, after = series(rollups=(FINE, COARSE)), series(rollups=(FINE, rollup("half", minutes(30)), COARSE))
    draft = drafted_series(made(before), [after])
    up = [
        ("drop_rollup", "lab.ticks", "coarse"),
        ("create_rollup", "lab.ticks", "half"),
        ("create_rollup", "lab.ticks", "coarse"),
    ]
    down = [
        ("drop_rollup", "lab.ticks", "coarse"),
        ("drop_rollup", "lab.ticks", "half"),
        ("create_rollup", "lab.ticks", "coarse"),
    ]
    assert (executed(draft), executed(draft, "down")) == (up, down)
    assert list(lost(made(before), [after])) == ["lab.coarse"]


@pytest.mark.parametrize(
    "said",
    [
        {"chunk": months(1)},
        {"chunk": seconds(90)},
        {"segment_by": ("symbol",)},
        {"compress_after": days(1)},
        {"late_rows": "keep"},
        {"rollups": (replace(FINE, chunk=days(3)), COARSE)},
    ],
    ids=str,
)
def test_what_is_set_is_altered_and_set_back(said: dict[str, Any]) -> None:
    before, after = series(rollups=(FINE, COARSE)), series(**{"rollups": (FINE, COARSE), **said})
    draft = drafted_series(made(before), [after])
    assert executed(draft) == executed(draft, "down") == [("alter_hypertable", "lab.ticks", "lab.ticks")]
    there = alterations(before, after, spelling(NEWEST), "public") + on_record(before, after)
    assert there
    assert alterations(after, after, spelling(NEWEST), "public") + on_record(after, after) == []


def test_names_that_mean_something_else_in_python() -> None:
    draft = drafted_series({}, [series(name) for name in ("days", "class", "1 day!", "Days")])
    assert [call[1] for call in executed(draft)] == ["lab.days", "lab.class", "lab.1 day!", "lab.Days"]
    assert [call[1] for call in executed(draft, "down")] == ["lab.Days", "lab.1 day!", "lab.class", "lab.days"]


def test_a_draft_read_back_is_what_was_declared() -> None:
    """Revisions are asked what they made, and the next draft goes by it."""
    declared = series(segment_by=("symbol",), order_by=("time DESC",), drop_after=days(9), rollups=(FINE, COARSE))
    draft = drafted_series({}, [declared])
    text = source("lab", "first", "lab_0001", None, draft)
    names: dict[str, Any] = {}
    exec(compile(text, "draft", "exec"), names)
    told = Made()
    read = names["ticks"]()
    told.create_hypertable(read)
    for one in read.rollups:
        told.create_rollup(read, one.name)
    assert drafted_series(told.hypertables, [declared]) == Draft()
    told.drop_rollup(read, "coarse")
    assert executed(drafted_series(told.hypertables, [declared])) == [("create_rollup", "lab.ticks", "coarse")]
    told.alter_hypertable(read, replace(read, chunk=days(2)))
    assert executed(drafted_series(told.hypertables, [declared]))[0] == ("alter_hypertable", "lab.ticks", "lab.ticks")
    told.drop_hypertable(read)
    assert told.hypertables == {}
