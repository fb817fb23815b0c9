"""Soft deletion: rows that are marked as deleted are left out of what the ORM reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import ORMExecuteState, Session, with_loader_criteria
from sqlalchemy.orm.util import LoaderCriteriaOption

from storekeeper.catalog import TableLifecycle

#: The execution option that shows deleted rows too.
INCLUDE = "include_deleted"

S = TypeVar("S", Session, AsyncSession)


def sessions_hiding(kind: type[S], lifecycles: Iterable[TableLifecycle]) -> Callable[..., S]:
    """What makes sessions of this kind over a connection, which leave out what is deleted; see `hiding`.

    The listener is the class's: to attach one to each session costs more than the session.
    """
    own = type("HidingSession", (Session,), {})
    hide = hiding(lifecycles)
    if hide is not None:
        event.listen(own, "do_orm_execute", hide)
    # what a session has read stays readable after its transaction
    options: dict[str, Any] = {"expire_on_commit": False}
    if issubclass(kind, AsyncSession):
        return partial(kind, sync_session_class=own, **options)
    return partial(own, **options)


def hiding(lifecycles: Iterable[TableLifecycle]) -> Callable[[ORMExecuteState], None] | None:
    """A listener for `do_orm_execute` that leaves out rows of these tables whose `deleted` column is set.

    It holds for every SELECT of the ORM, joined and eagerly loaded entities included; not for Core statements, and not
    where `execution_options(include_deleted=True)` says otherwise. None where no table has such a column.
    """
    columns = {life.table: life.table.columns[life.deleted] for life in lifecycles if life.deleted is not None}
    if not columns:
        return None
    known: dict[object, tuple[LoaderCriteriaOption, ...]] = {}

    def hide(state: ORMExecuteState) -> None:
        # what a statement loads besides its own rows is hidden, or shown, with them
        if not state.is_select or state.is_column_load or state.is_relationship_load:
            return
        if state.execution_options.get(INCLUDE, False):
            return
        mapper = state.bind_mapper
        # criteria cost a statement a tenth of its time: not where none of them could hold
        if mapper is not None and mapper.local_table not in columns and _stays_with(mapper, state.statement):
            return
        for registry in _registries(state.statement) if mapper is None else {mapper.registry}:
            if registry not in known:
                known[registry] = _criteria(registry.mappers, columns)
            if known[registry]:
                state.statement = state.statement.options(*known[registry])

    return hide


def _stays_with(mapper: sa.orm.Mapper[Any], statement: sa.Executable) -> bool:
    """Whether a SELECT is of one entity alone: no join, option or subquery brings in another. Where in doubt, not."""
    if not isinstance(statement, sa.Select):
        return False
    # nothing public tells what a statement is made of, and to walk through all of it takes as long as the criteria
    if statement._with_options or statement._setup_joins or statement._from_obj or statement._independent_ctes:
        return False
    if [column._annotations.get("parententity") for column in statement._raw_columns] != [mapper]:
        return False
    parts = (*statement._where_criteria, *statement._order_by_clauses, *statement._having_criteria)
    return not statement._group_by_clauses and all(_is_plain(part, mapper.local_table) for part in parts)


def _is_plain(part: object, table: object) -> bool:
    """Whether an expression holds nothing but columns of this table and values."""
    match part:
        case sa.Column():
            return part.table is table
        case sa.BindParameter() | sa.Null() | sa.True_() | sa.False_():
            return True
        case sa.BinaryExpression():
            return _is_plain(part.left, table) and _is_plain(part.right, table)
        case sa.UnaryExpression():
            return _is_plain(part.element, table)
        case _:
            return False


def _registries(statement: sa.Executable) -> set[sa.orm.registry]:
    """Whose entities are in a statement that is no entity's own: a UNION, or a SELECT of nothing but EXISTS."""
    if not isinstance(statement, sa.sql.ClauseElement):
        return set()
    entities = (
        element._annotations.get("parententity")  # nothing public tells
        for element in sa.sql.visitors.iterate(statement)
    )
    return {entity.mapper.registry for entity in entities if entity is not None}


def _criteria(
    mappers: Iterable[sa.orm.Mapper[object]], columns: dict[sa.Table, sa.Column[object]]
) -> tuple[LoaderCriteriaOption, ...]:
    return tuple(
        with_loader_criteria(
            mapper.class_,
            getattr(mapper.class_, mapper.get_property_by_column(columns[mapper.local_table]).key).is_(None),
            include_aliases=True,
        )
        for mapper in mappers
        if isinstance(mapper.local_table, sa.Table) and mapper.local_table in columns
    )
