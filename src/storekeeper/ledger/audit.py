"""The audit log: statements for the caller's transaction, with which a row comes and goes; none waits."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, get_args

import sqlalchemy as sa

from storekeeper.errors import InputError
from storekeeper.ledger.tables import audit_log

#: What is answered for.
Action = Literal[
    "login",
    "login_failed",
    "logout",
    "password_changed",
    "role_changed",
    "account_created",
    "staff_read",
    "staff_changed",
    "key_rotated",
    "key_destroyed",
    "destructive_confirmed",
    "restored",
    "erased",
]
ACTIONS: Final[tuple[str, ...]] = get_args(Action)

#: A detail of a row: a count, a yes or no, an id, a digest, the name of a thing.
Detail = str | int | bool

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,127}")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_PERSONAL = re.compile(
    r"(^|_)(e?mail|phone|mobile|name|(first|last|full|user)_?name|address|street|city|zip|ip|birth\w*|dob|age|gender"
    r"|password|secret|token|content|text|message|value|chat)(_|$)"
)
_DETAILS: Final = 20


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A row of the log. Times are aware UTC, by the server's clock."""

    id: int
    at: datetime
    action: str
    subject: str
    subject_id: str
    actor: str | None
    request_id: str | None
    db_role: str
    detail: Mapping[str, Any]


ROW = tuple(audit_log.c)


def append(action: Action, *, subject: str, subject_id: str, detail: Mapping[str, Detail]) -> sa.Insert:
    """Notes what was done. Raises InputError for an unknown action, and for what may identify a person.

    Ids, digests and names of things are letters, digits and `_.:-`, 128 at most: no text, no address of any kind. Keys
    of the detail are lower case, and none that would name something personal.
    """
    if action not in ACTIONS:
        raise _refused(f"{action!r} is no action", f"there are {', '.join(ACTIONS)}")
    for part, value in (("subject", subject), ("subject_id", subject_id)):
        if _PLAIN.fullmatch(value) is None or _is_address(value):
            raise _refused(f"{part} is to be the name of a thing, an id or a digest")
    _check(detail)
    # inline: the new id is not asked for, since who may append may not read
    values = {"action": action, "subject": subject, "subject_id": subject_id, "detail": dict(detail)}
    return sa.insert(audit_log).values(**values).inline()


def _check(detail: Mapping[str, object]) -> None:
    if len(detail) > _DETAILS:
        raise _refused(f"a row has {_DETAILS} details at most")
    for key, value in detail.items():
        # the value is never repeated: it may be the very thing that must not be written down
        if _NAME.fullmatch(key) is None or (_PERSONAL.search(key) and not key.endswith(("_id", "_digest"))):
            raise _refused(f"a detail cannot be called {key!r}", "details are ids, digests and counts: seal the rest")
        if isinstance(value, str):
            taken = _PLAIN.fullmatch(value) is not None and not _is_address(value)
        else:
            taken = isinstance(value, int) and abs(value) < 2**63
        if not taken:
            raise _refused(
                f"detail {key!r} is to be an id, a digest, the name of a thing, a whole number or a yes or no",
                "letters, digits and _.:- only, 128 at most",
            )


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def _refused(cause: str, hint: str = "") -> InputError:
    return InputError(cause, operation="append to", target="storekeeper.audit_log", hint=hint)


def newest(
    limit: int, *, action: str | None = None, subject_id: str | None = None, actor: str | None = None
) -> sa.Select[Any]:
    """The log, newest first, for `decode_row`."""
    statement = sa.select(*ROW).order_by(audit_log.c.at.desc(), audit_log.c.id.desc()).limit(limit)
    wanted = ((audit_log.c.action, action), (audit_log.c.subject_id, subject_id), (audit_log.c.actor, actor))
    return statement.where(*(column == value for column, value in wanted if value is not None))


def decode_row(row: Sequence[Any]) -> AuditRow:
    return AuditRow(*row)
