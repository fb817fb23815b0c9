"""As whom a store is opened: each role by its URL, or by what stands in for it; past a pooler with its own name."""

from __future__ import annotations

from pathlib import Path

import pytest

from storekeeper.platform.locating import Role, StoreName, direct_url, locate, owner_elsewhere
from storekeeper.settings import Settings

APP = "postgresql://app:a@db:6432/prices"
OWNER = "postgresql://owner:o@db:6432/prices"
SERIES = "postgresql://app:a@series:5432/prices"


def settings(folder: Path, **given: str) -> Settings:
    return Settings.load(folder, **given)


@pytest.mark.parametrize(
    ("store", "role", "given", "url"),
    [
        ("postgres", "app", {"postgres_url": APP}, APP),
        ("postgres", "jobs", {"postgres_url": APP}, APP),
        ("postgres", "owner", {"postgres_url": APP, "postgres_owner_url": OWNER}, OWNER),
        ("timescale", "app", {"postgres_url": APP}, APP),
        ("timescale", "owner", {"postgres_url": APP, "postgres_owner_url": OWNER}, OWNER),
        # another server knows nothing of the roles of the first
        ("timescale", "owner", {"postgres_url": APP, "postgres_owner_url": OWNER, "timescale_url": SERIES}, SERIES),
        ("timescale", "owner", {"timescale_url": SERIES, "timescale_owner_url": OWNER, "postgres_url": APP}, OWNER),
    ],
)
def test_a_role_without_a_url_logs_in_as_services_do(
    tmp_path: Path, store: StoreName, role: Role, given: dict[str, str], url: str
) -> None:
    assert locate(settings(tmp_path, **given), store, role).url == url


def test_jobs_become_the_owner_only_where_that_is_another(tmp_path: Path) -> None:
    assert owner_elsewhere(settings(tmp_path, postgres_url=APP), "postgres", "jobs") is None
    given = settings(tmp_path, postgres_url=APP, postgres_owner_url=OWNER)
    assert owner_elsewhere(given, "postgres", "app") == "owner"
    assert owner_elsewhere(given, "postgres", "owner") is None


def test_past_the_pooler_each_role_keeps_its_name(tmp_path: Path) -> None:
    direct = "postgresql://app:a@db:5432/prices"
    given = settings(tmp_path, postgres_url=APP, postgres_owner_url=OWNER, postgres_direct_url=direct)
    assert direct_url(given, "postgres", "app") == direct
    assert direct_url(given, "postgres", "owner") == "postgresql://owner:o@db:5432/prices"
    assert direct_url(given, "timescale", "owner") == "postgresql://owner:o@db:5432/prices"
    elsewhere = settings(tmp_path, postgres_url=APP, postgres_direct_url=direct, timescale_url=SERIES)
    assert direct_url(elsewhere, "timescale", "app") == SERIES
