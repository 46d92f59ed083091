"""Run one function on somebody else's bytes in a process of its own, with little memory, little time and
no secrets.

A parser written in C can hang, or eat memory, on a file made for it. A web worker must survive that:
the work is done by a fresh interpreter that inherits no environment and no open file, may use only so much
address space and processor time, and is killed by the wall clock. The answer comes back as JSON.
"""

import importlib
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marketplace.kernel.errors import InvalidInput, MarketplaceError, Problem
from marketplace.kernel.words import N_

ROOT = Path(__file__).resolve().parents[1]
BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from marketplace import sandboxed; sandboxed.serve(*sys.argv[2:])"
ANSWER_BYTES_MAX = 40 * 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """What one guarded run may use: address space in bytes, processor and wall-clock seconds."""

    memory_bytes: int = 1024 * 1024 * 1024
    cpu_seconds: int = 10
    wall_seconds: int = 20


def run_sandboxed(
    module: str,
    function: str,
    payload: bytes,
    options: Mapping[str, object] | None = None,
    limits: Limits | None = None,
) -> Any:
    """Return `module.function(payload, **options)`, computed in a fresh limited process.

    The function takes bytes and JSON-simple options and returns something JSON can carry.

    Raises: the InvalidInput the function raised; InvalidInput("too_costly") when a limit was hit or the
    process died.
    """
    limits = limits or Limits()
    header = json.dumps({"options": dict(options or {}), "size": len(payload)}).encode() + b"\n"
    command = [
        sys.executable,
        "-I",
        "-c",
        BOOT,
        str(ROOT),
        module,
        function,
        str(limits.memory_bytes),
        str(limits.cpu_seconds),
    ]
    environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
        close_fds=True,
    )
    try:
        answer, _ = process.communicate(header + payload, timeout=limits.wall_seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise _too_costly() from None
    return _unpacked(answer, process.returncode)


def _too_costly() -> InvalidInput:
    words = N_("This file takes more time or memory to read than an honest document does.")
    return InvalidInput("too_costly", words)


def _unpacked(answer: bytes, return_code: int) -> Any:
    try:
        said = json.loads(answer) if return_code == 0 and len(answer) <= ANSWER_BYTES_MAX else None
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise _too_costly()
    if "refused" in said:
        refused = said["refused"]
        problems = tuple(Problem(**problem) for problem in refused["problems"])
        raise InvalidInput(refused["code"], refused["words"], refused["params"], problems)
    return said["value"]


def serve(module: str, function: str, memory_bytes: str, cpu_seconds: str) -> None:
    """Be the other side: limit this process, read the payload, call the function, print the answer, exit."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (int(cpu_seconds), int(cpu_seconds) + 1))
    resource.setrlimit(resource.RLIMIT_AS, (int(memory_bytes), int(memory_bytes)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    header = json.loads(sys.stdin.buffer.readline())
    payload = sys.stdin.buffer.read(header["size"])
    try:
        work = getattr(importlib.import_module(module), function)
        said: dict[str, Any] = {"value": work(payload, **header["options"])}
    except MarketplaceError as refused:
        problems = [
            {"field": p.field, "rule": p.rule, "words": p.words, "params": dict(p.params)} for p in refused.problems
        ]
        said = {
            "refused": {
                "code": refused.code,
                "words": refused.words,
                "params": dict(refused.params),
                "problems": problems,
            }
        }
    except MemoryError:
        os._exit(3)
    sys.stdout.write(json.dumps(said))
    sys.stdout.flush()
    os._exit(0)
