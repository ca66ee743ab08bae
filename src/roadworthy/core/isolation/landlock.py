"""Linux Landlock: a process gives up, for itself and all that it starts, the right to write outside some directories."""

from __future__ import annotations

import ctypes
import os
import platform
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
MACHINES = ("x86_64", "aarch64")
ASK_VERSION = 1
PATH_BENEATH = 1
PR_SET_NO_NEW_PRIVS = 38

WRITE_FILE, TRUNCATE, REFER = 1 << 1, 1 << 14, 1 << 13
CONTENT = WRITE_FILE | TRUNCATE
"""What can be done to a file itself; a rule for anything but a directory may hold nothing else."""
ENTRIES = sum(1 << bit for bit in range(4, 13)) | REFER
"""To make and remove files, directories, links, sockets and devices, and to move them between directories."""
OLDEST = 2
"""Version 1 forbids every move between two directories, allowed ones too, which TensorFlow needs when it saves a model."""
TRUNCATE_SINCE = 3

DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx", "/dev/pts", "/proc")
"""Directories that any program writes to and that hold no file of the user. A link in them leads to a file that the rules cover."""


class _Ruleset(ctypes.Structure):
    _fields_ = (("handled_access_fs", ctypes.c_uint64),)


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def version() -> int:
    """The kernel's Landlock version; 0 where it has none that is of use here."""
    if sys.platform != "linux" or platform.machine() not in MACHINES:
        return 0
    try:
        found = _call(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(ASK_VERSION))
    except OSError:
        return 0
    return found if found >= OLDEST else 0


def restrict(writable: Iterable[Path]) -> None:
    """From now on this thread, and every process that it starts, may write below ``writable`` and to devices, and nowhere else.

    Paths that do not exist are passed over. This cannot be undone. Raises OSError where the kernel refuses.
    """
    handled = WRITE_FILE | ENTRIES | (TRUNCATE if version() >= TRUNCATE_SINCE else 0)
    attributes = _Ruleset(handled)
    ruleset = _call(CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(ctypes.sizeof(attributes)), ctypes.c_uint32(0))
    try:
        for path in writable:
            _allow(ruleset, os.fspath(path), handled)
        for device in DEVICES:
            _allow(ruleset, device, handled & CONTENT)
        # Without this only a privileged process may restrict itself: it could fool a setuid program otherwise.
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        _call(RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, access: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rule = _PathBeneath(access if stat.S_ISDIR(os.fstat(handle).st_mode) else access & CONTENT, handle)
        _call(ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(PATH_BENEATH), ctypes.byref(rule), ctypes.c_uint32(0))
    finally:
        os.close(handle)


def _call(number: int, *arguments: object) -> int:
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    found = int(syscall(ctypes.c_long(number), *arguments))
    if found < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return found
