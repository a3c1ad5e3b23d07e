"""Become a server: give up root, tie this process's life to its owner's, then exec the program.

Run by path in a fresh interpreter (`python -I -S launch.py ...`), never imported by the rest. A process of its own
does this instead of `preexec_fn`, which may deadlock in a child forked from a process with threads.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """`OWNER_PID DEATH_SIGNAL UID GID PROGRAM [ARGUMENT ...]`; UID and GID -1 keep the caller's."""
    owner, death_signal, uid, gid = (int(argument) for argument in arguments[:4])
    command = arguments[4:]
    # A shell that started the owner in the background may have left these ignored, and exec keeps that.
    for name in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(name, signal.SIG_DFL)
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    os.umask(0o077)
    # After setuid: the kernel forgets the death signal when the user changes.
    if sys.platform == "linux":
        _die_with_owner(death_signal)
    if os.getppid() != owner:
        sys.exit("the owner ended before the server began")
    os.execv(command[0], command)  # noqa: S606


def _die_with_owner(death_signal: int) -> None:
    if ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        sys.exit("the kernel refused the death signal")


if __name__ == "__main__":
    main(sys.argv[1:])
