"""What each server is started with: command lines, configuration and the way to stop it, as data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGQUIT, SIGTERM, Signals

POSTGRES = "postgres"
REDIS = "redis"
MONGO = "mongo"
SERVERS = (POSTGRES, REDIS, MONGO)

USER = "storekeeper"
DATABASE = "storekeeper"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one server lives and dies.

    `death_signal` reaches it when its supervisor is gone. `stop` is a ladder: each signal with the seconds it is given
    before the next; SIGKILL follows the last.
    """

    name: str
    death_signal: Signals
    stop: tuple[tuple[Signals, float], ...]


RECIPES: Mapping[str, Recipe] = {
    # SIGQUIT makes the postmaster take all of its backends along, which SIGKILL would leave to notice by themselves.
    # As an orderly stop SIGINT comes first; it has been seen to hang during a recovery, hence the ladder.
    POSTGRES: Recipe(POSTGRES, SIGQUIT, ((SIGINT, 30.0), (SIGQUIT, 10.0))),
    # What was acknowledged was written to the append-only file before, which a SIGKILL does not undo.
    REDIS: Recipe(REDIS, SIGKILL, ((SIGTERM, 30.0),)),
    # Commits are synced one by one, so SIGKILL loses nothing that was acknowledged.
    MONGO: Recipe(MONGO, SIGKILL, ((SIGTERM, 15.0),)),
}


def initdb_argv(initdb: Path, data: Path, password_file: Path) -> list[str]:
    """Makes a cluster whose superuser is `storekeeper`:

    UTF-8, one collation on every machine, checksums, passwords everywhere.
    """
    return [
        str(initdb),
        f"--pgdata={data}",
        f"--username={USER}",
        f"--pwfile={password_file}",
        "--auth-local=scram-sha-256",
        "--auth-host=scram-sha-256",
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--locale=C",
        "--data-checksums",
        "--no-instructions",
        "--set=dynamic_shared_memory_type=sysv",
    ]


def postgres_argv(postgres: Path, data: Path, sockets: Path) -> list[str]:
    return [
        str(postgres),
        "-D",
        str(data),
        "-c",
        "listen_addresses=",
        "-c",
        f"unix_socket_directories={sockets}",
        "-c",
        "unix_socket_permissions=0700",
    ]


def postgres_conf(sizes: Mapping[str, str]) -> str:
    """The settings of the embedded cluster. postgresql.conf includes this file first, so that an own line there, or
    ALTER SYSTEM, wins.
    """
    fixed = {
        # WAL complete enough for base backups, incremental ones and streaming
        "wal_level": "replica",
        "summarize_wal": "on",
        "max_wal_senders": "10",
        "max_replication_slots": "10",
        "checkpoint_timeout": "10min",
        "password_encryption": "scram-sha-256",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "datestyle": "iso, mdy",
        "lc_messages": "C",
        # not files in /dev/shm: those outlive a killed server, and a container has 64 MB of them
        "dynamic_shared_memory_type": "sysv",
        # one transaction may drop or inspect hundreds of partitions
        "max_locks_per_transaction": "256",
        "random_page_cost": "1.1",
        "jit": "off",
        "logging_collector": "off",
        "log_destination": "stderr",
        "log_line_prefix": "%m [%p] %q%u@%d %a ",
        "log_lock_waits": "on",
    }
    lines = [f"{name} = '{value}'" for name, value in {**fixed, **sizes}.items()]
    return (
        "# written by storekeeper at each start: own settings belong into postgresql.conf, below its include line\n"
        + "\n".join(lines)
        + "\n"
    )


def with_include(postgresql_conf: str, include: str) -> str:
    """postgresql.conf with our settings included before its first line, so that whatever else stands there wins.

    Unchanged where it does so already.
    """
    line = f"include_if_exists = '{include}'"
    return postgresql_conf if line in postgresql_conf.splitlines() else f"{line}\n{postgresql_conf}"


def redis_argv(server: Path, conf: Path) -> list[str]:
    return [str(server), str(conf)]


def redis_conf(*, data: Path, socket: Path, acl_file: Path) -> str:
    """Reachable by its socket alone; an append-only file synced each second and stamped with times, and a snapshot each
    hour.
    """
    settings = (
        ("port", "0"),
        ("unixsocket", _redis_quoted(socket)),
        ("unixsocketperm", "700"),
        ("dir", _redis_quoted(data)),
        ("aclfile", _redis_quoted(acl_file)),
        ("daemonize", "no"),
        ("logfile", '""'),
        ("appendonly", "yes"),
        ("appendfsync", "everysec"),
        ("aof-timestamp-enabled", "yes"),
        ("save", "3600 1"),
        # A last snapshot adds nothing to the append-only file, takes long, and if it failed the server would not stop.
        ("shutdown-on-sigterm", "nosave now force"),
    )
    return "".join(f"{name} {value}\n" for name, value in settings)


def redis_acl(present: str, password: str) -> str:
    """The ACL file with our password as the default user's only one.

    Other users in it stay. The file holds a digest, never the password.
    """
    digest = hashlib.sha256(password.encode()).hexdigest()
    others = [line for line in present.splitlines() if line.strip() and not line.startswith("user default ")]
    return "\n".join([f"user default on #{digest} ~* &* +@all", *others]) + "\n"


def mongo_argv(server: Path, *, conf: Path, data: Path, port: int, auth: bool) -> list[str]:
    """The command line of secantusd-py.

    An own (empty) configuration file keeps it from finding one in the user's home.
    """
    return [
        str(server),
        *("--config", str(conf)),
        *("--host", "127.0.0.1"),
        *("--port", str(port)),
        *("--storage-path", str(data)),
        *("--cache-size", "256M"),
        "--sync-on-commit",
        *(("--auth",) if auth else ()),
    ]


def server_environment(inherited: Mapping[str, str], home: Path) -> dict[str, str]:
    """The environment of a server: what a program needs to run, and nothing that configures it behind our back or that
    it must not know.
    """
    passed = {"PATH", "LD_LIBRARY_PATH", "LD_PRELOAD", "TMPDIR"}
    environment = {
        name: value
        for name, value in inherited.items()
        if name in passed or "FAKETIME" in name or "FAKE_MONOTONIC" in name
    }
    return {**environment, "HOME": str(home), "LANG": "C.UTF-8", "TZ": "UTC"}


def _redis_quoted(path: Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
