"""Places that hold the files of the cold tier: a directory, or a bucket of an S3."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from storekeeper.errors import ArchiveError, ArchiveFullError, DamagedArchiveError, SettingsError

if TYPE_CHECKING:
    from storekeeper.settings import S3

_HINT: Final = "give the place that was archived to, or restore the file from a copy"


#: The head of the names of what is written to find whether anything can be.
_PROBE: Final = "_probe"


class Place(Protocol):
    """Keeps objects by their path below it. Raises ArchiveError and what is under it."""

    @property
    def shown(self) -> str:
        """What messages and the ledger call it; without secrets."""
        ...

    def check(self) -> None:
        """Writes something, reads it and takes it away again."""
        ...

    def put(self, path: str, content: memoryview) -> None:
        """Whole and durable when it returns, or not there. Nothing is at that path yet."""
        ...

    def get(self, path: str) -> Any:
        """The content as a pyarrow buffer. Raises DamagedArchiveError where there is none."""
        ...

    def names(self, folder: str) -> list[str]:
        """What lies in a folder, in order; nothing where there is no such folder."""
        ...

    def remove(self, path: str) -> None:
        """Takes it away, half written or whole; nothing happens where it is gone already."""
        ...


class Directory:
    """A directory on a file system, for its owner alone: 0700, files 0600."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    @property
    def shown(self) -> str:
        return str(self._root)

    def check(self) -> None:
        _probe(self)

    def put(self, path: str, content: memoryview) -> None:
        target = self._root / path
        with _said("write archive", str(target)):
            self._make(target.parent)
            partial = _partial(target)
            try:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                with os.fdopen(os.open(partial, flags, 0o600), "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                partial.rename(target)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
            _sync(target.parent)

    def get(self, path: str) -> Any:
        import pyarrow as pa

        target = self._root / path
        with _said("read archive", str(target)):
            # not mapped: a file that is cut short under a mapping ends the process
            return pa.py_buffer(target.read_bytes())

    def names(self, folder: str) -> list[str]:
        with _said("read archive", str(self._root / folder)):
            try:
                return sorted(entry.name for entry in os.scandir(self._root / folder))
            except FileNotFoundError:
                return []

    def remove(self, path: str) -> None:
        with _said("clean up archive", str(self._root / path)):
            target = self._root / path
            for one in (_partial(target), target):
                one.unlink(missing_ok=True)

    def _make(self, folder: Path) -> None:
        """Makes what is missing of a path, each folder durable in its parent."""
        missing = []
        while not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        for one in reversed(missing):
            try:
                one.mkdir(mode=0o700, exist_ok=True)
            except FileExistsError as error:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(one)) from error
            _sync(one.parent)


class Bucket:
    """A bucket of an S3, below a prefix."""

    def __init__(self, url: str, s3: S3) -> None:
        """`url` is s3://BUCKET/PREFIX. Raises SettingsError where the client is not installed or refuses that."""
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        self._shown = url.rstrip("/")
        try:
            from obstore.store import S3Store
        except ImportError as error:
            raise SettingsError(
                "an S3 needs the package obstore",
                operation="open archive",
                target=self._shown,
                hint="pip install 'storekeeper[s3]'",
            ) from error
        given: Any = {
            "endpoint": s3.endpoint,
            "region": s3.region,
            "access_key_id": s3.access_key_id and s3.access_key_id.get_secret_value(),
            "secret_access_key": s3.secret_access_key and s3.secret_access_key.get_secret_value(),
            "session_token": s3.session_token and s3.session_token.get_secret_value(),
        }
        given = {name: value for name, value in given.items() if value}
        try:
            self._store: Any = S3Store(
                bucket,
                prefix=prefix or None,
                client_options={"allow_http": True} if s3.allow_http else {},
                config=given,
            )
        except Exception as error:  # its errors share no class of their own
            raise SettingsError(type(error).__name__, operation="open archive", target=self._shown) from error

    @property
    def shown(self) -> str:
        return self._shown

    def check(self) -> None:
        _probe(self)

    def put(self, path: str, content: memoryview) -> None:
        import obstore

        unsigned = content.cast("B")  # as the client takes it
        with _said("write archive", f"{self._shown}/{path}"):
            try:
                # No name is given twice, so this only tells of what cannot be. Some stores refuse the condition, some
                # ignore it: nothing rests on it.
                obstore.put(self._store, path, unsigned, mode="create", use_multipart=False)
            except NotImplementedError:
                obstore.put(self._store, path, unsigned)

    def get(self, path: str) -> Any:
        import obstore
        import pyarrow as pa

        with _said("read archive", f"{self._shown}/{path}"):
            return pa.py_buffer(obstore.get(self._store, path).bytes())

    def names(self, folder: str) -> list[str]:
        import obstore

        with _said("read archive", f"{self._shown}/{folder}"):
            found = obstore.list_with_delimiter(self._store, f"{folder}/")
            return sorted(entry["path"].rpartition("/")[2] for entry in found["objects"])

    def remove(self, path: str) -> None:
        import obstore

        with _said("clean up archive", f"{self._shown}/{path}"):
            try:
                obstore.delete(self._store, path)
            except FileNotFoundError:
                return


def place_of(archive: Path | str, s3: S3) -> Place:
    """The place that the setting names."""
    return Bucket(archive, s3) if isinstance(archive, str) else Directory(archive)


@contextmanager
def _said(operation: str, target: str) -> Iterator[None]:
    """Failures of a file system or of an S3 as ours."""
    try:
        yield
    except FileNotFoundError as error:
        raise DamagedArchiveError("is missing", operation=operation, target=target, hint=_HINT) from error
    except FileExistsError as error:
        raise ArchiveError("is there already, and is not written over", operation=operation, target=target) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ArchiveFullError(
                error.strerror or "", operation=operation, target=target, hint="make room; nothing was dropped"
            ) from error
        raise ArchiveError(
            error.strerror or str(error), operation=operation, target=target, hint="nothing was dropped"
        ) from error
    except ArchiveError:
        raise
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "obstore":
            raise
        # the text of its errors repeats the request: the class says enough, and holds no key
        raise ArchiveError(
            _plainly(error), operation=operation, target=target, hint="is the bucket there, and the key allowed to it?"
        ) from error


def _probe(place: Place) -> None:
    name = f"{_PROBE}-{secrets.token_hex(8)}"  # another process may try at the same time
    content = b"storekeeper"
    place.put(name, memoryview(content))
    try:
        if bytes(place.get(name)) != content:
            raise ArchiveError(
                "reads back other than was written",
                operation="write archive",
                target=f"{place.shown}/{name}",
                hint="nothing was dropped",
            )
    finally:
        place.remove(name)


def _partial(target: Path) -> Path:
    """Where a file is written before it has its name."""
    return target.with_name(f".{target.name}.partial")


def _plainly(error: Exception) -> str:
    text = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
