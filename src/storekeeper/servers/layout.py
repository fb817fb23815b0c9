"""Where the files of a stack lie: paths below its directory, and nothing but paths."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from storekeeper.servers.recipes import SERVERS


@dataclass(frozen=True, slots=True)
class Layout:
    """The directory of one stack.

    ```
    stack.lock       held by the supervisor as long as it lives
    stack.json       the run: who supervises, since when, which servers; gone when the stack is down
    secrets.json     the generated passwords, mode 0600
    master.key       what wraps the keys of the key ring, mode 0600; keyring.sqlite is that ring, unless settings differ
    versions.json    which program wrote each data directory last
    NAME/            the data of a server          NAME.partial/  one that is being made
    NAME.lock        held by a server and all of its processes as long as one of them lives
    conf/            configuration written anew at each start
    logs/NAME.log    what a server says
    ```
    """

    directory: Path

    @property
    def foreign(self) -> str | None:
        """The name of something in the directory that is no stack's, where no stack was ever in it; None where all is
        well, or the directory is not there yet.
        """
        if not self.directory.is_dir() or self.stack_lock.exists() or self.secrets_file.exists():
            return None
        ours = {*SERVERS, "backups", "conf", "logs", ".gitignore", "keyring.sqlite", "keyring.sqlite-journal"}
        names = sorted(entry.name for entry in self.directory.iterdir())
        return next((name for name in names if name not in ours and not name.startswith("made-by-storekeeper")), None)

    @property
    def stack_lock(self) -> Path:
        return self.directory / "stack.lock"

    @property
    def run_file(self) -> Path:
        return self.directory / "stack.json"

    @property
    def secrets_file(self) -> Path:
        return self.directory / "secrets.json"

    @property
    def master_key_file(self) -> Path:
        return self.directory / "master.key"

    @property
    def keyring_file(self) -> Path:
        return self.directory / "keyring.sqlite"

    @property
    def versions_file(self) -> Path:
        return self.directory / "versions.json"

    @property
    def conf(self) -> Path:
        return self.directory / "conf"

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    @property
    def supervisor_log(self) -> Path:
        return self.logs / "supervisor.log"

    def data(self, server: str) -> Path:
        return self.directory / server

    def partial(self, server: str) -> Path:
        return self.directory / f"{server}.partial"

    def lock(self, server: str) -> Path:
        return self.directory / f"{server}.lock"

    def log(self, server: str) -> Path:
        return self.logs / f"{server}.log"

    @property
    def locks(self) -> tuple[Path, ...]:
        """Held as long as a process of the stack lives."""
        return (self.stack_lock, *(self.lock(server) for server in SERVERS))
