"""Migrations: both Alembic histories, the collections of MongoDB, and the record of what was applied.

| call | what it does |
| --- | --- |
| `plan(platform)` | what differs, as ordered steps; changes nothing |
| `apply(platform)` or `apply(platform, plan)` | does them; the second time there are none |
| `rollback(platform, "invest", 1)` | takes back revisions of a domain |
| `standing(platform)` | what is applied and pending in each store, and which back-fills are under way |
| `stamp(platform, "deals@0003")` | notes a revision without running it |
| `drop_everything(platform)` | empties the stores of all that is the catalogue's |
| `drift(platform)` | where tables are not as declared although nothing is pending |
| `catalog_matches(platform)` | whether this process has the catalogue that was applied |
| `create_databases(settings)` | makes the databases that are missing |
"""

from __future__ import annotations

from storekeeper.migrations.applying import apply, plan, rollback
from storekeeper.migrations.comparing import drift
from storekeeper.migrations.databases import create_databases
from storekeeper.migrations.destroying import drop_everything
from storekeeper.migrations.recorded import applied_catalogue, catalog_matches
from storekeeper.migrations.stamping import stamp
from storekeeper.migrations.standing import Standing, standing
from storekeeper.migrations.steps import Applied, Plan, Step

__all__ = [
    "Applied",
    "Plan",
    "Standing",
    "Step",
    "applied_catalogue",
    "apply",
    "catalog_matches",
    "create_databases",
    "drift",
    "drop_everything",
    "plan",
    "rollback",
    "stamp",
    "standing",
]
