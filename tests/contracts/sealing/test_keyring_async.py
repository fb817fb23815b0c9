"""The key ring, in a file and in a PostgreSQL: the same answers from both."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from storekeeper import AsyncKeyRing, InputError, MasterKeys
from storekeeper.errors import KeyMissingError, KeyRingError, MasterKeyError, SealedValueError, SettingsError
from storekeeper.sealing import new_master_key

PLACE, ROW = "deals.chat_messages.content", "11"


class Seconds:
    """A clock that goes when it is told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


FIRST = new_master_key()
KEYS = MasterKeys.of(FIRST)


@pytest.fixture(params=["file", "database"])
def at(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where the ring of the test lies."""
    if request.param == "file":
        return tmp_path / "keyring.sqlite"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
async def ring(at: Path | str) -> AsyncIterator[AsyncKeyRing]:
    async with AsyncKeyRing(at, KEYS) as ring:
        yield ring


def rows_of(at: Path | str, query: str) -> list[tuple[object, ...]]:
    """What the ring holds, past its own interface; {} stands for its schema."""
    if isinstance(at, Path):
        with closing(sqlite3.connect(at)) as connection:
            return connection.execute(query.format("")).fetchall()
    with psycopg.connect(at) as database:
        return database.execute(query.format("storekeeper_keyring.").encode()).fetchall()


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(codec="utf-8")), person=st.none() | st.sampled_from(["ann", "bob", "çelik"]))
async def test_what_was_sealed_opens_in_another_process(at: Path | str, text: str, person: str | None) -> None:
    async with AsyncKeyRing(at, KEYS) as here, AsyncKeyRing(at, KEYS) as there:
        sealed = await here.seal(text, place=PLACE, row=ROW, person=person)
        assert await there.open(sealed, place=PLACE, row=ROW, person=person) == text


async def test_a_value_opens_for_its_own_column_row_and_person_alone(ring: AsyncKeyRing) -> None:
    sealed = await ring.seal("x", place=PLACE, row=ROW, person="ann")
    await ring.seal("y", place=PLACE, row=ROW, person="bob")
    for place, row, person in (
        ("deals.chat_messages.title", ROW, "ann"),
        (PLACE, "12", "ann"),
        (PLACE, ROW, "bob"),
        (PLACE, ROW, None),
    ):
        with pytest.raises(SealedValueError):
            await ring.open(sealed, place=place, row=row, person=person)


async def test_a_person_has_one_key_and_the_installation_another(ring: AsyncKeyRing, at: Path | str) -> None:
    for person in ("ann", "ann", "bob", None, None):
        await ring.seal("x", place=PLACE, row=ROW, person=person)
    assert sorted(rows_of(at, "SELECT holder FROM {}keys")) == [("",), ("ann",), ("bob",)]
    status = await ring.status()
    assert (status.keys, status.people, status.epoch, status.master) == (3, 2, 1, KEYS.current)


async def test_a_forgotten_person_is_gone_and_nobody_else(ring: AsyncKeyRing, at: Path | str) -> None:
    sealed = {who: await ring.seal("x", place=PLACE, row=ROW, person=who) for who in ("ann", "bob")}
    assert await ring.forget("ann") == 1
    assert await ring.forget("ann") == 0
    with pytest.raises(KeyMissingError, match="not in the key ring"):
        await ring.open(sealed["ann"], place=PLACE, row=ROW, person="ann")
    assert await ring.open(sealed["bob"], place=PLACE, row=ROW, person="bob") == "x"
    again = await ring.seal("y", place=PLACE, row=ROW, person="ann")
    assert await ring.open(again, place=PLACE, row=ROW, person="ann") == "y"
    with pytest.raises(KeyMissingError):
        await ring.open(sealed["ann"], place=PLACE, row=ROW, person="ann")
    with pytest.raises(InputError):
        await ring.forget("")


async def test_a_process_forgets_within_sixty_seconds_what_another_destroyed(at: Path | str) -> None:
    clock = Seconds()
    async with AsyncKeyRing(at, KEYS, monotonic=clock) as here, AsyncKeyRing(at, KEYS) as there:
        sealed = await here.seal("x", place=PLACE, row=ROW, person="ann")
        await there.forget("ann")
        clock.now += 59.9
        assert await here.open(sealed, place=PLACE, row=ROW, person="ann") == "x"
        clock.now += 0.1
        with pytest.raises(KeyMissingError):
            await here.open(sealed, place=PLACE, row=ROW, person="ann")


async def test_using_a_key_does_not_make_it_last(at: Path | str) -> None:
    clock = Seconds()
    async with AsyncKeyRing(at, KEYS, monotonic=clock) as here, AsyncKeyRing(at, KEYS) as there:
        sealed = await here.seal("x", place=PLACE, row=ROW, person="ann")
        await there.forget("ann")
        for _ in range(5):
            clock.now += 11
            await here.open(sealed, place=PLACE, row=ROW, person="ann")
            last = await here.seal("y", place=PLACE, row=ROW, person="ann")
        clock.now += 11
        with pytest.raises(KeyMissingError):
            await here.open(last, place=PLACE, row=ROW, person="ann")


async def test_rotation_wraps_all_keys_and_begins_new_ones(at: Path | str) -> None:
    new = new_master_key()
    async with AsyncKeyRing(at, KEYS) as before:
        old = {str(n): await before.seal(str(n), place=PLACE, row=ROW, person=str(n)) for n in range(20)}
    async with AsyncKeyRing(at, MasterKeys.of(new, [FIRST])) as during:
        assert await during.rotate() == 20
        status = await during.status()
        assert (status.epoch, status.unfinished, status.keys) == (2, 0, 20)
        assert status.rotated_at is not None
        assert status.rotated_at.utcoffset() is not None
    async with AsyncKeyRing(at, MasterKeys.of(new)) as after:
        for person, sealed in old.items():
            assert await after.open(sealed, place=PLACE, row=ROW, person=person) == person
        newer = await after.reseal(old["7"], place=PLACE, row=ROW, person="7")
        assert newer != old["7"]
        assert await after.reseal(newer, place=PLACE, row=ROW, person="7") == newer
        assert await after.open(newer, place=PLACE, row=ROW, person="7") == "7"
        assert (await after.status()).keys == 21
        assert await after.forget("7") == 2
        for gone in (old["7"], newer):
            with pytest.raises(KeyMissingError):
                await after.open(gone, place=PLACE, row=ROW, person="7")
    with pytest.raises(MasterKeyError):
        async with AsyncKeyRing(at, KEYS) as stale:
            await stale.open(old["8"], place=PLACE, row=ROW, person="8")


async def test_a_process_with_old_settings_wraps_no_key_that_would_be_lost(at: Path | str) -> None:
    """After the rotation has begun no key comes to be under the old master key, whatever a process was told."""
    new = new_master_key()
    async with AsyncKeyRing(at, KEYS) as old, AsyncKeyRing(at, MasterKeys.of(new, [FIRST])) as both:
        await old.seal("x", place=PLACE, row=ROW, person="ann")
        await both.rotate()
        with pytest.raises(MasterKeyError):
            await old.seal("x", place=PLACE, row=ROW, person="bob")
        assert (await both.status()).keys == 1


async def test_settings_may_be_rolled_out_before_the_rotation(at: Path | str) -> None:
    new = new_master_key()
    async with AsyncKeyRing(at, KEYS) as old, AsyncKeyRing(at, MasterKeys.of(new, [FIRST])) as both:
        await old.seal("x", place=PLACE, row=ROW, person="ann")
        sealed = await both.seal("y", place=PLACE, row=ROW, person="bob")
        assert await old.open(sealed, place=PLACE, row=ROW, person="bob") == "y"


async def test_master_keys_are_asked_for_again_where_the_ring_names_an_unknown_one(at: Path | str) -> None:
    new = new_master_key()
    told = [KEYS]
    async with AsyncKeyRing(at, lambda: told[-1]) as long_running:
        sealed = await long_running.seal("x", place=PLACE, row=ROW, person="ann")
        told.append(MasterKeys.of(new, [FIRST]))
        async with AsyncKeyRing(at, told[-1]) as other:
            await other.rotate()
        later = await long_running.seal("y", place=PLACE, row=ROW, person="bob")
        assert await long_running.open(later, place=PLACE, row=ROW, person="bob") == "y"
        assert await long_running.open(sealed, place=PLACE, row=ROW, person="ann") == "x"


async def test_a_key_that_was_given_to_another_person_does_not_unwrap(at: Path | str) -> None:
    async with AsyncKeyRing(at, KEYS) as ring:
        sealed = await ring.seal("x", place=PLACE, row=ROW, person="ann")
    change = "UPDATE {}keys SET holder = 'bob' WHERE holder = 'ann'"
    if isinstance(at, Path):
        with closing(sqlite3.connect(at)) as connection, connection:
            connection.execute(change.format(""))
    else:
        with psycopg.connect(at) as database:
            database.execute(change.format("storekeeper_keyring.").encode())
    async with AsyncKeyRing(at, KEYS) as ring:
        with pytest.raises(SealedValueError, match="key ring was changed"):
            await ring.open(sealed, place=PLACE, row=ROW, person="ann")


async def test_a_server_that_does_not_answer_is_said_without_the_password() -> None:
    async with AsyncKeyRing("postgresql://u:geheim@127.0.0.1:1/x", KEYS) as ring:
        with pytest.raises(KeyRingError) as refused:
            await ring.seal("x", place=PLACE, row=ROW)
        assert "geheim" not in str(refused.value)
        assert refused.value.retryable
    with pytest.raises(SettingsError):
        AsyncKeyRing("mysql://x", KEYS)


async def test_a_lost_connection_is_replaced(postgres_url: str) -> None:
    async with AsyncKeyRing(postgres_url, KEYS) as ring:
        await ring.seal("x", place=PLACE, row=ROW, person="ann")
        with psycopg.connect(postgres_url, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        assert await ring.seal("x", place=PLACE, row=ROW, person="bob")


async def test_a_value_is_stale_from_the_rotation_on_and_asking_makes_no_key(ring: AsyncKeyRing) -> None:
    sealed = await ring.seal("x", place=PLACE, row=ROW, person="ann")
    assert not await ring.is_stale(sealed, place=PLACE, row=ROW, person="ann")
    await ring.rotate()
    keys = (await ring.status()).keys
    assert await ring.is_stale(sealed, place=PLACE, row=ROW, person="ann")
    assert (await ring.status()).keys == keys
    anew = await ring.reseal(sealed, place=PLACE, row=ROW, person="ann")
    assert not await ring.is_stale(anew, place=PLACE, row=ROW, person="ann")
    assert await ring.is_stale(sealed, place=PLACE, row=ROW, person="ann")
    with pytest.raises(SealedValueError):
        await ring.is_stale("plain", place=PLACE, row=ROW, person="ann")
