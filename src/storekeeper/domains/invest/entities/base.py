"""What the entities of the invest domain share."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase

from storekeeper import NAMING_CONVENTION

NOW = sa.text("now()")
NEW_ID = sa.text("gen_random_uuid()")
TIME = sa.DateTime(timezone=True)


class Base(DeclarativeBase):
    """What all entities of this domain share: the schema, and the names of what is not named here."""

    metadata = sa.MetaData(schema="invest", naming_convention=NAMING_CONVENTION)
    # what the server fills in comes back with the statement: async code cannot load it at the first look
    __mapper_args__ = {"eager_defaults": True}  # noqa: RUF012  # so SQLAlchemy wants it
