"""keys rotate | status: the key ring, counted and given a new master key; no key is ever shown."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import typer

from storekeeper.cli.audit import noted
from storekeeper.cli.options import CatalogPath, Directory, Json, opened
from storekeeper.cli.output import console, counted, emit_json

if TYPE_CHECKING:
    from storekeeper.sealing import RingStatus

app = typer.Typer(help="The keys that personal data is sealed with.", no_args_is_help=True)


@app.command("status")
def status(directory: Directory = None, catalog: CatalogPath = None, as_json: Json = False) -> None:
    """How many keys the ring holds, for how many people, and which master keys wrap them."""
    with opened(directory, catalog, as_json=as_json, stores=()) as platform:
        found = platform.keyring.status()
        if as_json:
            emit_json(_shown(found))
            return
        if found.master is None:
            console().print("no key was made yet: the first value that is sealed makes one")
            return
        people = "person" if found.people == 1 else "people"
        console().print(f"{counted(found.keys, 'key')} of {found.people:,} {people} and the installation")
        rotated = "never" if found.rotated_at is None else f"{found.rotated_at:%Y-%m-%d %H:%M:%S} UTC"
        console().print(f"master key {found.master} wraps new ones; last rotated: {rotated}")
        for master, count in found.keys_by_master.items():
            if master != found.master:
                console().print(
                    f"{counted(count, 'key')} wrapped by master key {master} still: run `keys rotate` again"
                )


@app.command("rotate")
def rotate(directory: Directory = None, catalog: CatalogPath = None, as_json: Json = False) -> None:
    """Wraps all keys by the new master key, and seals what comes from now on with new keys.

    A running stack gets a new master key by itself. Elsewhere set STOREKEEPER_MASTER_KEY to the new one and
    STOREKEEPER_PREVIOUS_MASTER_KEYS to the old one, for every process, before; afterwards the old one can go.
    """
    with opened(directory, catalog, as_json=as_json, stores=("postgres",)) as platform:
        from storekeeper.platform.ring import uses_stack_key
        from storekeeper.servers.master_key import changed_master_key

        before = platform.keyring.status()
        with ExitStack() as changing:
            if uses_stack_key(platform.settings):
                changing.enter_context(changed_master_key(platform.settings.directory))
            count = platform.keyring.rotate()
        after = platform.keyring.status()
        noted(
            platform,
            "key_rotated",
            subject="storekeeper.keyring",
            subject_id=after.master or "new",
            detail={"before": before.master or "none", "epoch": after.epoch, "wrapped": count},
        )
        if as_json:
            emit_json({"wrapped": count} | _shown(after))
            return
        same = " (the same as before: only what seals is new)" if before.master == after.master else ""
        console().print(f"{counted(count, 'key')} wrapped anew by master key {after.master}{same}")


def _shown(found: RingStatus) -> dict[str, object]:
    fields = {"epoch": found.epoch, "master": found.master, "keys": found.keys, "people": found.people}
    return fields | {"keys_by_master": found.keys_by_master, "rotated_at": found.rotated_at}
