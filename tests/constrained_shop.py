"""A small domain with every kind of rule and some personal columns, for tests of the SQL stores."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import INT4RANGE, ExcludeConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from storekeeper.catalog import NAMING_CONVENTION, Catalog, Domain, Protection


class Base(DeclarativeBase):
    metadata = sa.MetaData(schema="shop", naming_convention=NAMING_CONVENTION)


class Customer(Base):
    __tablename__ = "customers"
    __table_args__ = (
        sa.Index("customers_phone_live", sa.text("lower(phone)"), unique=True, postgresql_where=sa.text("active")),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    email: Mapped[str] = mapped_column(unique=True)
    phone: Mapped[str | None]
    letter: Mapped[str | None] = mapped_column(deferred=True)
    active: Mapped[bool] = mapped_column(default=True)
    orders: Mapped[list[Order]] = relationship(back_populates="customer", lazy="raise", passive_deletes="all")


class Order(Base):
    __tablename__ = "orders"
    __table_args__ = (
        sa.UniqueConstraint("customer_id", "number"),
        sa.CheckConstraint("price > 0\n   AND price <= list_price", name="positive_prices"),
        sa.CheckConstraint("kind IN ('list_price', 'b')", name="check_kind"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    customer_id: Mapped[int] = mapped_column(sa.ForeignKey("shop.customers.id"))
    number: Mapped[int] = mapped_column(default=1)
    kind: Mapped[str] = mapped_column(default="b")
    price: Mapped[int] = mapped_column(default=1)
    list_price: Mapped[int] = mapped_column(default=10)
    customer: Mapped[Customer] = relationship(back_populates="orders", lazy="raise")


bookings = sa.Table(
    "bookings",
    Base.metadata,
    sa.Column("room", INT4RANGE, nullable=False),
    ExcludeConstraint(("room", "&&"), name="bookings_excl"),
)
#: Partitioned by range of `day`; its partitions are made by the test.
visits = sa.Table(
    "visits",
    Base.metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("day", sa.Integer, primary_key=True),
    sa.Column("page", sa.Text),
    sa.Column("customer_id", sa.ForeignKey("shop.customers.id", ondelete="CASCADE")),
    sa.UniqueConstraint("page", "day"),
    sa.CheckConstraint("id > 0", name="check_id"),
    postgresql_partition_by="RANGE (day)",
)
customers: Any = Customer.__table__
orders: Any = Order.__table__

CATALOG = Catalog(
    (
        Domain(
            "shop",
            tables=(customers, orders, bookings, visits),
            protections=(
                Protection(customers, owners=("id",), clear=("email", "phone"), sealed=("letter",)),
                Protection(orders, owners=("customer_id",)),
                Protection(visits, owners=("customer_id",)),
            ),
        ),
    )
)


def make(url: str) -> None:
    """Makes the schema, its tables, and a partition."""
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE SCHEMA shop"))
        Base.metadata.create_all(connection)
        connection.execute(
            sa.text("CREATE TABLE shop.visits_2025 PARTITION OF shop.visits FOR VALUES FROM (20250000) TO (20260000)")
        )
    engine.dispose()
