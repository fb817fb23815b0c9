"""What migration tests share: a platform over one or two databases, and the shape of tables as the server knows it."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

import storekeeper
from storekeeper import Catalog, Domain, Platform, connect
from storekeeper.servers import RunningStack

#: Everything that makes a table what it is: a line each, by table.
Shape = dict[str, list[tuple[Any, ...]]]
Opened = Callable[..., Platform]

_COLUMNS = """
SELECT c.relname, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated,
       a.attidentity, a.attcollation, pg_catalog.pg_get_expr(d.adbin, d.adrelid)
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition
  AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY c.relname, a.attnum
"""
_CONSTRAINTS = """
SELECT c.relname, o.conname, o.contype, o.convalidated, pg_catalog.pg_get_constraintdef(o.oid)
FROM pg_catalog.pg_constraint o JOIN pg_catalog.pg_class c ON c.oid = o.conrelid
WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY c.relname, o.conname
"""
#: ONLY stands in the definition of a partitioned table's index, and says nothing of what it is.
_INDEXES = """
SELECT c.relname, replace(pg_catalog.pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON '), i.indisvalid
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition
ORDER BY 1, 2
"""
#: How tables are partitioned, and what views show.
_BESIDE = """
SELECT relname, pg_catalog.pg_get_partkeydef(oid) FROM pg_catalog.pg_class
WHERE relnamespace = %(schema)s::regnamespace AND relkind = 'p' AND NOT relispartition
UNION ALL
SELECT relname, pg_catalog.pg_get_viewdef(oid) FROM pg_catalog.pg_class
WHERE relnamespace = %(schema)s::regnamespace AND relkind IN ('v', 'm')
"""


#: A domain of one revision, which stays within its transaction for as long as LAB_SECONDS says.
REVISION = '''
"""A table, slowly."""
import os
from alembic import op
from storekeeper.migrations.operations import create_schema, drop_schema_if_empty

revision, down_revision, branch_labels, depends_on = "lab_0001", None, ("lab",), None

def upgrade():
    create_schema("lab")
    op.execute("CREATE TABLE lab.things (id int)")
    print("within", flush=True)
    op.execute(f"SELECT pg_sleep({os.environ.get('LAB_SECONDS', '0')})")

def downgrade():
    op.execute("DROP TABLE lab.things")
    drop_schema_if_empty("lab")
'''


def shape_of_tables(url: str, schema: str = "invest") -> Shape:
    """Columns, constraints and indexes of every table and materialized view of a schema, by its name."""
    shape: Shape = {}
    with psycopg.connect(url, options="-c search_path=pg_catalog") as connection:
        for query in (_COLUMNS, _CONSTRAINTS, _INDEXES):
            for table, *line in connection.execute(query, {"schema": schema}):
                shape.setdefault(table, []).append(tuple(line))
    return shape


def definitions_in(url: str, schema: str = "invest") -> dict[str, str]:
    """The partition key of every partitioned table, and the query of every view, by name."""
    with psycopg.connect(url, options="-c search_path=pg_catalog") as connection:
        return dict(connection.execute(_BESIDE, {"schema": schema}).fetchall())


@pytest.fixture
def definitions_of() -> Callable[..., dict[str, str]]:
    return definitions_in


@pytest.fixture
def shape_of() -> Callable[..., Shape]:
    return shape_of_tables


@pytest.fixture
def opened(stack: RunningStack, mongo_prefix: str) -> Iterator[Opened]:
    """Opens a platform whose SQL stores are in these databases (timescale: in that of postgres by default)."""
    with ExitStack() as held:

        def platform(
            postgres: str, timescale: str | None = None, *, catalog: Catalog | None = None, **settings: Any
        ) -> Platform:
            return held.enter_context(
                connect(
                    stores=("postgres", "mongo"),
                    catalog=catalog,
                    postgres_url=postgres,
                    timescale_url=timescale or postgres,
                    mongo_url=stack.urls.mongo,
                    mongo_database=mongo_prefix,
                    **settings,
                )
            )

        yield platform


@pytest.fixture
def other_url(stack: RunningStack) -> Iterator[str]:
    """A second empty database of the test's own."""
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(stack.urls.postgres, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield urlunsplit(urlsplit(stack.urls.postgres)._replace(path=f"/{name}"))
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def revisions_in(branch: str, store: str) -> list[str]:
    """The ids of a domain's revisions for a store, or of the platform's own, oldest first: by their files' names."""
    package = Path(storekeeper.__file__).parent
    folder = package / ("migrations" if branch == "storekeeper" else f"domains/{branch}") / "revisions" / store
    return [f"{branch}_{path.name[:4]}" for path in sorted(folder.glob("[0-9]*.py"))]


@pytest.fixture
def revisions() -> Callable[[str, str], list[str]]:
    return revisions_in


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalog]:
    """A catalogue of one domain, lab, which has a revision in the postgres store."""
    folder = tmp_path / "lab_revisions" / "postgres"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    (folder / "__init__.py").touch()
    (folder / "0001_things.py").write_text(REVISION.lstrip())
    monkeypatch.syspath_prepend(tmp_path)
    yield Catalog((Domain("lab", revisions="lab_revisions"),))
    for name in [name for name in sys.modules if name.startswith("lab_revisions")]:
        del sys.modules[name]
