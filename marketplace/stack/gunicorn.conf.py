"""How gunicorn serves the market. What differs between installations comes from the command line."""

import ctypes
import os
import shutil
import signal
import sys
import tempfile
from typing import Any

# Where the workers keep their figures for one another; set before anything that counts is loaded. Only gunicorn may run
# this file, so its name cannot be imported: whoever did would look for its own figures where none are kept.
given = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
figures = os.environ["PROMETHEUS_MULTIPROC_DIR"] = given or tempfile.mkdtemp(prefix="duebill-figures-")
os.makedirs(figures, exist_ok=True)

worker_class = "gthread"
workers = int(os.environ.get("DUEBILL_WEB_WORKERS", "2"))
threads = int(os.environ.get("DUEBILL_WEB_THREADS", "64"))  # an open event stream holds a thread
graceful_timeout = 2
timeout = 60
keepalive = 5
preload_app = True  # the workers share what was loaded once
control_socket_disable = True
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 (a heartbeat, not a secret)
max_requests = 20_000
max_requests_jitter = 2_000


def when_ready(_server: Any) -> None:
    """What was loaded once stays: nobody walks over it for garbage."""
    from marketplace.stack.memory import keep_loaded

    keep_loaded()


def post_fork(_server: Any, _worker: Any) -> None:
    """A worker dies with its master."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0)


def child_exit(_server: Any, worker: Any) -> None:
    """Its live figures go with it; what it counted stays."""
    from marketplace.web.metrics import forget_worker

    forget_worker(worker.pid)


def on_exit(_server: Any) -> None:
    """The master takes the workers' figures along, unless it was told where to keep them."""
    if not given:
        shutil.rmtree(figures, ignore_errors=True)
