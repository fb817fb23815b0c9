"""Files of rows for tests, a domain with rules of every sort, and what the store and reject files hold."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSON, JSONB

from storekeeper import connect
from storekeeper.catalog import Catalog, Domain
from storekeeper.catalog.naming import NAMING_CONVENTION
from storekeeper.domains import CATALOG as BUILT_IN
from storekeeper.ingest.mapping import parse_map, parse_set
from storekeeper.ingest.options import Options
from storekeeper.ingest.progress import Ingested
from storekeeper.ingest.readers.files import Source
from storekeeper.ingest.rows.ingest_rows import ingest_rows
from storekeeper.platform import Platform

_LAB = sa.MetaData(schema="lab", naming_convention=NAMING_CONVENTION)

makers = sa.Table("makers", _LAB, sa.Column("id", sa.Integer, primary_key=True, autoincrement=False))

things = sa.Table(
    "things",
    _LAB,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("maker", sa.Integer, sa.ForeignKey(makers.c.id)),
    sa.Column("Name", sa.String(8)),
    sa.Column("shelf", sa.SmallInteger),
    sa.Column("place", sa.SmallInteger),
    sa.Column("first", sa.Boolean),
    sa.Column("low", sa.Integer),
    sa.Column("high", sa.Integer),
    sa.Column("price", sa.Numeric(9, 2)),
    sa.Column("cents", sa.Integer, sa.Computed("price * 100", persisted=True)),
    sa.Column("note", JSONB),
    sa.Column("raw", JSON),
    sa.Column("any", sa.Numeric),
    sa.CheckConstraint("low <= high", name="check_low_high"),
    sa.CheckConstraint("100 / low < 60 OR coalesce(note ->> 'a:b', '') = 'x'", name="check_quotient"),
    sa.UniqueConstraint("shelf", "place", postgresql_nulls_not_distinct=True),
)
sa.Index("uq_things_name", sa.func.lower(things.c.Name), unique=True, postgresql_where=sa.text("price > 0"))
sa.Index("uq_things_first", things.c.maker, unique=True, postgresql_where=things.c.first)

#: Its key is the server's to give.
notes = sa.Table(
    "notes",
    _LAB,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("text", sa.Text, nullable=False),
)
lists = sa.Table("lists", _LAB, sa.Column("id", sa.Integer, primary_key=True), sa.Column("all", sa.ARRAY(sa.Text)))
bare = sa.Table("bare", _LAB, sa.Column("a", sa.Text), sa.Column("b", sa.Float))
#: Shaped as invest.market_indices, with a rule over a column.
values = sa.Table(
    "values",
    _LAB,
    sa.Column("time", sa.DateTime(timezone=True), primary_key=True),
    sa.Column("index_symbol", sa.String(32), primary_key=True),
    sa.Column("value", sa.Numeric(18, 6), nullable=False),
    sa.Column("change", sa.Numeric(18, 6)),
    sa.Column("change_percent", sa.Numeric(7, 4)),
    sa.Column("volume", sa.BigInteger),
    sa.CheckConstraint("volume >= 0", name="check_volume"),
)

CATALOG = Catalog((*BUILT_IN.domains, Domain("lab", tables=(makers, things, notes, lists, bare, values))))

_TRIGGERS = """
    CREATE OR REPLACE FUNCTION lab.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW."Name" = 'trigger' THEN RAISE EXCEPTION 'not this name'; END IF;
        RETURN NEW;
    END $$;
    CREATE OR REPLACE TRIGGER refuse BEFORE INSERT OR UPDATE ON lab.things FOR EACH ROW EXECUTE FUNCTION lab.refuse();
"""


@contextmanager
def opened(url: str) -> Iterator[Platform]:
    """A platform on a migrated database, whose domain `lab` is made too."""
    with connect(catalog=CATALOG, stores=("postgres", "timescale"), postgres_url=url, timescale_url=url) as platform:
        with platform.postgres.begin() as connection:
            connection.execute(sa.text("CREATE SCHEMA IF NOT EXISTS lab"))
            _LAB.create_all(connection)
            connection.execute(sa.text(_TRIGGERS))
        yield platform


def ingested(
    platform: Platform,
    dataset: str,
    *sources: Source,
    maps: Sequence[str] = (),
    sets: Sequence[str] = (),
    progress: Any = None,
    **options: Any,
) -> Ingested:
    """ingest_rows with what the command line would say."""
    asked = Options(mapping=parse_map(maps), constants=parse_set(sets), **options)
    result = ingest_rows(platform, dataset, sources, asked, progress=progress)
    assert result.inserted + result.updated + result.skipped + result.superseded + result.rejected == result.rows
    assert sum(file.rows for file in result.files) == result.rows
    assert sum(file.rejected for file in result.files) == result.rejected
    for file in result.files:
        assert sum(file.reasons.values()) == file.rejected
    return result


def counts(result: Ingested) -> tuple[int, int, int, int, int]:
    """(inserted, updated, skipped, superseded, rejected)."""
    return result.inserted, result.updated, result.skipped, result.superseded, result.rejected


def rejects_of(path: Path) -> list[tuple[int, str, str, str]]:
    """(place, column, reason, row) of a reject file."""
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["line", "column", "reason", "row"]
    return [(int(place), column, reason, row) for place, column, reason, row in rows]


def fields_of(row: str) -> list[str]:
    """The fields of a row of csv."""
    [fields] = csv.reader(io.StringIO(row, newline=""))
    return fields


def stored(platform: Platform, statement: str) -> list[tuple[Any, ...]]:
    with platform.timescale.pool.begin() as connection:
        return [tuple(row) for row in connection.execute(sa.text(statement))]


def count(platform: Platform, dataset: str) -> int:
    return int(stored(platform, f"SELECT count(*) FROM {dataset}")[0][0])


def packed(content: bytes, packing: str) -> bytes:
    """gz, zst, or as it is."""
    if packing == ".gz":
        return gzip.compress(content)
    if packing == ".zst":
        return bytes(pa.compress(content, codec="zstd", asbytes=True))
    return content


def as_csv(rows: Sequence[Mapping[str, str | None]]) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows([["" if value is None else value for value in row.values()] for row in rows])
    return out.getvalue().encode()


def as_ndjson(rows: Sequence[Mapping[str, str | None]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def as_parquet(rows: Sequence[Mapping[str, str | None]]) -> bytes:
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), out)
    return out.getvalue()
