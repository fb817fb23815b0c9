"""A domain: a schema, its datasets and its migrations, as one value."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from storekeeper.catalog.backup import BackupPolicy
from storekeeper.catalog.documents import Collection
from storekeeper.catalog.effects import Effect
from storekeeper.catalog.hypertable import Hypertable
from storekeeper.catalog.jobs import DomainJob
from storekeeper.catalog.keys import Keyspace, RateLimit
from storekeeper.catalog.protection import Protection
from storekeeper.catalog.tables import TableLifecycle
from storekeeper.catalog.views import MaterializedView


@dataclass(frozen=True)
class Domain:
    """Everything that belongs together under one name, which is a schema of the SQL stores and a part of the MongoDB
    database's name.

    `tables` are the relational ones, `views` the materialized views over them, `protections` say whose their rows are.
    `effects` are what its operations have other stores see, `jobs` what it does beside the platform's own. `revisions`
    is the package that holds its Alembic revisions, one subpackage a SQL store ("postgres", "timescale"). `updated_at`
    triggers are made for every table that has such a column. `seed` names the function that writes its first rows, as
    "module:function": it is given an open session, and run twice it changes nothing.
    """

    name: str
    tables: tuple[sa.Table, ...] = ()
    lifecycles: tuple[TableLifecycle, ...] = ()
    protections: tuple[Protection, ...] = ()
    effects: tuple[Effect, ...] = ()
    views: tuple[MaterializedView, ...] = ()
    hypertables: tuple[Hypertable, ...] = ()
    collections: tuple[Collection, ...] = ()
    keyspaces: tuple[Keyspace, ...] = ()
    rate_limits: tuple[RateLimit, ...] = ()
    jobs: tuple[DomainJob, ...] = ()
    backups: tuple[BackupPolicy, ...] = ()
    revisions: str | None = None
    seed: str | None = None
