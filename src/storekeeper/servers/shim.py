"""Becomes a server: the last steps between fork and exec, in a process of its own.

Run by its path with `python -I -S` (nothing is imported but the standard library, and nothing found in a working
directory):

    shim.py PARENT SIGNAL IDENTITY NEEDED... -- PROGRAM ARGUMENT...

PARENT is the process id without which the program shall not live, SIGNAL what it gets when that process is gone.
IDENTITY is `same`, `mapped:ID` (a user namespace in which the caller's id appears as ID; files stay the caller's) or
`user:UID:GID` (another user, who keeps root's right to pass any folder). NEEDED are directories that the program must
be able to write to under that identity.

This is not done between fork and exec in the caller, which may have threads by then.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

CANNOT = 126
_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
_PR_SET_SECUREBITS = 28
_SECBIT_NO_SETUID_FIXUP = 1 << 2
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE = 1


def main(arguments: list[str]) -> None:
    parent, death_signal, identity = arguments[:3]
    separator = arguments.index("--")
    needed, argv = arguments[3:separator], arguments[separator + 1 :]
    libc = ctypes.CDLL(None, use_errno=True)
    _become(identity, libc)
    # After the change of identity, which clears it.
    if libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0) != 0:
        _fail("prctl(PR_SET_PDEATHSIG)")
    # The parent may have died before the kernel knew that we want to hear of it.
    if os.getppid() != int(parent):
        raise SystemExit(CANNOT)
    for directory in needed:
        if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
            sys.stderr.write(f"{directory} cannot be reached or written as {identity}\n")
            raise SystemExit(CANNOT)
    os.umask(0o077)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    try:
        os.execv(argv[0], argv)  # noqa: S606  the point of this file
    except OSError as error:
        sys.stderr.write(f"{argv[0]} cannot be run as {identity}: {error.strerror}\n")
        raise SystemExit(CANNOT) from error


def _become(identity: str, libc: ctypes.CDLL) -> None:
    kind, _, rest = identity.partition(":")
    if kind == "mapped":
        uid, gid = os.geteuid(), os.getegid()
        if libc.unshare(_CLONE_NEWUSER) != 0:
            _fail("unshare(CLONE_NEWUSER)")
        for name, text in (("setgroups", "deny"), ("uid_map", f"{rest} {uid} 1"), ("gid_map", f"{rest} {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123  importing pathlib would double the run time
                file.write(text)
    elif kind == "user":
        uid, gid = (int(part) for part in rest.split(":"))
        os.setgroups([])
        os.setgid(gid)
        # Changing the user takes no capability then, nor does access(2), by which PostgreSQL finds its own programs.
        if libc.prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0) != 0:
            _fail("prctl(PR_SET_SECUREBITS)")
        os.setuid(uid)
        # Of all that root may do, only this stays, also across exec: the program and its data may lie below /root.
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
        kept = 1 << _CAP_DAC_OVERRIDE
        effective_permitted_inheritable = (ctypes.c_uint32 * 6)(kept, kept, kept, 0, 0, 0)
        if libc.capset(header, effective_permitted_inheritable) != 0:
            _fail("capset")
        if libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0) != 0:
            _fail("prctl(PR_CAP_AMBIENT)")


def _fail(call: str) -> None:
    sys.stderr.write(f"{call}: {os.strerror(ctypes.get_errno())}\n")
    raise SystemExit(CANNOT)


if __name__ == "__main__":
    main(sys.argv[1:])
