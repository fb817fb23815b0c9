"""The catalogue: what contradicts itself is refused when it is declared, and equal declarations have equal digests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import AwareDatetime, BaseModel

from storekeeper.catalog import (
    BackupPolicy,
    Catalog,
    Collection,
    DocumentIndex,
    Domain,
    Hypertable,
    Keyspace,
    MaterializedView,
    RateLimit,
    Rollup,
    TableLifecycle,
    load_catalog,
    ohlcv,
)
from storekeeper.errors import DeclarationError, InputError, SettingsError
from storekeeper.span import days, hours, minutes, months, seconds


class Line(BaseModel):
    at: AwareDatetime
    text: str


def ticks(schema: str = "lab", *, unique: bool = True, zone: bool = True) -> sa.Table:
    table = sa.Table(
        "ticks",
        sa.MetaData(schema=schema),
        sa.Column("time", sa.DateTime(timezone=zone), nullable=False),
        sa.Column("symbol", sa.String(32), nullable=False),
        sa.Column("price", sa.Numeric(18, 6)),
        sa.Column("volume", sa.Numeric(24, 8)),
    )
    sa.Index("idx_ticks", table.c.symbol, table.c.time.desc(), unique=unique)
    return table


def latest(key: Any, where: str | None = None) -> sa.Table:
    """A view's columns, and a unique index of them."""
    return sa.Table(
        "latest",
        sa.MetaData(schema="lab"),
        sa.Column("symbol", sa.String),
        sa.Column("price", sa.Numeric),
        sa.Index("idx_latest", key, unique=True, postgresql_where=None if where is None else sa.text(where)),
    )


def series(table: sa.Table | None = None, **changes: Any) -> Hypertable:
    declared: dict[str, Any] = {"time": "time", "chunk": days(1), "natural_key": ("symbol", "time")}
    return Hypertable(ticks() if table is None else table, **{**declared, **changes})


def bars(name: str, every: Any, **changes: Any) -> Rollup:
    declared: dict[str, Any] = {"by": ("symbol",), "measures": ohlcv("price", "volume")}
    return Rollup(name, every=every, **{**declared, **changes})


LINES = Collection("lines", model=Line, time="at", drop_after=days(1), indexes=(DocumentIndex((("at", -1),)),))
LAB = Domain("lab", hypertables=(series(rollups=(bars("ticks_5min", minutes(5)),)),), collections=(LINES,))


@pytest.mark.parametrize(
    ("declare", "cause"),
    [
        (lambda: series(time="when"), "no column 'when'"),
        (lambda: series(natural_key=("symbol",)), "includes the time"),
        (lambda: series(ticks(unique=False)), "needs a unique index"),
        (lambda: series(ticks(zone=False)), "must carry a time zone"),
        (lambda: series(compress_after=days(30), drop_after=days(7)), "dropped before it is compressed"),
        (lambda: series(rollups=(bars("b", minutes(5), by=("venue",)),)), "no column venue"),
        (lambda: series(rollups=(bars("b", minutes(5), measures=ohlcv("mid", "volume")),)), "no column mid"),
        (lambda: series(rollups=(bars("b", minutes(5)), bars("c", minutes(7)))), "not whole buckets"),
        (lambda: Collection("lines", Line, time="when"), "no field 'when'"),
        (lambda: Collection("lines", Line, time="at", drop_after=months(1)), "counts seconds"),
        (lambda: Keyspace("k:{a}", kind="hash"), "needs a model"),
        (lambda: Keyspace("k:{a}", kind="set", ttl=months(1)), "counts seconds"),
        (lambda: RateLimit(Keyspace("k:{a}", kind="set"), limit=1, window=seconds(1)), "fixed window"),
        (lambda: RateLimit(Keyspace("k:{a}", kind="string"), limit=0, window=seconds(1)), "at least one"),
        (lambda: TableLifecycle(ticks(), expires="gone_at"), "no column 'gone_at'"),
        (lambda: TableLifecycle(ticks(), drop_after=days(1)), "name a `since` column"),
        (lambda: MaterializedView(ticks(unique=False), every=minutes(15)), "needs a unique index of whole columns"),
        (lambda: MaterializedView(latest("symbol", where="price > 1"), every=minutes(15)), "of whole columns"),
        (lambda: MaterializedView(latest(sa.text("lower(symbol)")), every=minutes(15)), "of whole columns"),
        (lambda: MaterializedView(latest("symbol"), every=months(1)), "at fixed lengths"),
        (lambda: BackupPolicy("mongo", full=days(1), keep=days(30), incremental=hours(6)), "only PostgreSQL"),
    ],
)
def test_what_contradicts_itself_is_refused(declare: Callable[[], object], cause: str) -> None:
    with pytest.raises(DeclarationError, match=cause):
        declare()


def test_two_domains_may_not_declare_one_thing() -> None:
    with pytest.raises(DeclarationError, match=r"declared twice: lab, lab\.lines, lab\.ticks, lab\.ticks_5min"):
        Catalog((LAB, LAB))
    shared = Keyspace("k:{a}", kind="set")
    with pytest.raises(DeclarationError, match=r"declared twice: k:\{a\}"):
        Catalog((Domain("one", keyspaces=(shared,)), Domain("two", keyspaces=(shared,))))


def test_a_view_is_a_dataset_of_its_domain() -> None:
    view = MaterializedView(latest("symbol"), every=minutes(15))
    assert Catalog((Domain("lab", views=(view,)),)).views == (view,)
    assert MaterializedView(ticks(), every=hours(1)).name == "lab.ticks", "descending columns are whole too"
    with pytest.raises(DeclarationError, match=r"declared twice: lab\.latest"):
        Catalog((Domain("lab", views=(view, view)),))
    with pytest.raises(DeclarationError, match="is in schema lab, not other"):
        Catalog((Domain("other", views=(view,)),))


def test_a_table_is_in_its_domains_schema() -> None:
    with pytest.raises(DeclarationError, match="is in schema elsewhere, not lab"):
        Catalog((Domain("lab", tables=(ticks("elsewhere"),)),))


def test_datasets_are_found_by_name() -> None:
    catalog = Catalog((LAB,))
    hypertable = LAB.hypertables[0]
    assert catalog.hypertable("lab.ticks") is hypertable
    assert catalog.rollup("lab.ticks_5min") == (hypertable, hypertable.rollups[0])
    assert catalog.collection("lab.lines") == (LAB, LINES)
    with pytest.raises(DeclarationError, match=r"known: lab\.ticks"):
        catalog.hypertable("lab.tikcs")


def test_a_keyspace_is_found_by_its_first_part_where_that_is_plain() -> None:
    prices = Keyspace("stock:{symbol}", kind="set")
    one, two = Keyspace("user:{id}:a", kind="set"), Keyspace("user:{id}:b", kind="set")
    catalog = Catalog((Domain("lab", keyspaces=(prices, one, two)),))
    assert catalog.keyspace("stock") is prices
    assert catalog.keyspace("user:{id}:a") is one
    with pytest.raises(DeclarationError):
        catalog.keyspace("user")


def test_a_key_takes_all_of_its_parts() -> None:
    keyspace = Keyspace("limit:{user}:{endpoint}", kind="string")
    assert keyspace.key(user=7, endpoint="/bars") == "limit:7:/bars"
    for parts in ({"user": 7}, {"user": 7, "endpoint": ""}, {"user": 7, "endpoint": "x", "more": 1}):
        with pytest.raises(InputError):
            keyspace.key(**parts)


def test_a_catalogue_of_some_domains() -> None:
    catalog = Catalog((LAB, Domain("other")), version="3")
    assert catalog.only(None) is catalog
    assert [domain.name for domain in catalog.only(("other",)).domains] == ["other"]
    assert catalog.only(("other",)).version == "3"
    with pytest.raises(DeclarationError):
        catalog.only(("nowhere",))


def test_every_change_of_a_declaration_changes_the_digest() -> None:
    def catalog(**changes: Any) -> Catalog:
        return Catalog((replace(LAB, **changes),))

    wider = ticks()
    wider.append_column(sa.Column("bid", sa.Numeric(18, 6)))
    indexed = ticks()
    sa.Index("idx_ticks_price", indexed.c.price)
    digests = [
        catalog().digest(),
        catalog(hypertables=()).digest(),
        catalog(hypertables=(series(),)).digest(),
        catalog(hypertables=(series(drop_after=days(30)),)).digest(),
        catalog(hypertables=(series(drop_after=days(31)),)).digest(),
        catalog(hypertables=(series(chunk=days(7)),)).digest(),
        catalog(hypertables=(series(wider),)).digest(),
        catalog(hypertables=(series(indexed),)).digest(),
        catalog(collections=(replace(LINES, drop_after=days(2)),)).digest(),
        catalog(views=(MaterializedView(latest("symbol"), every=minutes(15)),)).digest(),
        catalog(views=(MaterializedView(latest("symbol"), every=minutes(30)),)).digest(),
        catalog(keyspaces=(Keyspace("k:{a}", kind="set"),)).digest(),
        Catalog((LAB,), version="2").digest(),
        Catalog((LAB,), backups=(BackupPolicy("redis", full=hours(1), keep=days(7)),)).digest(),
    ]
    assert len(set(digests)) == len(digests)


def test_equal_declarations_have_equal_digests_in_every_process() -> None:
    code = "from storekeeper.catalog import load_catalog; print(load_catalog('storekeeper.domains:CATALOG').digest())"
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert there.stdout.strip() == load_catalog("storekeeper.domains:CATALOG").digest()


@pytest.mark.parametrize(
    "path", ["storekeeper.nowhere:CATALOG", "storekeeper.domains:NOTHING", "", "storekeeper.span:days"]
)
def test_a_catalogue_that_is_none_is_a_wrong_setting(path: str) -> None:
    with pytest.raises(SettingsError, match="load catalogue"):
        load_catalog(path)
