"""As whom PostgreSQL runs: it refuses to be root, so root needs a way around that keeps any path usable."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL

from storekeeper.errors import ServerStartError
from storekeeper.servers.binaries import Program
from storekeeper.servers.launcher import SAME_IDENTITY, shim_argv

MAPPED = "mapped:65534"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who runs a program (as the shim is told), and whose its files must be."""

    shim_argument: str
    uid: int
    gid: int


def postgres_identity(program: Program, *, needed: Sequence[Path]) -> Identity:
    """The best identity that a probe shows to work. Raises ServerStartError.

    Ordinary users run it as themselves. Root runs it in a user namespace in which root looks like another user (files
    stay root's); where that is forbidden, as in many containers, as `nobody` with the right to pass any folder.
    `needed` are folders of ours in which the program will work.
    """
    uid, gid = os.geteuid(), os.getegid()
    if uid != 0 and _has_name(uid):
        return Identity(SAME_IDENTITY, uid, gid)
    refusals = [_refusal(MAPPED, program.path, needed)]
    if refusals[-1] is None:
        return Identity(MAPPED, uid, gid)
    if uid == 0:
        nobody = pwd.getpwnam("nobody")
        as_nobody = f"user:{nobody.pw_uid}:{nobody.pw_gid}"
        refusals.append(_refusal(as_nobody, program.path, needed))
        if refusals[-1] is None:
            return Identity(as_nobody, nobody.pw_uid, nobody.pw_gid)
    who = "as root" if uid == 0 else f"under the user id {uid}, which has no name"
    raise ServerStartError(
        f"PostgreSQL refuses to run {who}, and there is no way around: " + "; ".join(filter(None, refusals)),
        operation="start",
        target="postgres",
        hint="run as an ordinary user, or name a server by STOREKEEPER_POSTGRES_URL",
    )


def give(tree: Path, identity: Identity) -> None:
    """Makes a data directory the identity's, where it is not yet."""
    if os.geteuid() != 0 or tree.stat().st_uid == identity.uid:
        return
    for parent, _, files in os.walk(tree, topdown=False):
        # the top comes last: it shows, after an interruption, that there is something left to do
        for file in files:
            os.chown(Path(parent) / file, identity.uid, identity.gid, follow_symlinks=False)
        os.chown(parent, identity.uid, identity.gid)


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _refusal(identity: str, program: Path, needed: Sequence[Path]) -> str | None:
    """Why the program does not run under that identity; None if it does."""
    argv = shim_argv([str(program), "--version"], death_signal=SIGKILL, identity=identity, needed=needed)
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False, cwd="/")
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    if done.returncode == 0:
        return None
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"exit code {done.returncode} as {identity}"
