"""The master key of a stack: made at its first start, beside its data and outside of the repository of its backups."""

from __future__ import annotations

import fcntl
import os
import secrets
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storekeeper.errors import ServerError
from storekeeper.servers.layout import Layout
from storekeeper.servers.state import write_private


def make_master_key(layout: Layout) -> None:
    """Makes the master key where there is none yet; never one beside a key ring, which needs its own."""
    if not layout.master_key_file.exists() and not layout.keyring_file.exists():
        _write(layout, (_new(),))


def master_keys(directory: Path) -> tuple[str, ...]:
    """The master key of the stack on a directory, and after it those of a rotation that did not come to its end.

    Raises ServerError where the file cannot be read.
    """
    path = Layout(directory).master_key_file
    try:
        found = tuple(path.read_text().split())
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, str(error)) from error
    if not found:
        raise _unreadable(path, "it is empty")
    return found


@contextmanager
def changed_master_key(directory: Path) -> Iterator[None]:
    """Puts a new master key before the ones there are, and takes those away when the block has ended well.

    Whatever happens in between, every key that something may be wrapped by is in the file. One at a time: a second
    waits for the first.
    """
    layout = Layout(directory)
    with layout.master_key_file.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        keys = (_new(), *master_keys(directory))
        _write(layout, keys)
        yield
        _write(layout, keys[:1])


def _new() -> str:
    return b64encode(secrets.token_bytes(32)).decode()


def _write(layout: Layout, keys: tuple[str, ...]) -> None:
    write_private(layout.master_key_file, "\n".join(keys) + "\n")
    # the name as well as the content: what is wrapped next has no other key
    folder = os.open(layout.directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _unreadable(path: Path, cause: str) -> ServerError:
    return ServerError(
        cause,
        operation="read the master key",
        target=str(path),
        hint="put back your copy of the file: what was sealed opens with it alone",
    )
