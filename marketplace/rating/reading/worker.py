"""One process that reads accounts and can do nothing else: no file, no network, little memory, little time each.

Started with a fresh interpreter, no environment and no open file but its pipe; then it gives up the right to open any.
It is sent chunks of documents, still packed, and answers a line of JSON each. A document that costs too much ends the
process, on which the one who sent it takes another. Answers go out some at a time, since every write wakes the one who
waits for them; on demand one by one, which tells on what document a process ended.
"""

import codecs
import io
import json
import os
import resource
import signal
import struct
import sys
import time
from typing import Any, BinaryIO

from marketplace.kernel.errors import InvalidInput
from marketplace.rating.ixbrl import ENCODINGS
from marketplace.rating.reading.record import checked, record_of, refused_record, sheets_of, unpacked

MEMORY_BYTES = 192 * 1024 * 1024
CPU_SECONDS = 2.0
# What may be asked for: the line of `bin/market filings read`, or what a model learns from.
LINES, SHEETS = "lines", "sheets"
LENGTH = struct.Struct("<I")
BUFFER_BYTES, WAIT_SECONDS = 1 << 16, 0.05


def serve() -> None:
    """Answer chunks until the pipe is closed."""
    _give_up_rights()
    source = sys.stdin.buffer
    answers = io.BufferedWriter(io.FileIO(sys.stdout.fileno(), "wb", closefd=False), BUFFER_BYTES)
    sent = time.monotonic()
    while (chunk := receive(source)) is not None:
        for order, content in chunk:
            signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
            answer = json.dumps(_answer(order, content), ensure_ascii=False).encode("utf-8", "replace")
            signal.setitimer(signal.ITIMER_PROF, 0)
            answers.write(LENGTH.pack(len(answer)) + answer)
            if order["at_once"] or time.monotonic() - sent > WAIT_SECONDS:
                answers.flush()
                sent = time.monotonic()
        answers.flush()
        del chunk
    os._exit(0)


def receive(source: BinaryIO) -> list[tuple[dict[str, Any], bytes]] | None:
    """Return the documents of the next chunk with their orders, or None when the pipe was closed."""
    start = source.read(LENGTH.size)
    if len(start) < LENGTH.size:
        return None
    orders = json.loads(source.read(LENGTH.unpack(start)[0]))
    return [(order, source.read(order["bytes"])) for order in orders]


def _give_up_rights() -> None:
    for encoding in ENCODINGS:
        codecs.lookup(encoding)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    # Neither a file nor a socket can be opened from here on.
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))


def _answer(order: dict[str, Any], content: bytes) -> dict[str, Any]:
    label = order["file"]
    try:
        if order["packing"] == "deflated":
            content = unpacked(content, order["size"], order["crc"])
        elif order["packing"] == "stored":
            content = checked(content, order["size"], order["crc"])
    except InvalidInput as refusal:
        return refused_record(label, refusal.problems)
    return sheets_of(label, content) if order.get("want") == SHEETS else record_of(label, content)
