"""A revision's SQL as text, without a server: what would be run in an empty store, for reading and for the lint."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from alembic.config import Config
from alembic.operations import MigrateOperation, Operations
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory

from storekeeper.errors import MigrationError
from storekeeper.migrations.environment import is_online
from storekeeper.migrations.history import History
from storekeeper.migrations.series_made import Made
from storekeeper.timescale.choosing import Found, choose_engine


class _Statements:
    """Takes what Alembic writes, which is one statement a call."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def write(self, text: str) -> None:
        self.texts.append(text.strip().removesuffix(";").rstrip())

    def flush(self) -> None: ...


def upgrade_sql(history: History, script: Script, *, extension: str | None = None) -> tuple[str, ...]:
    """The statements of a revision's way up, each without its semicolon. `extension` is the version of timescaledb.

    Raises MigrationError where the revision asks the server something, for there is none.
    """
    return _rendered(history, script, script.module.upgrade, extension)


def downgrade_sql(history: History, script: Script, *, extension: str | None = None) -> tuple[str, ...]:
    """The same of its way down."""
    return _rendered(history, script, script.module.downgrade, extension)


def made_series(history: History, branch: str) -> Made:
    """The series as all revisions of a branch leave them, one after another.

    Raises MigrationError where one of them asks the server something, for there is none.
    """
    made = Made()
    for script in history.branches.get(branch, ()):
        _rendered(history, script, script.module.upgrade, None, made)
    return made


def operations_sql(operations: Iterable[MigrateOperation]) -> tuple[str, ...]:
    """The statements of Alembic's operations, each without its semicolon."""
    written = _Statements()
    run = Operations(_context(written))
    for operation in operations:
        run.invoke(operation)
    return tuple(written.texts)


def _rendered(
    history: History, script: Script, run: Callable[[], None], extension: str | None, made: Made | None = None
) -> tuple[str, ...]:
    written = _Statements()
    attributes: Mapping[str, Any] = {
        "store": history.store,
        "revision": script.revision,
        "online": is_online(script),
        "engine": choose_engine(Found(extension), None),
        "made": made,
    }
    with _environment(history.scripts, attributes), Operations.context(_context(written)):
        try:
            run()
        except AttributeError as error:  # op.get_bind() is None here
            raise MigrationError(
                f"asks the server: {error}",
                operation="render",
                target=script.path,
                hint="decide in SQL, in a DO block, or by the operations of storekeeper.migrations.operations",
            ) from error
    return tuple(written.texts)


def _environment(scripts: ScriptDirectory, attributes: Mapping[str, Any]) -> EnvironmentContext:
    return EnvironmentContext(Config(attributes=dict(attributes)), scripts, as_sql=True)


def _context(written: _Statements) -> MigrationContext:
    return MigrationContext.configure(dialect_name="postgresql", opts={"as_sql": True, "output_buffer": written})
