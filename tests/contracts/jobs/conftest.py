"""A migrated store for jobs of the tests' own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from storekeeper.platform import Platform, connect


@pytest.fixture
def platform(migrated_url: str) -> Iterator[Platform]:
    """The relational store alone: what the run ledger needs."""
    with connect(stores=("postgres",), postgres_url=migrated_url) as opened:
        yield opened
