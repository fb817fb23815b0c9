"""Slow queries: which may be explained, how, and what the report says. Nothing is run again, nothing analysed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

#: EXPLAIN (GENERIC_PLAN), which takes a statement without its parameters, exists from here on.
HAS_GENERIC_PLAN: Final = 160000

#: Milliseconds that explaining may take: it plans only, but planning waits for locks too.
EXPLAIN_LIMIT_MS: Final = 2000


@dataclass(frozen=True, slots=True)
class SlowQuery:
    """A query that took too long: its text without values, how long, and the server's plan or why there is none."""

    statement: str
    seconds: float
    plan: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Explanation:
    """How to ask for a plan: the statement, and whether the extended protocol must carry it."""

    statement: str
    extended: bool


def explanation(statement: str, *, parameters: bool, server_version: int) -> Explanation | str:
    """How to explain this statement of SQLAlchemy's (%(name)s, %% for %), or why it cannot be."""
    if _EXPLAINABLE.match(_LEADING.sub("", statement)) is None:
        return "this kind of statement has no plan"
    numbered = numbered_placeholders(statement)
    if not parameters:
        # EXPLAIN would hold for the first of several statements and run the others; the extended protocol refuses them
        return Explanation(f"EXPLAIN {numbered}", extended=True)
    if server_version < HAS_GENERIC_PLAN:
        return "a statement with parameters can be explained from PostgreSQL 16 on"
    # it had parameters, so the extended protocol carried it, so it is one statement
    return Explanation(f"EXPLAIN (GENERIC_PLAN) {numbered}", extended=False)


def numbered_placeholders(statement: str) -> str:
    """%(name)s and %s as $1, $2, …, and %% as %, as the driver sends them."""
    numbers: dict[str, int] = {}

    def number(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        name = match[1] if match[1] is not None else f"\0{match.start()}"
        return f"${numbers.setdefault(name, len(numbers) + 1)}"

    return _PLACEHOLDER.sub(number, statement)


def without_values(text: str) -> str:
    """The text of a statement or plan, quoted literals emptied: what they hold may be about a person."""
    return _LITERAL.sub("'…'", text)


def has_parameters(parameters: Mapping[str, object] | Sequence[object] | None) -> bool:
    """Whether an execution carried any; of an executemany, whether its rows did."""
    if isinstance(parameters, Mapping):
        return bool(parameters)
    return bool(parameters) and any(parameters or ())


_LEADING: Final = re.compile(r"\A(?:\s|--[^\n]*\n|/\*.*?\*/|\()+", re.DOTALL)
_EXPLAINABLE: Final = re.compile(r"(?:SELECT|INSERT|UPDATE|DELETE|MERGE|WITH)\b", re.IGNORECASE)
_PLACEHOLDER: Final = re.compile(r"%%|%\(([^)]*)\)[sbt]|%[sbt]")
_LITERAL: Final = re.compile(r"\$(\w*)\$.*?\$\1\$|\b[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'", re.DOTALL)
