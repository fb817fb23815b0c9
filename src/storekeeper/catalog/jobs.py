"""Jobs of a domain's own: work over the rows of all users that no request does."""

from __future__ import annotations

import re
from dataclasses import dataclass

from storekeeper.errors import DeclarationError
from storekeeper.span import Span


@dataclass(frozen=True)
class DomainJob:
    """Something that a domain does again and again, beside the platform's own jobs: idempotent, as of any moment.

    `run` names the function as "module:function": `run(platform, *, as_of, dry_run)` yields an `Action` for each thing
    when it is done, and in a dry run yields the same and changes nothing. It acts as the jobs role, which sees the rows
    of all users. `every` and `at` are its schedule (an `at` of 2 hours and an `every` of a day: 02:00 UTC). A
    destructive job takes away what cannot be made again; a quiet one leaves no trace of runs that found nothing to do.
    """

    name: str
    run: str
    every: Span
    summary: str
    at: Span | None = None
    destructive: bool = False
    quiet: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z]\w*\.[a-z][\w-]*", self.name):
            raise DeclarationError("is named DOMAIN.what_it_does", operation="declare job", target=self.name)
        if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", self.run):
            raise DeclarationError(f"{self.run!r} is not module:function", operation="declare job", target=self.name)
