# Generated from test_cold_lent_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""Rows of files, lent to the server for statements of one's own: of every type, as they were."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
import sqlalchemy as sa

from cold_series import START, tier
from storekeeper.catalog import Catalog, Domain
from storekeeper.errors import InputError
from storekeeper.span import days
from storekeeper.stores.timescale.timescale import Timescale
from storekeeper.timescale.engine import Engine
from timescale_series import READINGS
from timescale_stores import opened

Psql = psycopg.Connection[tuple[object, ...]]

#: A UUID, a small integer, a float, JSON; chunks of a year.
ARCHIVED = replace(READINGS, archive=True, drop_after=days(400), late_rows="keep")
CATALOG = Catalog((Domain("lab", hypertables=(ARCHIVED,)),))
STATIONS = [UUID(int=171), UUID(int=205)]
NOTES: list[object] = [{"a": 'two\nlines, "q" \\. \\N'}, [], {"big": 12345678901234567890}, "null", '""', '"é%s:x"']
VALUES = [0.1, -0.0, 1e-300, math.inf, -math.inf, None]


@pytest.fixture
def store(series_url: str, engine: Engine, tmp_path: Path, psql: Psql) -> Iterator[Timescale]:
    psql.execute("UPDATE storekeeper.watermarks SET late_rows = 'keep' WHERE dataset = 'lab.Readings'")
    with opened(series_url, engine, CATALOG, archive=tier(tmp_path)) as store:
        rows = [
            {
                "at": START + timedelta(days=20 * step, microseconds=step),
                "station": STATIONS[step % 2],
                "kind": step % 3,
                "value": VALUES[step % len(VALUES)],
                "note": NOTES[step % len(NOTES)],
            }
            for step in range(50)
        ]
        store.append("lab.Readings", rows)
        yield store


def asked(store: Timescale, **how: Any) -> list[tuple[Any, ...]]:
    """Texts, as the server has them, of rows whose note or value the server compares."""
    found: list[tuple[Any, ...]] = []
    with store.stretches("lab.Readings", **how) as stretches:
        for stretch in stretches:
            table, bounds = stretch.level.table, stretch.range
            direction = "DESC" if how.get("newest_first") else ""
            station = how.get("where", {}).get("station", [None])[0]
            rows = stretch.connection.execute(
                sa.text(
                    "SELECT at::text, station::text, kind::text, value::text, note::text"
                    f' FROM {table.schema}."{table.name}"'
                    " WHERE at >= :lower AND at < :upper AND (value IS DISTINCT FROM 0 OR note <> '[]')"
                    " AND (CAST(:station AS uuid) IS NULL OR station = CAST(:station AS uuid))"
                    f" ORDER BY at {direction}"
                ),
                {"lower": bounds.lower, "upper": bounds.upper, "station": station},
            )
            found += [tuple(row) for row in rows]
    return found


def test_a_statement_finds_the_same_rows_in_both_tiers(store: Timescale) -> None:
    questions: list[dict[str, Any]] = [
        {},
        {"newest_first": True},
        {"start": START + timedelta(days=30), "end": START + timedelta(days=500)},
        {"where": {"station": [str(STATIONS[1]).upper()]}},
        {"local": {"work_mem": "1MB"}, "timeout": 20},
    ]
    before = [asked(store, **question) for question in questions]
    assert len(before[0]) == 41
    store.drop_chunks("lab.Readings", as_of=START + timedelta(days=1200))
    assert len(store.archived_parts("lab.Readings")) == 2
    for question, expected in zip(questions, before, strict=True):
        assert asked(store, **question) == expected, question
    cold = asked(store, archived=True)
    assert cold == before[0][: len(cold)]
    assert 0 < len(cold) < 41
    extent = store.archived_extent("lab.Readings")
    assert extent is not None
    assert extent.lower == START
    # rows that came late meet those of files
    late = {"at": START + timedelta(days=1), "station": STATIONS[0], "kind": 1, "value": 5.5, "note": {}}
    store.append("lab.Readings", [late])
    assert len(asked(store)) == 42


def test_documents_are_not_looked_for_in_files(store: Timescale) -> None:
    store.drop_chunks("lab.Readings", as_of=START + timedelta(days=1200))
    with pytest.raises(InputError, match="a document cannot be looked for"):
        store.raw("lab.Readings", where={"note": ["{}"]})
    nobody = store.raw("lab.Readings", where={"station": [UUID(int=9)]}, newest_first=True, limit=3)
    assert nobody.num_rows == 0
