"""What a catalogue knows of the rule that a row broke."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from storekeeper.catalog import Catalog, Domain, Hypertable
from storekeeper.span import days
from storekeeper.stores.sql.rules import Rules

_METADATA = sa.MetaData(schema="lab")  # without a naming convention: the server names what is not named
_users = sa.Table(
    "users",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("email", sa.Text, unique=True),
    sa.Column("age", sa.Integer),
    sa.Column("friend", sa.Integer, sa.ForeignKey("lab.users.id")),
    sa.CheckConstraint("age > 0"),
    sa.CheckConstraint("age > friend"),
)
_ticks = sa.Table(  # no primary key at all
    "ticks",
    _METADATA,
    sa.Column("time", sa.DateTime(timezone=True), nullable=False),
    sa.Column("symbol", sa.Text, nullable=False),
    sa.Index("idx_ticks", "symbol", "time", unique=True),
)
_TICKS = Hypertable(_ticks, time="time", natural_key=("symbol", "time"), chunk=days(1))
_RULES = Rules(Catalog((Domain("lab", tables=(_users,), hypertables=(_TICKS,)),)))


@pytest.mark.parametrize(
    ("table", "constraint", "columns"),
    [
        ("users", "users_pkey", ("id",)),
        ("users", "users_email_key", ("email",)),
        ("users", "users_friend_fkey", ("friend",)),
        ("users", "users_age_check", ("age",)),
        ("users", "users_check", ("age", "friend")),
        ("ticks", "idx_ticks", ("symbol", "time")),
    ],
)
def test_constraints_without_a_name_are_known_by_the_servers(
    table: str, constraint: str, columns: tuple[str, ...]
) -> None:
    broken = _RULES.broken(
        schema="lab", table=table, constraint=constraint, column="", sqlstate="23505", statement="INSERT"
    )
    assert broken is not None
    assert broken.fields == columns
