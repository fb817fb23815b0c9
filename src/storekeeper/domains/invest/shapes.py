"""The shapes of the invest domain's JSON columns; keys that they do not name are kept."""

from __future__ import annotations

from decimal import Decimal

from pydantic import Field

from storekeeper import JsonModel


class NotificationChoices(JsonModel):
    """On which ways a user wants to be told."""

    email: bool | None = None
    push: bool | None = None
    sms: bool | None = None


class Preferences(JsonModel):
    """How a user wants things shown, and to be told of them: invest.users.preferences."""

    theme: str | None = None
    language: str | None = None
    timezone: str | None = None
    currency: str | None = None
    notifications: NotificationChoices | None = None


class DeviceInfo(JsonModel):
    """What a session was opened on: invest.sessions.device_info."""

    type: str | None = None
    os: str | None = None
    browser: str | None = None
    name: str | None = None


class Holding(JsonModel):
    """One symbol's part of a portfolio's value, `percent` of it with four decimals."""

    value: Decimal
    percent: Decimal


class AssetAllocation(JsonModel):
    """What a portfolio's value is made of, by symbol and by type of asset: invest.portfolio_snapshots.asset_allocation.

    Decimals are strings in the JSON, so that they stay exact.
    """

    symbols: dict[str, Holding] = Field(default_factory=dict)
    types: dict[str, Holding] = Field(default_factory=dict)
