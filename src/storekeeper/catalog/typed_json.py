"""JSON columns whose content has a shape: pydantic models on the way in and on the way out."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect

from storekeeper.errors import ValueFitError


class JsonModel(BaseModel):
    """What stands in a JSON column. Keys that it does not name are kept.

    It is frozen: a change is a new value (`model_copy(update={…})`) that is set on the entity, which thereby sees it.
    """

    model_config = ConfigDict(extra="allow", frozen=True, populate_by_name=True)


class TypedJson(sa.types.TypeDecorator[Any]):
    """A JSONB column of one shape: a pydantic model, or anything that pydantic can check (`list[Collateral]`).

    A value that does not fit raises ValueFitError before it is sent. Dicts and lists are taken too, and come back as
    the shape. None is NULL. Numbers that must stay exact are declared as Decimal: they are stored as decimal strings.
    """

    impl = JSONB(none_as_null=True)
    cache_ok = True

    def __init__(self, shape: Any) -> None:
        super().__init__()
        self.shape = shape
        self._adapter: TypeAdapter[Any] = TypeAdapter(shape)

    @property
    def _static_cache_key(self) -> Any:
        return (TypedJson, repr(self.shape))

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        if value is None:
            return None
        return self._adapter.dump_python(self._checked(value, "write"), mode="json", by_alias=True, exclude_unset=True)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else self._checked(value, "read")

    def coerce_compared_value(self, op: Any, value: Any) -> Any:
        # comparisons and paths (column["a"]) work on the JSON itself
        return self.impl_instance.coerce_compared_value(op, value)

    def _checked(self, value: Any, operation: str) -> Any:
        try:
            return self._adapter.validate_python(value)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            # no value in the text: it may be personal
            raise ValueFitError(
                f"{where or 'the value'}: {first['msg']}", operation=operation, target=_shown(self.shape)
            ) from error


def plain_type(kind: sa.types.TypeEngine[Any]) -> sa.types.TypeEngine[Any]:
    """The type as the server knows it: JSONB where the column is TypedJson; any other as it is."""
    return kind.impl_instance if isinstance(kind, sa.types.TypeDecorator) else kind


def _shown(shape: Any) -> str:
    return shape.__name__ if isinstance(shape, type) else str(shape)
