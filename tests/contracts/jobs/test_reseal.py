"""After the keys were rotated, every sealed column is sealed anew: as the role of jobs, and while services write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
import sqlalchemy as sa

from deals_domain import person, shop, stored, wish
from storekeeper import Action, KeyRing, Platform, Protection, connect
from storekeeper.domains.deals.entities import ChatMessage
from storekeeper.domains.deals.operations.chat import conversation, say
from storekeeper.domains.deals.operations.markets import api_key_of, set_api_key
from storekeeper.domains.defi.operations.users import register, set_telegram_chat
from storekeeper.jobs import Skipped, reseal, run_job
from storekeeper.sealing import new_master_key

CHAT, KEY, TELEGRAM = "deals.chat_messages.content", "deals.markets.api_key", "defi.users.telegram_chat_id"


@pytest.fixture
def jobs(role_settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    monkeypatch.setattr(reseal, "BATCH", 3)
    given: dict[str, Any] = {"directory": tmp_path, "master_key": new_master_key()}
    with connect(stores=("postgres",), role="jobs", **role_settings, **given) as platform:
        yield platform


@pytest.fixture
def ring(jobs: Platform) -> KeyRing:
    return jobs.keyring


def actions(*rows: tuple[str, int]) -> tuple[Action, ...]:
    return tuple(Action("reseal", place, rows=count) for place, count in rows)


def test_every_sealed_value_gets_the_newest_key(jobs: Platform, ring: KeyRing, migrated_url: str) -> None:
    ada, bob, market, user_id = person(), person(), shop(), uuid4()
    stored(migrated_url, ada, bob, market, wish(ada.id))
    with jobs.postgres.session() as session:
        for number in range(7):
            say(session, ring, (ada, bob)[number % 2].id, "user", f"text {number}")
        set_api_key(session, ring, market.id, "k-1")
        register(session, f"0x{user_id.hex}{'0' * 8}", user_id=user_id)
        set_telegram_chat(session, ring, user_id, "4711")
    assert run_job(jobs, "reseal").report.actions == ()

    ring.rotate()
    keys = ring.status().keys
    all_of_them = actions((CHAT, 7), (KEY, 1), (TELEGRAM, 1))
    assert sorted(run_job(jobs, "reseal", dry_run=True).report.actions, key=str) == sorted(all_of_them, key=str)
    assert ring.status().keys == keys, "a dry run makes none"
    before = contents(jobs)
    assert sorted(run_job(jobs, "reseal").report.actions, key=str) == sorted(all_of_them, key=str)
    assert not set(before.values()) & set(contents(jobs).values())
    assert run_job(jobs, "reseal").report.actions == ()
    with jobs.postgres.session() as session:
        said = [said.content for said in conversation(session, ring, ada.id).items]
        assert said == ["text 6", "text 4", "text 2", "text 0"]
        assert api_key_of(session, ring, market.id) == "k-1"


def test_what_does_not_open_is_counted_and_stays(jobs: Platform, ring: KeyRing, migrated_url: str) -> None:
    ada, bob = person(), person()
    stored(migrated_url, ada, bob)
    with jobs.postgres.session() as session:
        for user in (ada, bob, bob):
            say(session, ring, user.id, "user", "x")
    with psycopg.connect(migrated_url) as connection:
        connection.execute("UPDATE deals.chat_messages SET content = 'plain' WHERE ctid = '(0,3)'")
    ring.rotate()
    ring.forget(str(ada.id))
    for dry_run in (True, False):
        report = run_job(jobs, "reseal", dry_run=dry_run).report
        assert report.actions == actions((CHAT, 1))
        assert report.skipped == (
            Skipped("reseal", CHAT, "1 do not open: their keys were destroyed"),
            Skipped("reseal", CHAT, "1 do not open: they were changed, or were sealed for another row or person"),
        )
    assert "plain" in contents(jobs).values()


def test_what_a_service_writes_meanwhile_stays(
    jobs: Platform, ring: KeyRing, migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    market = shop()
    stored(migrated_url, market)
    with jobs.postgres.session() as session:
        set_api_key(session, ring, market.id, "old")
    ring.rotate()
    sealed_before = ring.reseal

    def and_somebody_writes(sealed: str, **bound: Any) -> str:
        with jobs.postgres.session() as session:
            set_api_key(session, ring, market.id, "new")
        return sealed_before(sealed, **bound)

    monkeypatch.setattr(ring, "reseal", and_somebody_writes)
    assert run_job(jobs, "reseal").report.actions == ()
    with jobs.postgres.session() as session:
        assert api_key_of(session, ring, market.id) == "new"


def test_a_person_is_found_by_the_path_to_the_owner() -> None:
    tables = sa.MetaData(schema="own")
    users = sa.Table("users", tables, sa.Column("id", sa.Uuid, primary_key=True))
    lists = sa.Table(
        "lists",
        tables,
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("user_id", sa.ForeignKey(users.c.id)),
    )
    items = sa.Table(
        "items",
        tables,
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("list_id", sa.ForeignKey(lists.c.id)),
        sa.Column("note", sa.Text),
    )
    found = reseal.sealed_column(Protection(items, owners=("list_id.user_id",), sealed=("note",)), "note")
    assert " ".join(str(found.rows).split()) == (
        "SELECT own.items.id, via_0.user_id, own.items.note FROM own.items "
        "JOIN own.lists AS via_0 ON own.items.list_id = via_0.id WHERE own.items.note IS NOT NULL"
    )


def contents(platform: Platform) -> dict[UUID, str]:
    with platform.postgres.session() as session:
        rows = session.execute(sa.select(ChatMessage.id, ChatMessage.content))
        return {row.id: row.content for row in rows}
