"""What the entities of the deals domain share."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase

from storekeeper import NAMING_CONVENTION

NOW = sa.text("now()")
NEW_ID = sa.text("gen_random_uuid()")
TIME = sa.DateTime(timezone=True)

#: What deals and goals are about.
CATEGORIES = (
    *("electronics", "fashion", "home", "books", "toys", "sports"),
    *("automotive", "health", "beauty", "grocery", "other"),
)
#: Who says that there is a deal, and what it costs.
SOURCES = (
    *("amazon", "walmart", "ebay", "target", "bestbuy"),
    *("manual", "api", "scraper", "user", "agent"),
)
#: Why tokens come and go.
POSTING_TYPES = (
    *("purchase", "ai_usage", "signup_bonus", "referral_bonus", "admin_adjustment"),
    *("redemption_code", "refund", "expiration", "deduction", "reward"),
)


class Base(DeclarativeBase):
    """What all entities of this domain share: the schema, and the names of what is not named here."""

    metadata = sa.MetaData(schema="deals", naming_convention=NAMING_CONVENTION)


def one_of(table: str, column: str, *values: str) -> sa.CheckConstraint:
    """The check of an enumeration, under the name that the server gives to a column's own check."""
    listed = ",".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=f"{table}_{column}_check")
