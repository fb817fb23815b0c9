"""Every foreign key of every domain is a relationship both ways, and none is loaded unless a read names it."""

from __future__ import annotations

import importlib

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapper, RelationshipDirection

from storekeeper.domains import CATALOG

MAPPERS: list[Mapper[object]] = []
for _domain in CATALOG.domains:
    _base: type[DeclarativeBase] = importlib.import_module(f"storekeeper.domains.{_domain.name}.entities").Base
    MAPPERS += sorted(_base.registry.mappers, key=lambda mapper: mapper.class_.__name__)

ALL = pytest.mark.parametrize("mapper", MAPPERS, ids=lambda m: f"{m.local_table.schema}.{m.class_.__name__}")


def test_every_table_is_an_entity() -> None:
    mapped = {mapper.local_table for mapper in MAPPERS}
    assert {table for domain in CATALOG.domains for table in domain.tables} == mapped
    assert {table.schema for table in mapped if isinstance(table, sa.Table)} == {d.name for d in CATALOG.domains}


@ALL
def test_a_foreign_key_is_found_from_both_ends(mapper: Mapper[object]) -> None:
    keys = set()
    for relation in mapper.relationships:
        assert relation.back_populates, f"{relation} leads one way only"
        other = relation.mapper.relationships[relation.back_populates]
        assert (other.mapper, other.back_populates) == (mapper, relation.key)
        if relation.direction is RelationshipDirection.MANYTOONE:
            keys |= set(relation.local_columns)
    table = mapper.local_table
    assert isinstance(table, sa.Table)
    assert keys == {key.parent for key in table.foreign_keys}


@ALL
def test_nothing_is_loaded_unasked(mapper: Mapper[object]) -> None:
    lazy = {relation.key: relation.lazy for relation in mapper.relationships}
    assert lazy == dict.fromkeys(lazy, "raise")


@ALL
def test_what_becomes_of_the_many_the_server_decides(mapper: Mapper[object]) -> None:
    for relation in mapper.relationships:
        if relation.direction is not RelationshipDirection.MANYTOONE:
            assert relation.passive_deletes == "all", str(relation)
