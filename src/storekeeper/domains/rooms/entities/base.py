"""What the entities of the rooms domain share."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase

from storekeeper import NAMING_CONVENTION

NOW = sa.text("now()")
NEW_ID = sa.text("gen_random_uuid()")
TIME = sa.DateTime(timezone=True)
PRICE = sa.Numeric(10, 2)


class Base(DeclarativeBase):
    """What all entities of this domain share: the schema, and the names of what is not named here."""

    metadata = sa.MetaData(schema="rooms", naming_convention=NAMING_CONVENTION)


def one_of(table: str, column: str, *values: str) -> sa.CheckConstraint:
    """The check of a column that has one of these values, named as the server would name it."""
    listed = ",".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=f"{table}_{column}_check")
