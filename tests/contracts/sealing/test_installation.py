"""Where an installation's key ring is, and what unlocks it: settings, or the stack that runs in their directory."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from command_line import CommandLine
from storekeeper import connect
from storekeeper.errors import SettingsError
from storekeeper.sealing import new_master_key
from storekeeper.servers import RunningStack

PLACE = {"place": "deals.chat_messages.content", "row": "11"}


def test_a_stack_has_a_master_key_and_a_running_platform_follows_its_rotation(
    stack: RunningStack, tmp_path: Path
) -> None:
    file = stack.directory / "master.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (first,) = file.read_text().split()
    with connect(stores=(), directory=stack.directory) as platform:
        sealed = platform.keyring.seal("x", **PLACE, person="ann")
        commands = CommandLine(tmp_path, {"STOREKEEPER_DIRECTORY": str(stack.directory)})
        answer = commands("keys", "rotate", "--json").json
        assert answer["wrapped"] >= 1
        (second,) = file.read_text().split()
        assert second != first
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        later = platform.keyring.seal("y", **PLACE, person="bob")
        assert platform.keyring.open(later, **PLACE, person="bob") == "y"
        assert platform.keyring.open(sealed, **PLACE, person="ann") == "x"
    assert (stack.directory / "keyring.sqlite").exists()
    with connect(stores=(), directory=stack.directory) as platform:
        assert platform.keyring.open(sealed, **PLACE, person="ann") == "x"
        assert platform.keyring.forget("ann") == 1


async def test_both_platforms_have_the_ring(tmp_path: Path) -> None:
    from storekeeper import connect_async

    settings: dict[str, Any] = {"directory": tmp_path, "master_key": new_master_key()}
    async with connect_async(stores=(), **settings) as platform:
        sealed = await platform.keyring.seal("x", **PLACE)
        assert platform.keyring is platform.keyring
    with connect(stores=(), **settings) as other:
        assert other.keyring.open(sealed, **PLACE) == "x"


def test_without_a_master_key_it_is_said_what_to_do(tmp_path: Path) -> None:
    with connect(stores=(), directory=tmp_path) as platform:
        with pytest.raises(SettingsError, match="no master key is set") as refused:
            platform.keyring.seal("x", **PLACE)
        assert "STOREKEEPER_MASTER_KEY" in refused.value.hint


@pytest.mark.parametrize("store", ["postgres_url", "timescale_url", "postgres_direct_url", "timescale_jobs_url"])
def test_a_ring_on_a_stores_server_is_refused(tmp_path: Path, store: str) -> None:
    urls: dict[str, Any] = {
        "keyring_url": "postgresql://ring:x@db.example/keys",
        store: "postgresql://app:y@DB.example:5432/main",
    }
    with connect(stores=(), directory=tmp_path, master_key=new_master_key(), **urls) as platform:
        with pytest.raises(SettingsError, match="would be backed up with it"):
            _ = platform.keyring


def test_a_ring_in_two_places_is_refused(tmp_path: Path) -> None:
    with connect(stores=(), keyring=tmp_path / "ring", keyring_url="postgresql://ring:x@other/keys") as platform:
        with pytest.raises(SettingsError, match="both given"):
            _ = platform.keyring
