"""A domain for migrations that stop nobody: sales, plain and by month, with a first revision and one that is online."""

from __future__ import annotations

import os
from pathlib import Path

from storekeeper import Catalog, Domain

FIRST = '''
"""Sales, plain and by month, and the shops that they are of."""
from alembic import op
from storekeeper.migrations.operations import create_schema, drop_schema_if_empty

revision, down_revision, branch_labels, depends_on = "lab_0001", None, ("lab",), None

def upgrade():
    create_schema("lab")
    op.execute("CREATE TABLE lab.shops (id int PRIMARY KEY)")
    op.execute("""
        CREATE TABLE lab.sales (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(), shop_id int NOT NULL, pieces int NOT NULL,
            price numeric(10,2) NOT NULL, note text
        )
    """)
    op.execute("""
        CREATE TABLE lab.visits (
            id bigint GENERATED ALWAYS AS IDENTITY, shop_id int NOT NULL, at timestamptz NOT NULL, PRIMARY KEY (id, at)
        ) PARTITION BY RANGE (at)
    """)
    for month in range(1, 5):
        op.execute(f"""
            CREATE TABLE lab.visits_2024_0{month} PARTITION OF lab.visits
            FOR VALUES FROM ('2024-0{month}-01Z') TO ('2024-0{month + 1}-01Z')
        """)

def downgrade():
    op.execute("DROP TABLE lab.visits, lab.sales, lab.shops")
    drop_schema_if_empty("lab")
'''

#: What is asked of a revision under load: a column, an index, a check and a back-fill; the same on a partitioned table.
SECOND = '''
"""What each sale came to, kept by a trigger and filled in; a shop for every visit."""
from storekeeper.migrations.operations import (
    add_check, add_column, add_foreign_key, backfill, create_index_concurrently, drop_column, drop_constraint,
    drop_index_concurrently, drop_not_null, execute_alone, set_not_null,
)

revision, down_revision, branch_labels, depends_on = "lab_0002", "lab_0001", None, None
online = True

def upgrade():
    add_column("lab.sales", "total", "numeric(14,2)")
    execute_alone("""
        CREATE OR REPLACE FUNCTION lab.set_total() RETURNS trigger LANGUAGE plpgsql AS $body$
        BEGIN NEW.total := NEW.pieces * NEW.price; RETURN NEW; END $body$
    """)
    execute_alone("""
        CREATE OR REPLACE TRIGGER sales_total BEFORE INSERT OR UPDATE OF pieces, price ON lab.sales
        FOR EACH ROW EXECUTE FUNCTION lab.set_total()
    """)
    backfill("totals", "lab.sales", "total = pieces * price", "total IS NULL")
    set_not_null("lab.sales", "total")
    add_check("lab.sales", "check_total", "total >= 0")
    create_index_concurrently("idx_sales_total", "lab.sales", ["total DESC", "id"], where="total > 0")
    create_index_concurrently("idx_visits_shop", "lab.visits", ["shop_id", "at"])
    add_foreign_key("lab.visits", "visits_shop_id_fkey", ["shop_id"], "lab.shops", ["id"], on_delete="CASCADE")

def downgrade():
    drop_constraint("lab.visits", "visits_shop_id_fkey")
    drop_index_concurrently("idx_visits_shop", "lab.visits")
    drop_index_concurrently("idx_sales_total", "lab.sales")
    drop_constraint("lab.sales", "check_total")
    drop_not_null("lab.sales", "total")
    execute_alone("DROP TRIGGER IF EXISTS sales_total ON lab.sales", "DROP FUNCTION IF EXISTS lab.set_total()")
    drop_column("lab.sales", "total")
'''

#: Rows of both tables: psycopg parameters `sales` and `visits`.
ROWS = """
INSERT INTO lab.shops SELECT generate_series(0, 99);
INSERT INTO lab.sales (shop_id, pieces, price)
SELECT n % 100, 1 + n % 9, (n % 1000)::numeric / 10 FROM generate_series(1, {sales}) n;
INSERT INTO lab.visits (shop_id, at)
SELECT n % 100, '2024-01-01Z'::timestamptz + (n % 120) * interval '1 day' FROM generate_series(1, {visits}) n;
ANALYZE lab.sales; ANALYZE lab.visits
"""


def write_domain(folder: Path, *revisions: str, package: str = "lab_revisions", store: str = "postgres") -> str:
    """Writes the revisions of the domain lab as a package in the folder, which has to be on the path; its name."""
    place = folder / package / store
    place.mkdir(parents=True, exist_ok=True)
    (place.parent / "__init__.py").touch()
    (place / "__init__.py").touch()
    for number, text in enumerate(revisions, start=1):
        (place / f"{number:04}.py").write_text(text.lstrip())
    (folder / "lab_catalog.py").write_text(
        f'from storekeeper import Catalog, Domain\nCATALOG = Catalog((Domain("lab", revisions="{package}"),))\n'
    )
    return package


def domain(package: str) -> Catalog:
    return Catalog((Domain("lab", revisions=package),))


def path_with(folder: Path) -> dict[str, str]:
    """The environment that lets a child process import from the folder."""
    return {"PYTHONPATH": os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])}
