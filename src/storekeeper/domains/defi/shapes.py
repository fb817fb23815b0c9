"""The shapes of the defi domain's JSON columns: keys are camelCase in the JSON, and those without a name here are kept.

Amounts are Decimal, and decimal strings without an exponent in the JSON, so that they stay exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel

from storekeeper import JsonModel

Channel = Literal["telegram", "email", "in_app"]
RiskProfile = Literal["conservative", "moderate", "aggressive"]
Comparison = Literal["below", "at_most", "equals", "at_least", "above"]

Exact = Annotated[Decimal, PlainSerializer(lambda value: format(value, "f"), return_type=str, when_used="json")]
Amount = Annotated[Exact, Field(ge=0)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class _Camel(JsonModel):
    """An object of a JSON column, its keys in camelCase."""

    model_config = ConfigDict(alias_generator=to_camel)


class Preferences(_Camel):
    """What a user wants to hear of: defi.users.preferences.

    `alert_thresholds` are by metric ({"healthFactor": 1.5}); `active_signals` are the types of signals that become
    alerts, on each of the `notification_channels`.
    """

    risk_profile: RiskProfile | None = None
    alert_thresholds: dict[str, Number] = Field(default_factory=dict)
    active_signals: tuple[str, ...] = ()
    notification_channels: tuple[Channel, ...] = ()


class Holding(_Camel):
    """An amount of one token, and its value in US dollars: an element of defi.positions.collateral and debt."""

    symbol: Annotated[str, Field(min_length=1)]
    amount: Amount
    value_usd: Annotated[Amount, Field(alias="valueUSD")]


class PositionMeta(_Camel):
    """Ratios of a position, 0.8 for 80 %: defi.positions.metadata."""

    ltv: Exact | None = None
    liquidation_threshold: Exact | None = None


class SignalData(_Camel):
    """How strong a signal is: its value, and where that stands among earlier ones (0 to 100): defi.signals.data."""

    value: Number | None = None
    percentile: Annotated[Number, Field(ge=0, le=100)] | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)


class Condition(_Camel):
    """When an intent is to act: a metric, and how it compares with a threshold: defi.intents.condition."""

    metric: Annotated[str, Field(min_length=1)]
    comparison: Comparison
    threshold: Exact

    def holds(self, metrics: Mapping[str, Decimal]) -> bool:
        """Whether the metrics fulfil it. Where its metric is not among them, or not a number, they do not."""
        value = metrics.get(self.metric)
        if value is None or value.is_nan():
            return False
        match self.comparison:
            case "below":
                return value < self.threshold
            case "at_most":
                return value <= self.threshold
            case "equals":
                return value == self.threshold
            case "at_least":
                return value >= self.threshold
            case "above":
                return value > self.threshold


class IntentAction(_Camel):
    """What an intent does: defi.intents.action. `kind` is an open set (repay, swap, withdraw, …)."""

    kind: Annotated[str, Field(min_length=1)]
    asset: Annotated[str, Field(min_length=1)]
    amount: Annotated[Exact, Field(gt=0)]
