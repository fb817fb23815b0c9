"""The first rows of a domain, written by the function that it names."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy.orm import Session

from storekeeper.catalog import Domain
from storekeeper.errors import DeclarationError
from storekeeper.migrations.standing import require_migrated
from storekeeper.platform import Platform

#: Given an open session it writes rows, and says how many it made of each table; run twice, none the second time.
Seed = Callable[[Session], Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Seeded:
    """A domain, and how many rows were made of each of its tables."""

    domain: str
    rows: Mapping[str, int]


def seed(platform: Platform, domain: str | None = None) -> tuple[Seeded, ...]:
    """Writes the first rows of a domain, or of all that have any, each in one transaction; what is there stays.

    Raises MigrationError where the domain's revisions are pending, DeclarationError where it names no seed.
    """
    wanted = [platform.catalog.domain(domain)] if domain is not None else platform.catalog.domains
    if domain is not None and wanted[0].seed is None:
        raise DeclarationError(
            "has no seed data", operation="seed", target=domain, hint='Domain(seed="module:function") names it'
        )
    functions = [(one.name, function_of(one)) for one in wanted if one.seed is not None]
    for name, _ in functions:
        require_migrated(platform, name)
    done: list[Seeded] = []
    for name, function in functions:
        with platform.postgres.session(operation="seed", target=name) as session:
            rows = dict(function(session))
        done.append(Seeded(name, rows))
    return tuple(done)


def function_of(domain: Domain) -> Seed:
    """The function that writes a domain's first rows. Raises DeclarationError where its name leads nowhere."""
    module, _, name = (domain.seed or "").partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise DeclarationError(
            f"its seed {domain.seed!r} is no function: {error}",
            operation="seed",
            target=domain.name,
            hint="write module:function",
        ) from error
    found: Seed = function
    return found
