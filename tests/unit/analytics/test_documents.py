"""Fields of models as columns, documents as rows."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, Optional
from uuid import UUID

import pytest
import sqlalchemy as sa
from pydantic import AwareDatetime, BaseModel, Field

from storekeeper.analytics.documents import as_row, column_type
from storekeeper.analytics.statements import Column


class Colour(Enum):
    RED = "red"


class Inner(BaseModel):
    n: int


@pytest.mark.parametrize(
    ("annotation", "kind", "is_json"),
    [
        (str, sa.Text, False),
        (str | None, sa.Text, False),
        (Optional[int], sa.BigInteger, False),  # noqa: UP045  # older models are written so
        (Annotated[float, Field(ge=0)] | None, sa.Float, False),
        (bool, sa.Boolean, False),
        (Decimal, sa.Numeric, False),
        (AwareDatetime, sa.DateTime, False),
        (AwareDatetime | None, sa.DateTime, False),
        (datetime, sa.DateTime, False),
        (Literal["a", "b"], sa.Text, False),
        (Colour, sa.Text, False),
        (UUID | None, sa.Text, False),
        (dict[str, Any], sa.Text, True),
        (list[str], sa.Text, True),
        (Inner | None, sa.Text, True),
        (int | str, sa.Text, True),
        (Any, sa.Text, True),
    ],
)
def test_the_column_of_a_field(annotation: Any, kind: type, is_json: bool) -> None:
    found, nested = column_type(annotation)
    assert (type(found), nested) == (kind, is_json)


def test_a_document_as_a_row() -> None:
    at = datetime(2024, 5, 1, tzinfo=UTC)
    document = {"id": UUID(int=1), "at": at, "meta": {"price": Decimal("0.10"), "at": at}, "odd": ["not", "a text"]}
    columns = [Column("id", sa.Text()), Column("at", sa.DateTime(timezone=True))]
    columns += [Column("meta", sa.Text(), json=True), Column("odd", sa.Text()), Column("gone", sa.Text())]
    row = as_row(document, columns)
    assert row[:2] == (str(UUID(int=1)), at)
    assert json.loads(row[2], parse_float=Decimal) == {"price": Decimal("0.10"), "at": "2024-05-01T00:00:00Z"}
    assert row[2].count("0.10") == 1
    assert row[3:] == ('["not", "a text"]', None)
