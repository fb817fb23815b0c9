"""The statements of the TimescaleDB engine as text: the words of each version, what is declared, what is adjusted."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from storekeeper.catalog import Hypertable, Range
from storekeeper.span import Span, days, months, weeks, years
from storekeeper.timescale.adjusting import Columnstore, State, adjustments, columnstore_of, interval_of, wants_capture
from storekeeper.timescale.capture import NOTE_ROW, capture_names
from storekeeper.timescale.chunks import Chunk, uncovered
from storekeeper.timescale.continuous import select_continuous
from storekeeper.timescale.hypertables import HypertablesEngine
from storekeeper.timescale.levels import Level, levels
from storekeeper.timescale.quoting import verbatim
from storekeeper.timescale.spellings import NEWEST, OLDEST, SPELLINGS, Version, parsed, spelling
from timescale_series import CANDLES, LATE, READINGS, TICKS, moment

OLD, NEW = HypertablesEngine((2, 14)), HypertablesEngine((2, 28))
CHUNK = Chunk("lab.ticks", "_hyper_1_2_chunk", Range(moment("2014-05-07 00:00"), moment("2014-05-08 00:00")), 0, 0)
COMPRESSED = replace(CHUNK, compressed=True, schema="_timescaledb_internal")


def text(engine: HypertablesEngine, hypertable: Hypertable = TICKS) -> str:
    made = engine.create_hypertable(hypertable)
    made += [one for rollup in hypertable.rollups for one in engine.create_rollup(hypertable, rollup)]
    return "\n".join(statement.sql for statement in made)


@pytest.mark.parametrize(
    ("version", "since"),
    [
        *(("2.13.1", (2, 14)), ("2.14.0", (2, 14)), ("2.17.2", (2, 15)), ("2.18.0", (2, 18)), ("2.27", (2, 18))),
        *(("2.28.3", (2, 28)), ("2.31.0-dev", (2, 29)), ("nonsense", (2, 14))),
    ],
)
def test_the_words_of_a_version(version: str, since: Version) -> None:
    assert spelling(parsed(version)).since == since


def test_the_table_of_words_goes_upward() -> None:
    versions = [one.since for one in SPELLINGS]
    assert versions == sorted(set(versions))
    assert versions[0] == OLDEST
    assert versions[-1] <= NEWEST


def test_old_and_new_words() -> None:
    level = Level(TICKS, 0)
    assert "timescaledb.compress = true, timescaledb.compress_segmentby = 'symbol'" in text(OLD)
    assert "timescaledb.enable_columnstore = true, timescaledb.segmentby = 'symbol'" in text(NEW)
    (old, _), (new, locked) = (engine.compress(level, COMPRESSED) for engine in (OLD, NEW))
    assert old.sql.startswith("SELECT public.compress_chunk('_timescaledb_internal._hyper_1_2_chunk'")
    assert new.sql.startswith("CALL public.convert_to_columnstore('_timescaledb_internal._hyper_1_2_chunk'")
    assert "LOCK TABLE _timescaledb_internal._hyper_1_2_chunk IN ACCESS EXCLUSIVE MODE NOWAIT" in locked.sql
    (old,), (new,) = (engine.refresh(levels(TICKS)[1], CHUNK.range) for engine in (OLD, NEW))
    assert "force" not in old.sql
    assert "force => true" in new.sql
    assert {old.autocommit, new.autocommit} == {True}


@pytest.mark.parametrize("version", [one.since for one in SPELLINGS])
def test_no_statement_of_a_migration_needs_a_transaction_of_its_own(version: Version) -> None:
    engine = HypertablesEngine(version)
    for hypertable in (TICKS, READINGS, CANDLES, LATE):
        made = [*engine.create_hypertable(hypertable), *engine.drop_hypertable(hypertable)]
        for rollup in hypertable.rollups:
            made += [*engine.create_rollup(hypertable, rollup), *engine.drop_rollup(hypertable, rollup)]
        assert not any(statement.autocommit for statement in made)
        for statement in made:
            assert not statement.clause().compile().params


def test_functions_are_called_where_the_extension_is() -> None:
    engine = HypertablesEngine((2, 28), "Time scale")
    assert '"Time scale".create_hypertable(' in text(engine)
    assert '"Time scale".time_bucket(' in text(engine)


def test_row_triggers_stand_where_statements_see_no_rows() -> None:
    assert "storekeeper_note_delete_row" in capture_names(NEW.words)
    assert "storekeeper_note_insert_row" not in capture_names(NEW.words)
    assert {f"storekeeper_note_{event}_row" for event in ("insert", "update", "delete")} <= set(
        capture_names(OLD.words)
    )
    assert "REFERENCING" not in text(OLD)
    assert str(sa.text(verbatim(NOTE_ROW))) == NOTE_ROW


def test_the_catalog_of_a_version() -> None:
    oldest, later, newest = (HypertablesEngine(version) for version in ((2, 14), (2, 15), (2, 29)))
    level = Level(TICKS, 0)
    made = {engine.version: engine.make_chunks(level, [CHUNK.range])[0].sql for engine in (oldest, later, newest)}
    assert "EXCEPTION WHEN undefined_object" in made[2, 14]
    assert made[2, 15] == made[2, 29]
    assert made[2, 15].startswith("SELECT _timescaledb_functions.create_chunk(")
    assert [engine.copies_late for engine in (oldest, later, newest)] == [False, True, True]
    for engine in (oldest, later, newest):
        for inspection in (engine.chunks(level), engine.statistics(level)):
            assert ("known.relid = part.oid" in inspection.statement.sql) is (engine is newest)
            assert ("known.compressed_chunk_id" in inspection.statement.sql) is (engine is not newest)


def test_rows_that_are_only_appended_have_no_triggers() -> None:
    free = Hypertable(LATE.table, time="time", chunk=days(1), segment_by=("sensor",))
    assert not wants_capture(Level(free, 0))
    assert "TRIGGER" not in text(NEW, free)
    assert wants_capture(Level(replace(free, drop_after=days(3)), 0))
    assert not wants_capture(Level(replace(free, drop_after=days(3), late_rows="keep"), 0))
    assert wants_capture(Level(TICKS, 0))
    assert wants_capture(Level(LATE, 0))


def test_first_and_last_go_by_the_time_where_nothing_can_tie() -> None:
    unique, tied = select_continuous(levels(TICKS)[1], "public"), select_continuous(levels(LATE)[1], "public")
    assert "public.first(price, time)::NUMERIC(18, 6) AS open" in unique
    assert "array_agg" not in unique
    assert "(array_agg(value ORDER BY time, value))[1]::NUMERIC(12, 3) AS open" in tied
    assert "public.last(close, bucket)" in select_continuous(levels(TICKS)[2], "public")


@pytest.mark.parametrize(
    ("span", "length"), [(days(1), 1), (weeks(1), 7), (months(1), 30), (months(3), 91), (years(1), 365)]
)
def test_how_long_the_chunks_are_that_the_server_makes(span: Span, length: int) -> None:
    assert interval_of(span) == timedelta(days=length)


def test_only_what_differs_is_adjusted() -> None:
    level = Level(TICKS, 0)
    names = tuple(sorted(capture_names(NEW.words)))
    state = State(timedelta(days=1), Columnstore(("symbol",), ("time DESC",)), compressed=False, triggers=names)

    def told(found: State | None, of: Level = level) -> list[tuple[str, str]]:
        return [(one.action, one.detail) for one in adjustments(of, found, "lab.ticks", NEW.words, "public")]

    assert told(None) == told(state) == []
    assert told(replace(state, interval=timedelta(days=7)))[0][1].startswith("1w → 1d")
    assert told(replace(state, columnstore=None)) == [("set columnstore", "off → by symbol, in order of time DESC")]
    assert told(replace(state, triggers=names[1:])) == [("set capture", "on")]
    off = Level(replace(TICKS, segment_by=(), order_by=(), compress_after=None), 0)
    assert told(state, off) == [("set columnstore", "by symbol, in order of time DESC → off")]
    # what is compressed would have to be unpacked: nothing is done
    (kept,) = adjustments(off, replace(state, compressed=True), "lab.ticks", NEW.words, "public")
    assert kept.statements == ()


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ((), ("time DESC",)),
        (("time ASC",), ("time",)),
        (("price desc nulls last", "time"), ("price DESC NULLS LAST", "time")),
        (("price NULLS FIRST",), ("price NULLS FIRST",)),
        (("price DESC NULLS FIRST",), ("price DESC",)),
    ],
)
def test_an_order_is_said_as_the_server_says_it(order: tuple[str, ...], said: tuple[str, ...]) -> None:
    assert columnstore_of(replace(TICKS, order_by=order)).order_by == said


def test_what_is_left_of_ranges() -> None:
    def piece(lower: int, upper: int) -> Range:
        begin = moment("2014-05-01 00:00")
        return Range(begin + timedelta(days=lower), begin + timedelta(days=upper))

    assert uncovered([piece(0, 7)], []) == (piece(0, 7),)
    assert uncovered([piece(0, 7)], [piece(0, 7)]) == ()
    assert uncovered([piece(0, 7)], [piece(-3, 2), piece(4, 5)]) == (piece(2, 4), piece(5, 7))
    assert uncovered([piece(7, 14), piece(0, 7)], [piece(6, 8)]) == (piece(0, 6), piece(8, 14))
