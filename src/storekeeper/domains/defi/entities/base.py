"""What the entities of the defi domain share."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase

from storekeeper import NAMING_CONVENTION

NOW = sa.text("now()")
NEW_ID = sa.text("gen_random_uuid()")
TIME = sa.DateTime(timezone=True)
OBJECT = sa.text("'{}'")
LIST = sa.text("'[]'")


class Base(DeclarativeBase):
    """What all entities of this domain share: the schema, and the names of what is not named here."""

    metadata = sa.MetaData(schema="defi", naming_convention=NAMING_CONVENTION)
    # what the server fills in comes back with the statement: async code cannot load it at the first look
    __mapper_args__ = {"eager_defaults": True}  # noqa: RUF012  # the ORM declares it so


def one_of(table: str, column: str, *values: str) -> sa.CheckConstraint:
    """The check of an enumeration, under the name that the server gives to a column's own check."""
    listed = ",".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=f"{table}_{column}_check")
