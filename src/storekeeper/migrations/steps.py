"""What a migration would do, and did: values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from storekeeper.catalog import StoreName

#: `online` and `wait` are told while a revision runs: what it is at, and what it waits for.
#: `report` is said and never done: what nobody declared stays, unless the plan was made to prune it.
Action = Literal[
    "upgrade",
    "downgrade",
    "online",
    "wait",
    "choose engine",
    "make partitions",
    "set late rows",
    "set chunk",
    "set columnstore",
    "set capture",
    "drop policy",
    "protect",
    "create collection",
    "set validator",
    "create index",
    "change index",
    "set expiry",
    "drop index",
    "drop collection",
    "record",
    "report",
]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do to one store: Step("postgres", "upgrade", "invest@invest_0001", "Users, their sessions, …")."""

    store: StoreName
    action: Action
    target: str
    detail: str = ""

    def __str__(self) -> str:
        text = f"{self.store}: {self.action} {self.target}"
        return f"{text}: {self.detail}" if self.detail else text


@dataclass(frozen=True, slots=True)
class Plan:
    """All that differs between the catalogue and the stores, in the order in which it is done.

    `prune` says that what nobody declared is dropped rather than reported, `to` at which revision of which domain it
    ends ("deals@0003").
    """

    steps: tuple[Step, ...]
    prune: bool = False
    to: str | None = None

    @property
    def todo(self) -> tuple[Step, ...]:
        """The steps that change something."""
        return tuple(step for step in self.steps if step.action != "report")

    @property
    def reported(self) -> tuple[Step, ...]:
        """What is left alone: what nobody declared, and what is declared and nobody makes."""
        return tuple(step for step in self.steps if step.action == "report")


@dataclass(frozen=True, slots=True)
class Applied:
    """The steps that were done, in order."""

    steps: tuple[Step, ...] = field(default=())
