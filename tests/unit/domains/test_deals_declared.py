"""deals as declared: retention, documents, typed JSON and protection to the letter of the data contract."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy.orm import RelationshipDirection

from storekeeper import Aggregate, Monthly, TableLifecycle, days
from storekeeper.catalog.protection import unprotected
from storekeeper.domains.deals import DOMAIN
from storekeeper.domains.deals.documents import MODEL_METRICS, ModelMetrics
from storekeeper.domains.deals.entities import Base
from storekeeper.domains.deals.prices import discount, status_after
from storekeeper.domains.deals.shapes import Constraints
from storekeeper.stores.mongo.documents import to_documents

TABLES = Base.metadata.tables
METRICS: dict[str, Any] = {
    "modelName": "ranker",
    "modelVersion": "3",
    **dict.fromkeys(("accuracy", "precision", "recall", "f1Score"), Decimal("0.9312")),
    "trainingDuration": 12.5,
    "trainingSamples": 1000,
    "validationSamples": 100,
    "hyperparameters": {"depth": 3},
    "featureImportance": {"price": 0.7},
    "createdAt": datetime(2026, 1, 2, tzinfo=UTC),
}


def test_prices_are_kept_for_ever_by_day_and_deal() -> None:
    (series,) = DOMAIN.hypertables
    assert (series.natural_key, series.chunk) == (("deal_id", "source", "tracked_at"), days(7))
    assert (series.segment_by, series.order_by) == (("deal_id",), ("tracked_at DESC",))
    assert (series.compress_after, series.drop_after) == (days(30), None)
    (rollup,) = series.rollups
    assert (rollup.name, rollup.every, rollup.by, rollup.keep) == ("price_tracking_1d", days(1), ("deal_id",), None)
    assert {measure.name: measure.aggregate for measure in rollup.measures} == {
        "open": Aggregate.FIRST,
        "high": Aggregate.MAX,
        "low": Aggregate.MIN,
        "close": Aggregate.LAST,
        "count": Aggregate.COUNT,
    }


def test_the_life_of_each_table() -> None:
    assert DOMAIN.lifecycles == (
        TableLifecycle(TABLES["deals.auth_tokens"], expires="expires_at"),
        TableLifecycle(TABLES["deals.token_transactions"], partition=Monthly("created_at", verbose=True)),
    )


def test_every_foreign_key_is_a_relationship_both_ways_that_is_never_loaded_unasked() -> None:
    found = set()
    for mapper in Base.registry.mappers:
        for relation in mapper.relationships:
            other = relation.mapper.relationships[str(relation.back_populates)]
            assert (other.mapper, other.back_populates) == (mapper, relation.key)
            assert relation.lazy == "raise"
            if relation.direction is RelationshipDirection.MANYTOONE:
                found |= set(relation.local_columns)
            else:
                assert relation.passive_deletes == "all", "what becomes of them, the server decides"
    assert found == {key.parent for table in DOMAIN.tables for key in table.foreign_keys}


def test_every_table_says_whose_its_rows_are() -> None:
    protections = {protection.table.name: protection for protection in DOMAIN.protections}
    assert len(protections) == len(DOMAIN.tables) == 24
    assert unprotected(DOMAIN.tables, DOMAIN.protections) == ()
    nobodys = {name for name, protection in protections.items() if not protection.owners}
    assert nobodys == {
        *("markets", "categories", "sources", "deals"),
        *("token_pricing", "token_packages", "ai_models", "ai_prompt_templates"),
    }
    assert {name: protection.hidden for name, protection in protections.items() if protection.hidden} == {
        "users": ("email", "name", "sol_address", "social_id", "hashed_password", "verification_token"),
        "auth_tokens": ("token",),
        "markets": ("api_key",),
        "chat_messages": ("content",),
        "shared_deals": ("recipients", "public_link_id"),
        "token_redemption_codes": ("code",),
    }


def test_scores_of_models_are_kept_for_ever() -> None:
    assert (MODEL_METRICS.drop_after, [index.name for index in MODEL_METRICS.indexes]) == (
        None,
        ["modelName_1_modelVersion_1", "createdAt_-1"],
    )
    assert to_documents([METRICS], ModelMetrics, target="deals.model_metrics") == [METRICS]
    with_more = {**METRICS, "metaData": {"by": "ci"}}
    assert to_documents([with_more], ModelMetrics, target="deals.model_metrics") == [with_more]


@pytest.mark.parametrize("name", METRICS)
def test_every_field_but_meta_data_is_required(name: str) -> None:
    with pytest.raises(ValidationError):
        ModelMetrics.model_validate({key: value for key, value in METRICS.items() if key != name})


@pytest.mark.parametrize(
    "wrong",
    [
        {"accuracy": Decimal("1.0001")},
        {"recall": Decimal("-0.1")},
        {"precision": Decimal("0.12345")},
        {"modelName": "x" * 51},
        {"modelVersion": ""},
        {"trainingSamples": -1},
        {"createdAt": "2026-01-02T00:00:00"},
        {"more": 1},
    ],
)
def test_what_are_no_scores_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ModelMetrics.model_validate({**METRICS, **wrong})


def test_keys_that_nobody_declared_are_kept() -> None:
    given = {"keywords": ["lens"], "max_price": "120.50", "colour": {"not": "red"}}
    assert Constraints.model_validate(given).model_dump(mode="json", exclude_unset=True) == given


@pytest.mark.parametrize(
    ("price", "original", "percent"),
    [("10", None, None), ("10", "10", "0.00"), ("12", "10", "0.00"), ("0.01", "100", "99.99"), ("2", "3", "33.33")],
)
def test_a_discount_is_what_is_saved(price: str, original: str | None, percent: str | None) -> None:
    assert discount(Decimal(price), None if original is None else Decimal(original)) == (
        None if percent is None else Decimal(percent)
    )


def test_a_deal_with_a_price_is_active_until_its_time_is_over() -> None:
    at = datetime(2026, 1, 2, tzinfo=UTC)
    for status in ("pending", "active", "sold_out", "expired"):
        assert status_after(status, None, at) == "active"
        assert status_after(status, at, at) == "expired"
    for status in ("removed", "invalid", "deleted"):
        assert status_after(status, None, at) == status
