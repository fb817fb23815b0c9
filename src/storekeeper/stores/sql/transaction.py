"""How a transaction opens: what it is told with its BEGIN, as one message to the server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Final, Literal

from psycopg import sql

from storekeeper.errors import InputError

Isolation = Literal["read committed", "repeatable read", "serializable"]

#: An execution option of a connection on which long statements are expected: they are not reported as slow.
BULK: Final = "storekeeper_bulk"

#: Rendering to days (date_trunc, ::date, to_char) goes by the session's zone, and so do the datetimes of psycopg; it
#: reads them as ISO alone writes them.
_RENDERING: Final = {"TimeZone": "UTC", "DateStyle": "ISO"}

#: transaction_timeout exists from here on.
HAS_TRANSACTION_TIMEOUT: Final = 170000


class Default(Enum):
    """Stands for a time-out that was not given: the pool's own."""

    DEFAULT = "default"


DEFAULT: Final = Default.DEFAULT


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for one transaction.

    `timeout` in seconds, None for none; `local` are server settings by name, set as SET LOCAL does; `first` is a
    statement that goes with them. `autocommit` is no transaction at all: `local` then holds for as long as the
    connection is borrowed.
    """

    timeout: float | None
    isolation: Isolation | None = None
    local: Mapping[str, str] = field(default_factory=dict)
    autocommit: bool = False
    first: str = ""


def opening(terms: Terms, server_version: int, role_limit_ms: int = 0) -> str:
    """The statements that open a transaction on these terms: BEGIN, every SET LOCAL, and what goes first, to be sent as
    one message.

    `role_limit_ms` is the statement_timeout that the role has of its own (0: none). On servers without
    transaction_timeout ours stands in for it, but never loosens the role's.

    SET LOCAL rather than set_config(): the SELECT that calls it would take the snapshot of a repeatable-read
    transaction before the caller had taken their locks.
    """
    begin = "BEGIN"
    if terms.isolation is not None:
        begin += f" ISOLATION LEVEL {terms.isolation.upper()}"
    settings = {**_RENDERING, **_time_limits(terms.timeout, server_version, role_limit_ms), **terms.local}
    told = (f"SET LOCAL {assignment(*setting)}" for setting in settings.items())
    return "; ".join((begin, *told, *((terms.first,) if terms.first else ())))


def session_opening(terms: Terms) -> str:
    """The statements that prepare a connection for work outside of transactions; RESET ALL undoes them."""
    settings = {**_RENDERING, **terms.local}
    return "; ".join(f"SET SESSION {assignment(*setting)}" for setting in settings.items())


#: What undoes all that a borrower may have left in a session: DISCARD ALL but for the prepared statements, which the
#: driver counts on.
SESSION_CLOSING: Final = "; ".join(
    (
        "CLOSE ALL",
        "SET SESSION AUTHORIZATION DEFAULT",
        "RESET ALL",
        "UNLISTEN *",
        "SELECT pg_catalog.pg_advisory_unlock_all()",
        "DISCARD TEMP",
    )
)


@lru_cache(maxsize=1024)  # quoting is slow, and transactions say the same again and again
def assignment(name: str, value: str) -> str:
    """`name = 'value'` of SET, quoted; a name may have a prefix (app.current_user_id)."""
    parts = name.split(".")
    if not all(parts):
        raise InputError(f"{name!r} is no name of a server setting")
    return f"{sql.Identifier(*parts).as_string(None)} = {sql.Literal(value).as_string(None)}"


def _time_limits(timeout: float | None, server_version: int, role_limit_ms: int) -> dict[str, str]:
    if timeout is None:
        return {}
    milliseconds = max(1, round(timeout * 1000))
    if server_version >= HAS_TRANSACTION_TIMEOUT:
        return {"transaction_timeout": f"{milliseconds}ms"}
    statement = min(milliseconds, role_limit_ms) if role_limit_ms else milliseconds
    return {
        "statement_timeout": f"{statement}ms",
        "idle_in_transaction_session_timeout": f"{milliseconds}ms",
    }
