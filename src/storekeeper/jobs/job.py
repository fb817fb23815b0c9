"""What a job is, and what it says that it did: values, and nothing that acts."""

from __future__ import annotations

import importlib
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, Protocol

from storekeeper.errors import DeclarationError
from storekeeper.span import Span

if TYPE_CHECKING:
    from storekeeper.platform import Platform


@dataclass(frozen=True, slots=True)
class Every:
    """A schedule: instants `span` apart, counted from 2000-01-03 UTC (months from January 2000), each moved by `at`.

    Every(days(1), at=hours(2)) is 02:00 UTC each day, Every(weeks(1)) Monday's midnight.
    """

    span: Span
    at: Span | None = None

    def __post_init__(self) -> None:
        longest = timedelta(days=28 * self.span.months) if self.span.calendar else self.span.duration
        if self.at is not None and (self.at.calendar or self.at.duration >= longest):
            raise DeclarationError("`at` is a fixed length, shorter than the interval", target=str(self))

    @property
    def offset(self) -> timedelta:
        return timedelta(0) if self.at is None else self.at.duration

    def __str__(self) -> str:
        return f"every {self.span}" + (f" at +{self.at}" if self.at is not None else "")


@dataclass(frozen=True, slots=True)
class AllWithin:
    """Missed ticks are all run, in order, as far back as `span`."""

    span: Span


#: What becomes of ticks that passed while no scheduler ran: forgotten, the newest run, or all of a window.
Missed = Literal["none", "one"] | AllWithin


@dataclass(frozen=True, slots=True)
class Job:
    """Something that is done again and again: idempotent, and as of any moment.

    `run` names a function of a module, "module:function", of the shape of JobFunction. `schedule` None: by hand only.
    A destructive job takes away what cannot be made again. A quiet one runs so often that most runs find nothing to do:
    those leave no row in the run ledger, and its other rows are kept for a week.
    """

    name: str
    run: str
    schedule: Every | None
    summary: str = ""
    destructive: bool = False
    missed: Missed = "one"
    quiet: bool = False

    def function(self) -> JobFunction:
        """Imports what `run` names. Raises DeclarationError."""
        module, _, name = self.run.partition(":")
        try:
            found: JobFunction = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise DeclarationError(str(error), operation="load job", target=self.name) from error
        return found


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that was done, or, in a dry run, would be: "drop chunk invest.intraday_prices_p20140507"."""

    verb: str
    target: str
    detail: str = ""
    rows: int | None = None
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """One thing that was left out, and why."""

    verb: str
    target: str
    reason: str


#: What a job does, thing by thing.
Steps = Generator[Action | Skipped, None, None]


class JobFunction(Protocol):
    """Yields each thing when it is done, so that what was done before a failure is known, and a run can be called off
    between two of them. A dry run yields the same and changes nothing."""

    def __call__(self, platform: Platform, *, as_of: datetime, dry_run: bool) -> Steps: ...


@dataclass(frozen=True, slots=True)
class Report:
    """All that a run did, in order, and what it left out."""

    actions: tuple[Action, ...] = ()
    skipped: tuple[Skipped, ...] = field(default=())

    @classmethod
    def of(cls, items: Iterable[Action | Skipped]) -> Report:
        done = tuple(items)
        return cls(
            tuple(item for item in done if isinstance(item, Action)),
            tuple(item for item in done if isinstance(item, Skipped)),
        )

    @property
    def rows(self) -> int | None:
        """Rows of all actions that count any; None where none does."""
        return _total(action.rows for action in self.actions)

    @property
    def bytes(self) -> int | None:
        """Bytes of all actions that count any; None where none does."""
        return _total(action.bytes for action in self.actions)

    def as_json(self) -> list[dict[str, Any]]:
        """One object an entry; an entry with a reason was left out."""
        return [*map(_entry, self.actions), *map(_entry, self.skipped)]

    @classmethod
    def from_json(cls, entries: Iterable[Mapping[str, Any]]) -> Report:
        """The report that `as_json` wrote; keys of a newer version are left aside."""
        return cls.of(
            Skipped(entry["verb"], entry["target"], entry["reason"])
            if "reason" in entry
            else Action(entry["verb"], entry["target"], entry.get("detail", ""), entry.get("rows"), entry.get("bytes"))
            for entry in entries
        )


def _entry(item: Action | Skipped) -> dict[str, Any]:
    if isinstance(item, Skipped):
        return {"verb": item.verb, "target": item.target, "reason": item.reason}
    counts = {"detail": item.detail or None, "rows": item.rows, "bytes": item.bytes}
    return {"verb": item.verb, "target": item.target} | {k: v for k, v in counts.items() if v is not None}


def _total(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
