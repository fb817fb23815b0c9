"""A platform's stores, by the names that its settings give them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from storekeeper import connect
from storekeeper.backups import back_up_store, check_backup, list_backups, repository_at
from storekeeper.catalog.backup import StoreName
from storekeeper.clock import FixedClock
from storekeeper.servers import RunningStack
from storekeeper.settings import Settings

AS_OF = datetime(2014, 6, 8, 2, tzinfo=UTC)


def test_the_repository_is_where_the_settings_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert repository_at(Settings.load(directory=Path("here"))).root == tmp_path / "here" / "backups"
    assert repository_at(Settings.load(backups=Path("/there"))).root == Path("/there")


@pytest.mark.parametrize(
    ("store", "server"),
    [("postgres", "postgres"), ("timescale", "postgres"), ("mongo", "mongo"), ("redis", "redis")],
)
def test_a_platforms_store_is_backed_up(
    store: StoreName, server: str, stack: RunningStack, tmp_path: Path, clock: FixedClock
) -> None:
    with connect(
        stores=(),
        clock=clock,
        root=tmp_path,
        backups=tmp_path / "backups",
        postgres_url=stack.urls.postgres,
        mongo_url=stack.urls.mongo,
        redis_url=stack.urls.redis,
        mongo_database="test_nobody",
    ) as platform:
        planned = back_up_store(platform, store, as_of=AS_OF, dry_run=True)
        assert (planned.server, planned.label) == (server, "20140608T020000Z-full")
        repository = repository_at(platform.settings)
        assert list_backups(repository) == ()
        if store == "timescale":
            return  # it is the base backup of postgres, once more
        made = back_up_store(platform, store, as_of=AS_OF)
        manifest = check_backup(repository, made.server, made.label)
    assert manifest.started == manifest.finished == clock.now()
    assert [found.label for found in list_backups(repository)] == [planned.label]
