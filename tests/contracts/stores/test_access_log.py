# Generated from test_access_log_async.py by tools/unasync.py. Change that file, then run `make generate`.
"""The access log says who read or changed which personal columns, and never a value of them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import joinedload, load_only, selectinload, undefer

from constrained_shop import CATALOG, Customer, Order, customers, make, orders
from storekeeper.clock import FixedClock
from storekeeper.settings import SqlPool
from storekeeper.stores.postgres.postgres import Postgres
from storekeeper.stores.sql.pool import Pool

ADA = {"id": 1, "email": "ada@example.org", "phone": "0044 20", "letter": "sealed"}
VALUES = ("ada@", "0044", "bob@", "0044 21")


@pytest.fixture
def shop(postgres_url: str) -> Iterator[Postgres]:
    make(postgres_url)
    pool = Pool(
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
    pool.open()
    with pool.begin() as connection:
        connection.execute(sa.insert(customers), [ADA])
        connection.execute(sa.insert(orders).values(id=1, customer_id=1))
    yield Postgres(pool)
    pool.close(5)


class Told:
    """What the log was told since it was last asked."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def all(self) -> list[dict[str, Any]]:
        lines = [record for record in self._caplog.records if record.name == "storekeeper.access"]
        found = [json.loads(record.getMessage()) for record in lines]
        assert [vars(record)["access"] for record in lines] == found
        for record in lines:
            assert not any(value in record.getMessage() for value in VALUES)
        self._caplog.clear()
        return found

    def briefly(self) -> list[tuple[str, str, str]]:
        return [(told["operation"], told["entity"], " ".join(told["columns"])) for told in self.all()]


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Told:
    caplog.set_level(logging.INFO, "storekeeper.access")
    return Told(caplog)


def test_it_says_who_for_which_request_and_as_which_role(shop: Postgres, told: Told) -> None:
    with shop.begin() as connection:
        user = (connection.execute(sa.text("SELECT current_user"))).scalar_one()
    with shop.session(user_id="6f1c", request_id="r-7") as session:
        session.execute(sa.select(Customer.email))
    with shop.session() as session:
        session.execute(sa.select(Customer.email))
    with shop.session(local={"role": "pg_read_all_data"}) as session:
        session.execute(sa.text("SELECT 1"))
        session.execute(sa.select(sa.literal("email")))
    common = {"operation": "read", "entity": "shop.customers", "columns": ["email"], "role": user}
    assert told.all() == [
        common | {"who": "6f1c", "request_id": "r-7"},
        common | {"who": None, "request_id": None},
    ]


def test_what_entities_read(shop: Postgres, told: Told) -> None:
    with shop.session() as session:
        # what is deferred is not read
        ada = (session.execute(sa.select(Customer))).scalars().one()
        assert told.briefly() == [("read", "shop.customers", "email phone")]
        session.execute(sa.select(Customer).options(undefer(Customer.letter)))
        assert told.briefly() == [("read", "shop.customers", "email letter phone")]
        session.refresh(ada, ["phone"])
        assert told.briefly() == [("read", "shop.customers", "phone")]
        session.expunge_all()

        session.execute(sa.select(Customer).options(load_only(Customer.active)))
        session.execute(sa.select(Order))
        session.execute(sa.select(sa.func.count()).select_from(Customer))
        assert told.briefly() == []
        session.expunge_all()

        (session.execute(sa.select(Order).options(selectinload(Order.customer)))).all()
        assert told.briefly() == [("read", "shop.customers", "email phone")]
        session.expunge_all()
        session.execute(sa.select(Order).options(joinedload(Order.customer).load_only(Customer.phone)))
        assert told.briefly() == [("read", "shop.customers", "phone")]


def test_a_column_counts_wherever_it_stands(shop: Postgres, told: Told) -> None:
    alias = sa.orm.aliased(Customer)
    inner = sa.select(customers).subquery()
    cte = sa.select(customers.c.id, customers.c.phone).cte("called")
    statements: list[tuple[Any, str]] = [
        (sa.select(Customer.id).where(Customer.email == "ada@example.org"), "email"),
        (sa.select(Customer.id).order_by(Customer.phone), "phone"),
        (sa.select(sa.func.lower(alias.email)), "email"),
        (sa.select(inner.c.id), "email letter phone"),
        (sa.select(cte.c.id), "phone"),
        (sa.select(Order.id).where(sa.exists().where(Customer.phone == "0044 20")), "phone"),
        (sa.select(Customer.id).union(sa.select(sa.func.length(Customer.phone))), "phone"),
    ]
    with shop.session() as session:
        for statement, columns in statements:
            session.execute(statement)
            assert told.briefly() == [("read", "shop.customers", columns)], str(statement)


def test_what_is_changed(shop: Postgres, told: Told) -> None:
    with shop.session() as session:
        bob = Customer(id=2, email="bob@example.org", phone="0044 21", letter=None)
        session.add(bob)
        session.flush()
        assert told.briefly() == [("insert", "shop.customers", "email letter phone")]
        bob.phone = None
        session.flush()
        assert told.briefly() == [("update", "shop.customers", "phone")]
        session.delete(bob)
        session.flush()
        assert told.briefly()[-1] == ("delete", "shop.customers", "email letter phone")

    with shop.begin() as connection:
        changes: list[tuple[Any, list[tuple[str, str, str]]]] = [
            (sa.update(customers).values(active=False), []),
            (sa.update(customers).values(phone="0044 21"), [("update", "shop.customers", "phone")]),
            (
                sa.update(customers).where(customers.c.email == "bob@example.org").values(active=True),
                [("update", "shop.customers", "email")],
            ),
            (
                sa.update(customers).values(active=True).returning(customers.c.phone),
                [("update", "shop.customers", "phone")],
            ),
            (
                insert(customers).values(ADA | {"letter": None}).on_conflict_do_nothing(),
                [("insert", "shop.customers", "email letter phone")],
            ),
            (
                sa.insert(orders).from_select(
                    ["id", "customer_id", "kind"],
                    sa.select(sa.literal(9), customers.c.id, sa.literal("b")).where(customers.c.phone == "nobody's"),
                ),
                [("read", "shop.customers", "phone")],
            ),
            (sa.delete(orders), []),
            (sa.delete(customers), [("delete", "shop.customers", "email letter phone")]),
        ]
        for statement, expected in changes:
            connection.execute(statement)
            assert told.briefly() == expected, str(statement)


def test_many_rows_at_once_name_the_columns_that_are_given(shop: Postgres, told: Told) -> None:
    rows = [{"id": number, "email": f"bob@{number}", "active": True} for number in range(2, 50)]
    with shop.begin() as connection:
        connection.execute(sa.insert(customers), rows)
    assert set(told.briefly()) == {("insert", "shop.customers", "email")}


def test_a_statement_that_failed_has_reached_nothing(shop: Postgres, told: Told) -> None:
    with pytest.raises(Exception, match="email is taken"):
        with shop.begin() as connection:
            connection.execute(sa.insert(customers), [ADA | {"id": 3}])
    assert told.all() == []


def test_nothing_is_worked_out_while_the_log_is_off(
    shop: Postgres, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from storekeeper.stores.sql import access

    asked: list[object] = []

    def counted(compiled: Any, personal: Any) -> tuple[access.Access, ...]:
        asked.append(compiled)
        return ()

    monkeypatch.setattr(access, "accesses", counted)
    with shop.session() as session:
        caplog.set_level(logging.WARNING, "storekeeper.access")
        session.execute(sa.select(Customer.email))
        assert asked == []
        caplog.set_level(logging.INFO, "storekeeper.access")
        for _ in range(3):  # and once for each statement while it is on
            session.execute(sa.select(Customer.email))
        assert len(asked) == 1
