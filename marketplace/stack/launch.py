"""Become another program that dies with the supervisor, even when the supervisor is killed.

Run as a script with the standard library alone: `python -I -S launch.py PARENT -- program …`. On Linux the kernel
keeps the promise; elsewhere the programs end when the supervisor tells them to.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Bind this process's life to the parent's and turn into the program."""
    parent, program = int(arguments[0]), arguments[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # it died before the promise was made
        sys.exit(1)
    os.execv(program[0], program)


if __name__ == "__main__":
    main(sys.argv[1:])
