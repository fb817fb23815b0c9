"""What stands in the JSON columns of the deals domain: the keys that are known; others are kept as they come.

Prices and scores are decimal strings in the store.
"""

from __future__ import annotations

from decimal import Decimal

from storekeeper import JsonModel


class Preferences(JsonModel):
    """How a user wants to be spoken to; `timezone` is an IANA name, by which their quiet hours go."""

    language: str | None = None
    currency: str | None = None
    timezone: str | None = None


class Constraints(JsonModel):
    """What a deal must be like to serve a goal: prices in the deal's currency, ratings 0 to 5, words without case."""

    keywords: tuple[str, ...] = ()
    excluded_keywords: tuple[str, ...] = ()
    brands: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    min_price: Decimal | None = None
    max_price: Decimal | None = None
    min_seller_rating: Decimal | None = None


class ShippingInfo(JsonModel):
    """How a deal reaches its buyer, at what cost and within how many days."""

    cost: Decimal | None = None
    free: bool | None = None
    days: int | None = None
    method: str | None = None


class ProductSpecs(JsonModel):
    """What exactly is sold."""

    brand: str | None = None
    model: str | None = None
    condition: str | None = None


class Analysis(JsonModel):
    """What a model thinks of a deal; score and confidence are 0 to 1."""

    score: Decimal | None = None
    confidence: Decimal | None = None
    recommendation: str | None = None
    summary: str | None = None
    model: str | None = None
