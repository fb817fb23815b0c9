"""The steps of a revision that runs outside of one transaction, and how each of them meets the locks of others.

| step | locks |
| --- | --- |
| `brief` | may be one that stops writers: waited for and held for well under a second, or given up and retried |
| `lasting` | one that stops nobody: it is waited for as long as it takes |
| `asked` | none |

Where a revision is only rendered as SQL, nothing is there and nothing is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from alembic import context, op

from storekeeper.errors import DeclarationError, StorekeeperError
from storekeeper.migrations.online.retrying import retried
from storekeeper.migrations.steps import Step
from storekeeper.stores.sql.failures import translated
from storekeeper.timescale.quoting import verbatim

T = TypeVar("T")

#: A wait for a lock stops all who come after for as long as it lasts; the step as a whole, all who want the table.
#: Both together stay below the second after which the server looks for deadlocks: no writer is ever their victim.
BRIEF_LOCK = "200ms"
BRIEF_STEP = "700ms"
#: For locks that stop nobody but other migrations and vacuums.
LASTING_LOCK = "15min"


def brief(what: str, *statements: str) -> None:
    """Runs statements in one short transaction, again and again until they get their locks.

    Raises ConflictError, or StatementTimeoutError for what takes too long to stop writers for it.
    """

    def attempt() -> None:
        for statement in statements:
            op.execute(verbatim(statement))

    tried(what, lambda: in_transaction(what, attempt))


def in_transaction(what: str, run: Callable[[], T]) -> T:
    """What `run()` returns, from a short transaction of its own. Its failures are the store's errors."""
    if rendering():
        return run()
    with translated("migrate", _target(what)), _driver().transaction():
        op.execute(f"SET LOCAL lock_timeout = '{BRIEF_LOCK}'")
        op.execute(f"SET LOCAL statement_timeout = '{BRIEF_STEP}'")
        return run()


def lasting(what: str, statement: str) -> None:
    """Runs one statement outside of a transaction; it may take hours, and stops nobody."""
    if rendering():
        op.execute(verbatim(statement))
        return
    before = asked("SELECT current_setting('lock_timeout')")[0][0]
    with translated("migrate", _target(what)):
        op.execute(f"SET lock_timeout = '{LASTING_LOCK}'")
        try:
            op.execute(verbatim(statement))
        finally:
            op.execute(f"SET lock_timeout = '{before}'")


def asked(question: str, **parameters: object) -> Sequence[Any]:
    """The rows that answer a question; none where the revision is only rendered."""
    _required()
    if rendering():
        return ()
    with translated("migrate", _target("")):
        return op.get_bind().execute(sa.text(question), parameters).all()


def tried(what: str, attempt: Callable[[], T]) -> T:
    """What `attempt()` returns, tried again while others hold its locks; it looks anew at what is there each time."""
    _required()
    tell(what)

    def told(number: int, error: StorekeeperError) -> None:
        tell(f"{what}: not yet ({error.cause}), attempt {number}", action="wait")

    return retried(attempt, told)


def tell(what: str, *, action: Any = "online") -> None:
    """Tells whoever migrates what is being done now."""
    attributes = context.config.attributes
    if "tell" in attributes:
        attributes["tell"](Step(attributes["store"], action, attributes["revision"], what))


def revision() -> str:
    """The id of the revision that runs."""
    return str(context.config.attributes.get("revision", ""))


def rendering() -> bool:
    """Whether the revision is only written as SQL."""
    return bool(op.get_context().as_sql)


def _required() -> None:
    if not context.config.attributes.get("online"):
        raise DeclarationError(
            "this operation needs transactions of its own",
            operation="migrate",
            target=revision(),
            hint="write `online = True` below the revision's id",
        )


def _driver() -> Any:
    return op.get_bind().connection.driver_connection


def _target(what: str) -> str:
    return f"{context.config.attributes.get('store', '')} by {revision()}{': ' * bool(what)}{what}"
