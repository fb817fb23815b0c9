"""Options that many commands share, and what they stand for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from storekeeper.cli.failing import reported
from storekeeper.errors import InputError

if TYPE_CHECKING:
    from storekeeper.platform import Platform, Role, StoreName
    from storekeeper.span import Span

Directory = Annotated[
    Path | None, typer.Option("--dir", help="Directory of the embedded stack.", show_default=".storekeeper")
]
CatalogPath = Annotated[
    str | None,
    typer.Option("--catalog", help="The catalogue, as module:NAME.", show_default="storekeeper.domains:CATALOG"),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object, for machines.")]
AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of", help="The moment that the run takes for now: 2022-08-23, or 2022-08-23T02:00Z.", show_default="now"
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be done, and do nothing.")]


@contextmanager
def opened(
    directory: Path | None,
    catalog: str | None,
    *,
    as_json: bool = False,
    stores: Sequence[StoreName] = ("postgres", "timescale", "mongo", "redis"),
    role: Role = "jobs",
) -> Iterator[Platform]:
    """The platform of a command, which works as the role of jobs where it says no other; failures of what is done with
    it are reported as the program's own."""
    with reported(as_json=as_json):
        from storekeeper.platform import connect

        with connect(stores=stores, directory=directory, catalog=catalog, role=role) as platform:
            yield platform


def folder(directory: Path | None) -> Path:
    """The directory of the embedded stack: the option, else the setting."""
    from storekeeper.settings import Settings

    return Settings.load(directory=directory).directory


def moment(option: str, text: str | None) -> datetime | None:
    """A moment as it is written on a command line; a date alone is its first instant, and no zone means UTC.

    Raises InputError, which names the option.
    """
    if text is None:
        return None
    try:
        if len(text) == len("2022-08-23"):
            return datetime.combine(date.fromisoformat(text), time(), UTC)
        parsed = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            f"{text!r} is no moment", operation="read", target=option, hint="write 2022-08-23 or 2022-08-23T02:00Z"
        ) from error
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


def clock_or_moment(option: str, text: str | None) -> datetime | time | None:
    """A time of day, 09:30, or a moment as `moment` reads it. Raises InputError, which names the option."""
    if text is None or "-" in text:
        return moment(option, text)
    try:
        clock = time.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            f"{text!r} is neither a time of day nor a moment",
            operation="read",
            target=option,
            hint="write 09:30, or 2022-08-23T02:00Z",
        ) from error
    if clock.tzinfo is not None:
        raise InputError(f"{text!r} is of --zone", operation="read", target=option, hint=f"write {clock:%H:%M}")
    return clock


def span(option: str, text: str) -> Span:
    """A length of time as it is written on a command line. Raises InputError, which names the option."""
    from storekeeper.span import parse_span

    try:
        return parse_span(text)
    except InputError as error:
        raise InputError(error.cause, operation="read", target=option, hint=error.hint) from error


def before(until: datetime, option: str, text: str) -> datetime:
    """The moment that lies this long before another. Raises InputError, which names the option."""
    try:
        return span(option, text).before(until)
    except (OverflowError, ValueError) as error:
        raise InputError(
            f"{text!r} is too long", operation="read", target=option, hint="write it like 5m, 1h, 7d, 2w, 3mo or 1y"
        ) from error
