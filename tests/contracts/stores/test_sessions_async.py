"""Sessions of the relational store: who acts, what is repeated, pages, and rows that are marked as deleted."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings, strategies as st
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, joinedload, mapped_column, relationship, selectinload

from storekeeper import Catalog, Domain, Page, TableLifecycle, TypedJson, page_async
from storekeeper.clock import FixedClock
from storekeeper.errors import InputError, UnavailableError, ValueFitError
from storekeeper.settings import SqlPool
from storekeeper.stores.postgres.keyset import decode, encode, keys
from storekeeper.stores.postgres.postgres_async import AsyncPostgres
from storekeeper.stores.sql.pool_async import AsyncPool

MOMENT = datetime(2026, 1, 2, tzinfo=UTC)


class Base(DeclarativeBase):
    metadata = sa.MetaData(schema="shop")


class Owner(Base):
    __tablename__ = "owners"

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True)
    name: Mapped[str] = mapped_column(sa.Text)
    gone_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))
    things: Mapped[list[Thing]] = relationship(back_populates="owner", lazy="raise")


class Thing(Base):
    __tablename__ = "things"

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True)
    owner_id: Mapped[UUID] = mapped_column(sa.ForeignKey(Owner.id))
    price: Mapped[Decimal] = mapped_column(sa.Numeric(10, 2))
    made_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    owner: Mapped[Owner | None] = relationship(back_populates="things", lazy="raise")


TABLES = Base.metadata.tables
CATALOG = Catalog(
    (
        Domain(
            "shop",
            tables=tuple(TABLES.values()),
            lifecycles=(TableLifecycle(TABLES["shop.owners"], deleted="gone_at"),),
        ),
    )
)


@pytest.fixture
async def postgres(postgres_url: str) -> AsyncIterator[AsyncPostgres]:
    pool = AsyncPool(
        postgres_url,
        pool=SqlPool(min=1, size=4, overflow=0),
        connect_timeout=5,
        transaction_timeout=30,
        slow_query=1.0,
        prepared=True,
        store="postgres",
        clock=FixedClock(MOMENT),
    )
    await pool.open()
    async with pool.begin() as connection:
        await connection.execute(sa.text("CREATE SCHEMA shop"))
        for table in Base.metadata.sorted_tables:
            await connection.execute(sa.schema.CreateTable(table))
    try:
        yield AsyncPostgres(pool, CATALOG)
    finally:
        await pool.close(5)


async def setting(session: AsyncSession, name: str) -> str | None:
    value: str | None = await session.scalar(sa.select(sa.func.current_setting(name, True)))
    return value


async def stocked(postgres: AsyncPostgres, prices: list[tuple[int, int]], *, gone: bool = False) -> UUID:
    """An owner with a thing for each (price, day)."""
    owner = Owner(id=uuid4(), name="ada", gone_at=MOMENT if gone else None)
    async with postgres.session() as session:
        session.add(owner)
        await session.flush()
        session.add_all(
            Thing(id=uuid4(), owner_id=owner.id, price=Decimal(price) / 4, made_at=MOMENT + timedelta(days=day))
            for price, day in prices
        )
    return owner.id


async def test_who_acts_holds_for_one_transaction(postgres: AsyncPostgres) -> None:
    user = uuid4()
    async with postgres.session(user_id=user, request_id="req-1") as session:
        assert await setting(session, "app.current_user_id") == str(user)
        assert await setting(session, "app.request_id") == "req-1"
    for _ in range(4):  # whichever connection of the pool it is
        async with postgres.session() as session:
            assert not await setting(session, "app.current_user_id")


async def test_what_is_performed_is_committed_and_its_objects_stay_readable(postgres: AsyncPostgres) -> None:
    async def make(session: AsyncSession) -> Owner:
        owner = Owner(id=uuid4(), name=str(await setting(session, "app.current_user_id")))
        session.add(owner)
        return owner

    made = await postgres.perform(make, user_id="5b1f8f0e-93c5-4a4e-8d0a-0d6a3c1b2f11")
    assert made.name == "5b1f8f0e-93c5-4a4e-8d0a-0d6a3c1b2f11"
    async with postgres.session() as session:
        assert await session.scalar(sa.select(sa.func.count()).select_from(Owner)) == 1


@pytest.mark.parametrize("repeatable", [True, False])
async def test_a_lost_connection_is_tried_again_only_where_that_is_safe(
    postgres: AsyncPostgres, postgres_url: str, repeatable: bool
) -> None:
    attempts = 0

    async def make(session: AsyncSession) -> int:
        nonlocal attempts
        attempts += 1
        session.add(Owner(id=uuid4(), name="ada"))
        await session.flush()
        if attempts == 1:
            backend = await session.scalar(sa.select(sa.func.pg_backend_pid()))
            with psycopg.connect(postgres_url, autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s)", [backend])
        return int(await session.scalar(sa.select(sa.func.count()).select_from(Owner)) or 0)

    if repeatable:
        assert await postgres.perform(make, repeatable=True) == 1
        assert attempts == 2
        return
    with pytest.raises(UnavailableError):
        await postgres.perform(make)
    assert attempts == 1


async def test_rows_that_are_marked_as_deleted_are_left_out_of_reads(postgres: AsyncPostgres) -> None:
    here = await stocked(postgres, [(1, 1)])
    gone = await stocked(postgres, [(2, 2)], gone=True)
    async with postgres.session() as session:
        assert [owner.id for owner in await session.scalars(sa.select(Owner))] == [here]
        assert await session.get(Owner, gone) is None
        assert await session.scalar(sa.select(sa.func.count(Owner.id))) == 1
        joined = sa.select(Thing.price).join(Owner, Thing.owner_id == Owner.id)
        assert list(await session.scalars(joined)) == [Decimal("0.25")]
        # an entity that deletion does not know, and in its statement another that it does
        for theirs in (
            sa.select(Thing).where(Thing.owner.has()),
            sa.select(Thing).where(Thing.owner_id.in_(sa.select(Owner.id))),
            sa.select(Thing).where(Thing.owner_id == sa.select(Owner.id).scalar_subquery()),
            sa.select(Thing).join(Thing.owner),
            sa.select(Thing, Owner).where(Thing.owner_id == Owner.id),
        ):
            assert [thing.price for thing in await session.scalars(theirs)] == [Decimal("0.25")]
        counted = sa.select(Thing, sa.select(sa.func.count(Owner.id)).scalar_subquery())
        assert [count for _, count in (await session.execute(counted)).all()] == [1, 1]
        # neither of these two is an entity's own statement
        assert await session.scalar(sa.select(sa.exists().where(Owner.id == gone))) is False
        assert list(await session.scalars(sa.union(sa.select(Owner.id), sa.select(Owner.id)))) == [here]
    for loading in (joinedload(Thing.owner), selectinload(Thing.owner)):
        async with postgres.session() as session:
            things = await session.scalars(sa.select(Thing).order_by(Thing.price).options(loading))
            assert [thing.owner.id if thing.owner else None for thing in things] == [here, None]


async def test_a_value_of_another_type_is_refused_without_the_statement(postgres: AsyncPostgres) -> None:
    for value, kind, cause in (("maybe", sa.Boolean(), "does not fit"), (["maybe"], TypedJson(list[int]), "0: Input")):
        with pytest.raises(ValueFitError, match=cause) as refused:
            async with postgres.session() as session:
                await session.scalar(sa.select(sa.literal(value, kind)))
        assert "SELECT" not in str(refused.value)
        assert "maybe" not in str(refused.value)


async def test_a_statement_may_show_deleted_rows(postgres: AsyncPostgres) -> None:
    gone = await stocked(postgres, [(2, 2)], gone=True)
    async with postgres.session() as session:
        shown = sa.select(Owner).options(selectinload(Owner.things)).execution_options(include_deleted=True)
        owner = (await session.scalars(shown)).one()
        assert owner.id == gone
        assert len(owner.things) == 1
        assert await session.get(Owner, gone, execution_options={"include_deleted": True}) is owner


async def pages_of(postgres: AsyncPostgres, statement: sa.Select[Any], by: Any, limit: int) -> list[Any]:
    seen: list[Any] = []
    after: str | None = None
    while True:
        async with postgres.session() as session:
            found: Page[Any] = await page_async(session, statement, by=by, after=after, limit=limit)
        assert len(found.items) <= limit
        seen += found.items
        if found.next is None:
            return seen
        assert len(found.items) == limit
        after = found.next


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    prices=st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3)), max_size=25),
    limit=st.integers(1, 7),
    directions=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
async def test_pages_show_each_row_once_in_order(
    postgres: AsyncPostgres, prices: list[tuple[int, int]], limit: int, directions: tuple[bool, bool, bool]
) -> None:
    owner = await stocked(postgres, prices)
    columns = (Thing.price, Thing.made_at, Thing.id)
    by = tuple(column.desc() if down else column.asc() for column, down in zip(columns, directions, strict=True))
    statement = sa.select(Thing).where(Thing.owner_id == owner)
    paged = await pages_of(postgres, statement, by, limit)
    async with postgres.session() as session:
        whole = list(await session.scalars(statement.order_by(*by)))
    assert [thing.id for thing in paged] == [thing.id for thing in whole]
    assert len(paged) == len(prices)


async def test_rows_that_come_meanwhile_shift_nothing(postgres: AsyncPostgres) -> None:
    owner = await stocked(postgres, [(1, day) for day in range(4)])
    statement = sa.select(Thing.made_at).where(Thing.owner_id == owner)
    by = (Thing.made_at.desc(), Thing.id.desc())
    async with postgres.session() as session:
        first = await page_async(session, statement, by=by, limit=2)
        session.add(Thing(id=uuid4(), owner_id=owner, price=1, made_at=MOMENT + timedelta(days=9)))
        await session.flush()
        second = await page_async(session, statement, by=by, after=first.next, limit=2)
    assert [(made - MOMENT).days for made in (*first.items, *second.items)] == [3, 2, 1, 0]
    assert second.next is None


def test_a_cursor_that_was_made_up_is_refused_before_the_server_sees_it() -> None:
    order = keys((Thing.made_at.desc(), Thing.id.desc()))
    digest = json.loads(base64.urlsafe_b64decode(encode(order, [MOMENT, uuid4()]) + "=="))[0]
    time, row = ["t", MOMENT.isoformat()], ["u", str(uuid4())]
    for tagged in ([time, ["u", 5]], [time, ["i", 5]], [["s", "\ud800"], row], [row, time], [time, [[], 1]]):
        forged = base64.urlsafe_b64encode(json.dumps([digest, *tagged]).encode()).decode()
        with pytest.raises(InputError, match="cursor"):
            decode(order, forged)


async def test_what_is_no_cursor_of_the_listing_is_refused(postgres: AsyncPostgres) -> None:
    statement = sa.select(Thing)
    other = encode(keys((Thing.price, Thing.id)), [Decimal(1), uuid4()])
    async with postgres.session() as session:
        for wrong in ("", "x", "e30", "IjEi", "ä", other):
            with pytest.raises(InputError, match="cursor"):
                await page_async(session, statement, by=(Thing.id,), after=wrong)
        for limit in (0, 1001):
            with pytest.raises(InputError, match="1 to 1000"):
                await page_async(session, statement, by=(Thing.id,), limit=limit)
        with pytest.raises(InputError, match="may be NULL"):
            await page_async(session, sa.select(Owner), by=(Owner.gone_at, Owner.id))


def test_a_cursor_keeps_every_kind_of_value() -> None:
    order = keys((Thing.price, Thing.made_at, Thing.id, Owner.name))
    values = [Decimal("1.10"), MOMENT, uuid4(), "ä"]
    assert decode(order, encode(order, values)) == values
