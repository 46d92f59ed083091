"""Log lines for machines: one JSON object a line, with the id of the request or the run, without personal data.

They go to standard error; whoever runs the process sends them off the machine.
"""

import logging
import re
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from uuid import UUID

import structlog

from marketplace.kernel.ids import new_id

# What is done now, in this thread: a run of a job. A web request keeps its own id.
_RUN: ContextVar[UUID | None] = ContextVar("run", default=None)

HIDDEN = "[hidden]"
# Names of facts that are personal or secret whatever they hold.
PRIVATE = re.compile(
    r"(?i)^(e_?mail|iban|password|token|secret|signature|authorization|cookie|legal_name|display_name)$"
)
# Pieces of text that are, wherever they stand: addresses, accounts, a debtor's link, keys and session tokens.
PIECES = (
    (re.compile(r"[\w.+'-]+@[\w-]+(?:\.[\w-]+)+"), "[e-mail]"),
    (re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b"), "[account]"),
    (re.compile(r"/d/[A-Za-z0-9_.-]+"), "/d/[link]"),
    (re.compile(r"\b(?:sk|rk|whsec)_[A-Za-z0-9_]+"), "[key]"),
    (re.compile(r"(?i)(postgres(?:ql)?(?:\+\w+)?://[^:/@\s]+):[^@\s]+@"), r"\1:[key]@"),
)


def without_personal_data(text: str) -> str:
    """Return a text with e-mail addresses, bank accounts, debtors' links and keys replaced by what they are."""
    for piece, word in PIECES:
        text = piece.sub(word, text)
    return text


def hide(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Hide what is personal or secret in a line, its traceback included (a structlog processor)."""
    for name, value in line.items():
        if PRIVATE.match(name):
            line[name] = HIDDEN
        elif isinstance(value, str) and name not in ("request_id", "timestamp"):
            line[name] = without_personal_data(value)
        elif not isinstance(value, int | float | bool | type(None) | str):
            line[name] = without_personal_data(str(value))
    return line


SHARED: tuple[Any, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
    hide,
)


def write_json(level: int) -> None:
    """Let everything that this process logs, through structlog or the standard library, be such lines."""
    structlog.configure(
        processors=[*SHARED, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # standard output belongs to commands
        cache_logger_on_first_use=False,
    )


def capture_standard_library(level: int) -> None:
    """Send what the standard library's loggers say the same way; for a process that is ours alone."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *SHARED],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


@contextmanager
def running(job: str) -> Iterator[UUID]:
    """Give everything that is logged and recorded inside one id: the run's."""
    run_id = new_id()
    kept = _RUN.set(run_id)
    with structlog.contextvars.bound_contextvars(request_id=str(run_id), job=job):
        try:
            yield run_id
        finally:
            _RUN.reset(kept)


def run_id() -> UUID | None:
    """Return the id of the run that goes on in this thread, if any."""
    return _RUN.get()
