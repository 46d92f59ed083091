"""Live figures over server-sent events: a beat every few seconds with what this reader may see, and nothing else.

A stream beats by the clock, never because something happened: when a rival bids, no reader's stream shows it, neither
in what it says nor in when it says it. Each holds a thread, so their number is bounded, by reader and by worker;
whoever finds no room asks now and then instead. A stream ends after a minute and is asked for again, session and all.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

from flask import Flask, Response, current_app, request
from flask.typing import ResponseReturnValue

from marketplace.db import db
from marketplace.kernel.canonical import canonical_bytes

BEAT_SECONDS, BEATS = 5.0, 12
READERS_MAX, EACH_MAX = 24, 3  # of a worker's threads; the others serve pages
Told = Callable[[], dict[str, Any]]


class Streams:
    """The streams that one worker has open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: Counter[UUID] = Counter()

    def enter(self, reader: UUID) -> bool:
        """Take a place; False when there is none."""
        with self._lock:
            if self._open.total() >= READERS_MAX or self._open[reader] >= EACH_MAX:
                return False
            self._open[reader] += 1
            return True

    def leave(self, reader: UUID) -> None:
        """Give the place back."""
        with self._lock:
            self._open[reader] -= 1
            self._open += Counter()


STREAMS = Streams()


def answer(reader: UUID, told: Told) -> ResponseReturnValue:
    """Answer with a stream of what `told` says, or with one snapshot for whoever asks for JSON or finds no room."""
    first = told()
    db.session.remove()
    if request.accept_mimetypes.best != "text/event-stream":
        return current_app.json.response(first)
    if not STREAMS.enter(reader):
        return Response(status=503, headers={"Retry-After": "15"})
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    stream = Response(_beats(app, told, first), mimetype="text/event-stream", headers={"X-Accel-Buffering": "no"})
    stream.call_on_close(lambda: STREAMS.leave(reader))  # also where nobody read a word of it
    return stream


def _beats(app: Flask, told: Told, first: dict[str, Any]) -> Iterator[str]:
    yield _event(first)
    for _ in range(BEATS - 1):
        time.sleep(BEAT_SECONDS)
        with app.app_context():  # a stream holds no connection between two beats
            facts = told()
        yield _event(facts)


def _event(facts: dict[str, Any]) -> str:
    return f"retry: 5000\ndata: {json.dumps(facts, separators=(',', ':'))}\n\n"


def plain(facts: dict[str, Any]) -> dict[str, Any]:
    """Return facts as JSON can say them."""
    said: dict[str, Any] = json.loads(canonical_bytes(facts))
    return said
