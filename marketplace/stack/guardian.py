"""Keep one PostgreSQL alive for as long as somebody uses it, and not a second longer.

Run as a script by `marketplace.embedded_postgres`, with the standard library alone (`python -I -S guardian.py …`):

    guardian.py --uid N --gid N --users FILE --server FILE [--throw-away DIRECTORY] -- postgres -D …

Everyone who uses the server holds a shared lock on `--users`. The kernel lets such a lock go when its holder dies,
however it dies, so when the guardian is granted the exclusive one nobody is left and the server is stopped. PostgreSQL
itself, with all its children, holds `--server`: whoever can lock that file knows, without trusting any process number,
that no server is alive.
"""

import argparse
import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import sys
import time
from types import FrameType
from typing import NoReturn

PR_SET_PDEATHSIG = 1
FAST, IMMEDIATE = signal.SIGINT, signal.SIGQUIT


class ServerEnded(Exception):
    """The server is gone; nothing is left to guard."""


class StopAsked(Exception):
    """Somebody asked the guardian itself to stop the server."""


def die_with_parent(deadly: int) -> None:
    """Ask the kernel to send `deadly` to this process when its parent dies (Linux; elsewhere does nothing)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(deadly), 0, 0, 0)


def become(uid: int, gid: int) -> None:
    """Give up root for good."""
    if os.geteuid() == 0 and uid != 0:
        os.setgroups([gid])
        os.setgid(gid)
        os.setuid(uid)


def hold_server_lock(path: str) -> int:
    """Take the lock the server will own; a probe may hold it for an instant, so try for a while."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    for _ in range(200):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
        time.sleep(0.01)
    sys.exit("another PostgreSQL owns this directory")


def leave_parent() -> None:
    """Go on as a process of its own; whoever started us is told that the lock is held by our first process ending."""
    if os.fork():
        os._exit(0)
    os.setsid()


def start_server(command: list[str], options: argparse.Namespace, lock: int) -> int:
    """Fork and become PostgreSQL in the child; returns its process number."""
    pid = os.fork()
    if pid == 0:
        become_server(command, options, lock)
    os.close(lock)
    return pid


def become_server(command: list[str], options: argparse.Namespace, lock: int) -> NoReturn:
    """Be PostgreSQL from now on, as its user and holding its lock."""
    try:
        os.set_inheritable(lock, True)
        become(options.uid, options.gid)
        if options.throw_away:
            die_with_parent(IMMEDIATE)
        os.execv(command[0], command)
    except OSError as error:
        print(f"{command[0]}: {error}", file=sys.stderr, flush=True)
    os._exit(126)


def stop_server(pid: int, first: int) -> None:
    """Stop the server: politely, then at once, then by force."""
    for wish, patience in ((first, 20.0), (IMMEDIATE, 10.0), (signal.SIGKILL, 10.0)):
        os.kill(pid, wish)
        until = time.monotonic() + patience
        while time.monotonic() < until:
            if os.waitpid(pid, os.WNOHANG)[0]:
                return
            time.sleep(0.01)


def on_child(_number: int, _frame: FrameType | None) -> None:
    """Note that the server ended."""
    raise ServerEnded


def on_stop(_number: int, _frame: FrameType | None) -> None:
    """Note that somebody wants the server to end."""
    raise StopAsked


def main(arguments: list[str]) -> int:
    """Start the server, wait until nobody uses it, stop it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--uid", type=int, required=True)
    parser.add_argument("--gid", type=int, required=True)
    parser.add_argument("--users", required=True)
    parser.add_argument("--server", required=True)
    parser.add_argument("--throw-away")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(arguments)
    users = os.open(options.users, os.O_RDWR | os.O_CREAT, 0o600)
    lock = hold_server_lock(options.server)
    leave_parent()
    pid = start_server(options.command, options, lock)
    try:
        signal.signal(signal.SIGCHLD, on_child)
        signal.signal(signal.SIGTERM, on_stop)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        if os.waitpid(pid, os.WNOHANG)[0]:
            raise ServerEnded
        fcntl.flock(users, fcntl.LOCK_EX)
        raise StopAsked
    except ServerEnded:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    except StopAsked:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            stop_server(pid, IMMEDIATE if options.throw_away else FAST)
    if options.throw_away:
        fcntl.flock(users, fcntl.LOCK_EX)
        shutil.rmtree(options.throw_away, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
