"""A broken rule becomes an error that names entity, field and rule, and no value of the row."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from constrained_shop import CATALOG, Customer, Order, bookings, customers, make, orders, visits
from storekeeper.clock import FixedClock
from storekeeper.errors import CheckError, ConstraintError, ForeignKeyError, NotNullError, UniqueError
from storekeeper.settings import SqlPool
from storekeeper.stores.postgres.postgres_async import AsyncPostgres
from storekeeper.stores.sql.pool_async import AsyncPool

ADA = {"id": 1, "email": "ada@example.org", "phone": "Secret 20", "active": True}
ORDER = {"id": 1, "customer_id": 1, "number": 1, "kind": "b", "price": 5, "list_price": 10}
VISIT = {"id": 1, "day": 20250105, "page": "secret page"}


@pytest.fixture
async def shop(postgres_url: str) -> AsyncIterator[AsyncPostgres]:
    make(postgres_url)
    pool = AsyncPool(
        postgres_url,
        pool=SqlPool(min=1, size=2, overflow=0),
        connect_timeout=5,
        transaction_timeout=30,
        slow_query=1,
        prepared=True,
        store="postgres",
        clock=FixedClock(datetime(2026, 1, 2, tzinfo=UTC)),
        catalog=CATALOG,
    )
    await pool.open()
    async with pool.begin() as connection:
        await connection.execute(sa.insert(customers), [ADA])
        await connection.execute(sa.insert(orders), [ORDER])
        await connection.execute(sa.insert(visits), [VISIT])
        await connection.execute(sa.text("INSERT INTO shop.bookings VALUES ('[1,5)')"))
    yield AsyncPostgres(pool)
    await pool.close(5)


async def refused(shop: AsyncPostgres, statement: Any, operation: str = "", target: str = "") -> ConstraintError:
    with pytest.raises(ConstraintError) as caught:
        async with shop.begin(operation=operation, target=target) as connection:
            await connection.execute(statement)
    error = caught.value
    assert not any(value in str(error) for value in ("ada@", "Secret", "secret", "INSERT", "20250105"))
    return error


def values(table: Any, row: dict[str, Any], **changed: Any) -> Any:
    return sa.insert(table).values(row | changed)


async def test_a_value_that_is_taken(shop: AsyncPostgres) -> None:
    error = await refused(shop, values(customers, ADA, id=2, phone=None), operation="record")
    assert type(error) is UniqueError
    assert str(error) == "record shop.customers: email is taken: another row has it (customers_email_key)"
    assert (error.entity, error.fields, error.constraint) == ("shop.customers", ("email",), "customers_email_key")
    assert error.rule == error.cause

    error = await refused(shop, values(customers, ADA, email="b"))
    assert str(error) == "shop.customers: id is taken: another row has it (customers_pkey)"
    error = await refused(shop, values(orders, ORDER, id=2))
    assert error.rule == (
        "customer_id, number are taken together: another row has them (orders_customer_id_number_key)"
    )
    assert error.fields == ("customer_id", "number")


async def test_a_unique_index_of_an_expression_over_some_rows(shop: AsyncPostgres) -> None:
    error = await refused(shop, values(customers, ADA, id=2, email="b", phone="SECRET 20"))
    assert error.rule == "lower(phone) is taken: another row where active has it (customers_phone_live)"
    assert error.fields == ("phone",)


async def test_a_check(shop: AsyncPostgres) -> None:
    error = await refused(shop, sa.update(orders).values(price=11), operation="sell", target="an order")
    assert type(error) is CheckError
    assert str(error) == (
        "sell an order: shop.orders: price, list_price break positive_prices (price > 0 AND price <= list_price)"
    )
    assert error.fields == ("price", "list_price")
    error = await refused(shop, sa.update(orders).values(kind="c"))
    # what is in quotes is a value, and no column
    assert (error.fields, error.constraint) == (("kind",), "check_kind")
    assert error.rule == "kind breaks check_kind (kind IN ('list_price', 'b'))"


async def test_a_foreign_key_from_both_its_sides(shop: AsyncPostgres) -> None:
    names_none = "customer_id names no row of shop.customers (orders_customer_id_fkey)"
    for statement in (values(orders, ORDER, id=2, customer_id=7), sa.update(orders).values(customer_id=7)):
        error = await refused(shop, statement)
        assert type(error) is ForeignKeyError
        assert (error.entity, error.fields, error.rule) == ("shop.orders", ("customer_id",), names_none)
    for statement in (sa.delete(customers), sa.update(customers).values(id=8)):
        error = await refused(shop, statement)
        assert type(error) is ForeignKeyError
        assert str(error) == "shop.customers: is still referred to by shop.orders (orders_customer_id_fkey)"
        assert (error.entity, error.fields) == ("shop.customers", ("id",))


async def test_a_value_that_is_missing(shop: AsyncPostgres) -> None:
    error = await refused(shop, sa.update(customers).values(email=None))
    assert type(error) is NotNullError
    assert str(error) == "shop.customers: email is missing"
    assert (error.fields, error.column) == (("email",), "email")


async def test_an_exclusion(shop: AsyncPostgres) -> None:
    error = await refused(shop, sa.insert(bookings).values(room=sa.text("'[4,9)'")))
    assert type(error) is ConstraintError
    assert str(error) == "shop.bookings: room: another row overlaps it (bookings_excl)"


async def test_the_names_of_a_partition_are_those_of_its_table(shop: AsyncPostgres) -> None:
    error = await refused(shop, values(visits, VISIT, page=None))
    assert str(error) == "shop.visits: id, day are taken together: another row has them (visits_pkey)"
    error = await refused(shop, values(visits, VISIT, id=2))
    assert str(error) == "shop.visits: page, day are taken together: another row has them (visits_page_day_key)"
    error = await refused(shop, values(visits, VISIT, id=0))
    assert str(error) == "shop.visits: id breaks check_id (id > 0)"
    error = await refused(shop, values(visits, VISIT, id=2, page=None, customer_id=7))
    assert str(error) == "shop.visits: customer_id names no row of shop.customers (visits_customer_id_fkey)"


async def test_what_no_declaration_knows_is_said_in_the_servers_words(shop: AsyncPostgres) -> None:
    async with shop.begin() as connection:
        await connection.execute(sa.text("CREATE TABLE public.undeclared (id int PRIMARY KEY)"))
        await connection.execute(sa.text("ALTER TABLE shop.orders ADD CONSTRAINT even CHECK (id % 2 = 1)"))
    error = await refused(shop, sa.text("INSERT INTO public.undeclared VALUES (1), (1)"))
    assert type(error) is UniqueError
    assert (error.target, error.constraint) == ("postgres", "undeclared_pkey")
    assert "unique constraint" in error.cause
    error = await refused(shop, values(orders, ORDER, id=2, number=2))
    assert (type(error), error.constraint, error.entity) == (CheckError, "even", "")


async def test_entities_are_refused_in_the_same_words(shop: AsyncPostgres) -> None:
    with pytest.raises(UniqueError, match=r"^shop\.customers: email is taken"):
        async with shop.session() as session:
            session.add(Customer(id=5, email="ada@example.org"))
    with pytest.raises(ForeignKeyError, match=r"^shop\.orders: customer_id names no row of shop\.customers"):
        async with shop.session() as session:
            session.add(Order(id=5, customer_id=99))
    with pytest.raises(ForeignKeyError, match=r"is still referred to by shop\.orders"):
        async with shop.session() as session:
            await session.delete(await session.get_one(Customer, 1))
