"""The Alembic environment of the timescale store: what to run, and on which connection, comes from the caller."""

from __future__ import annotations

from storekeeper.migrations.environment import run_revisions

run_revisions("timescale")
