"""Revisions hold literals: what they import is vocabulary, never a declaration that goes on changing."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import storekeeper.migrations
from storekeeper.domains import invest

PACKAGES = (Path(str(storekeeper.migrations.__file__)).parent, Path(str(invest.__file__)).parent)
REVISIONS = sorted(file for folder in PACKAGES for file in folder.glob("revisions/*/[0-9]*.py"))
ALLOWED = {
    "__future__",
    "alembic",
    "sqlalchemy",
    "sqlalchemy.dialects",
    "sqlalchemy.dialects.postgresql",
    "storekeeper.migrations.operations",
}
#: Of the public namespace: how a series is described, as sqlalchemy describes a column.
VOCABULARY = {
    *("Aggregate", "Hypertable", "Measure", "Rollup"),
    *("days", "hours", "microseconds", "minutes", "months", "seconds", "weeks", "years"),
}


def test_there_are_revisions_of_both_stores() -> None:
    assert {file.parent.name for file in REVISIONS} == {"postgres", "timescale"}
    assert len(REVISIONS) >= 4


@pytest.mark.parametrize("file", REVISIONS, ids=lambda file: f"{file.parent.parent.parent.name}-{file.stem}")
def test_a_revision_imports_no_declaration(file: Path) -> None:
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert {name.name for name in node.names} <= ALLOWED
        if isinstance(node, ast.ImportFrom):
            names = {name.name for name in node.names}
            assert node.module in ALLOWED or (node.module == "storekeeper" and names <= VOCABULARY), ast.unparse(node)


@pytest.mark.parametrize("file", REVISIONS, ids=lambda file: f"{file.parent.parent.parent.name}-{file.stem}")
def test_a_revision_says_what_it_does_and_goes_both_ways(file: Path) -> None:
    tree = ast.parse(file.read_text())
    assert ast.get_docstring(tree)
    assert {node.name for node in tree.body if isinstance(node, ast.FunctionDef)} >= {"upgrade", "downgrade"}
