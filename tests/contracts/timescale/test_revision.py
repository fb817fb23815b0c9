"""The platform's revision and the engine mean the same function, tables and locks."""

from __future__ import annotations

import psycopg
import pytest

SOURCE = "SELECT prosrc, prosecdef, proconfig FROM pg_proc WHERE oid = 'storekeeper.note_changes()'::regprocedure"
COLUMNS = (
    "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns "
    "WHERE table_schema = 'storekeeper' AND table_name IN ('watermarks', 'invalidations', 'engines') ORDER BY 1, 2"
)


@pytest.mark.one_backend
def test_a_migrated_store_captures_changes_as_the_engine_says(series_url: str, migrated_url: str) -> None:
    with psycopg.connect(series_url) as made, psycopg.connect(migrated_url) as migrated:
        for question in (SOURCE, COLUMNS):
            assert migrated.execute(question.encode()).fetchall() == made.execute(question.encode()).fetchall()
