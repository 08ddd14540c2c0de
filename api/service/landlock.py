"""Landlock: a process of a job gives up files, network and signals that it has no use for. Linux 5.13 or newer.

A process under the same user could otherwise read the database and the keys by itself. What the kernel's version of
Landlock does not know stays allowed; without Landlock nothing is restricted, and `restrict` says so.
Constants and structures: linux/landlock.h. Standard library only: it runs before anything else is imported.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Sequence

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
_VERSION, _PATH_BENEATH = 1, 1
# Rights on files, by the version of Landlock that brought them.
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_FILES = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
_TCP = {4: 0b11}  # bind and connect
_SCOPES = {6: 0b11}  # abstract sockets and signals of others
_ONE_FILE = _EXECUTE | _WRITE_FILE | _READ_FILE | 1 << 14 | 1 << 15
READ = _EXECUTE | _READ_FILE | _READ_DIR


def version() -> int:
    """The kernel's version of Landlock; 0 when there is none."""
    if sys.platform != "linux":
        return 0
    found: int = ctypes.CDLL(None).syscall(_CREATE, None, 0, _VERSION)
    return max(0, found)


def restrict(readable: Sequence[str], writable: Sequence[str], listable: Sequence[str] = ()) -> bool:
    """Leaves this process, for good, only these files and folders, and no TCP; whether Landlock is there to do so.

    Of folders in `listable` the names of what is in them can be seen, nothing else. Paths that do not exist are left
    out. OSError when the kernel refuses. No new privileges must be given up before.
    """
    known = version()
    if not known:
        return False
    files, tcp, scopes = (sum(bits for v, bits in table.items() if v <= known) for table in (_FILES, _TCP, _SCOPES))
    rules = struct.pack("=QQQ", files, tcp, scopes)[: 8 if known < 4 else 16 if known < 6 else 24]
    ruleset = _call(_CREATE, rules, len(rules), 0)
    try:
        for path in readable:
            _allow(ruleset, path, READ & files)
        for path in listable:
            _allow(ruleset, path, _READ_DIR)
        for path in writable:
            _allow(ruleset, path, files)
        _call(_RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)
    return True


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not os.path.isdir(path):
            rights &= _ONE_FILE
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, handle), 0)
    finally:
        os.close(handle)


def _call(number: int, *arguments: int | bytes) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    given = [ctypes.c_long(a) if isinstance(a, int) else ctypes.c_char_p(a) for a in arguments]
    found: int = libc.syscall(ctypes.c_long(number), *given)
    if found < 0:
        raise OSError(ctypes.get_errno(), f"Landlock: {os.strerror(ctypes.get_errno())}")
    return found
