"""The names of an installation's roles on one server."""

from __future__ import annotations

from dataclasses import dataclass

#: Everybody, in grants and policies.
PUBLIC = "public"


@dataclass(frozen=True, slots=True)
class Roles:
    """`owner` is who migrates. A role that logs in as the owner or as app does is None: it has those rights and no
    others."""

    owner: str
    app: str | None = None
    analyst: str | None = None
    jobs: str | None = None

    @property
    def separate(self) -> bool:
        """Whether services log in as somebody else than the owner. Where they do not, nothing can be kept from them,
        and what other roles were granted is for a process to judge that knows them."""
        return self.app is not None

    @property
    def ours(self) -> frozenset[str]:
        """Whose grants are ours to make and to take back."""
        return frozenset({PUBLIC, *(name for name in (self.app, self.analyst, self.jobs) if name is not None)})


def told_apart(owner: str, app: str, analyst: str, jobs: str) -> Roles:
    """The roles by the names that they log in by; an empty one logs in as the owner does."""
    service = app if app not in ("", owner) else None
    others = (None if name in ("", owner, app) else name for name in (analyst, jobs))
    reader, worker = others
    return Roles(owner, service, reader, worker)
