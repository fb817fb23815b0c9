"""Documents as rows: the type of a field by the model's annotation, and values as they fit it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from storekeeper.analytics.annotations import members
from storekeeper.analytics.jsontext import json_text
from storekeeper.analytics.statements import Column

_KINDS: tuple[tuple[type, sa.types.TypeEngine[Any]], ...] = (
    (bool, sa.Boolean()),
    (int, sa.BigInteger()),
    (float, sa.Float()),
    (datetime, sa.DateTime(timezone=True)),
    (date, sa.DateTime(timezone=True)),  # as it is stored
    (str, sa.Text()),
    (UUID, sa.Text()),
    (Decimal, sa.Numeric()),
)


def column_type(annotation: Any) -> tuple[sa.types.TypeEngine[Any], bool]:
    """The type of a field's column, and whether its values are JSON: what is no scalar is."""
    kinds = members(annotation)
    if len(kinds) == 1 and isinstance(kinds[0], type):
        if issubclass(kinds[0], Enum):
            return sa.Text(), False
        for known, column in _KINDS:
            if issubclass(kinds[0], known):
                return column, False
    return sa.Text(), True


def as_row(document: Mapping[str, Any], columns: Sequence[Column]) -> tuple[Any, ...]:
    """The fields of a document as cells: UUIDs as text, objects and lists as JSON, numbers exact."""
    return tuple(_cell(document.get(column.name), column) for column in columns)


def _cell(value: Any, column: Column) -> Any:
    if value is None:
        return None
    if column.json or isinstance(value, (dict, list)):
        return json_text(value)
    return str(value) if isinstance(value, (UUID, bytes)) else value
