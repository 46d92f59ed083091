"""Start the sandbox as a process of its own: `python -m marketplace.payments.sandbox --dir … --port …`."""

import argparse
import json
import logging
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType

from marketplace.payments.sandbox.server import Sandbox


def main(arguments: list[str] | None = None) -> int:
    """Read the options and serve; argparse and no more, to stay small in memory."""
    parser = argparse.ArgumentParser(prog="sandbox", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="folder of the sandbox's own books")
    parser.add_argument("--port", type=int, default=8001, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--webhook-url", help="where events are delivered; kept for the next start")
    parser.add_argument("--debit-seconds", type=float, help="until a bank answers; negative: only when told")
    parser.add_argument("--payout-seconds", type=float, help="until a payout arrives; negative: only when told")
    options = parser.parse_args(arguments)
    return serve(options.dir, options.port, options.webhook_url, options.debit_seconds, options.payout_seconds)


def serve(
    folder: Path, port: int, webhook_url: str | None, debit_seconds: float | None, payout_seconds: float | None
) -> int:
    """Serve until SIGTERM or SIGINT; the first line of output is JSON and says where. Return the exit code.

    The webhook's secret comes from STRIPE_WEBHOOK_SECRET: arguments can be read by every user of the machine.
    """
    logging.basicConfig(level=logging.WARNING, format="sandbox: %(message)s")
    try:
        sandbox = Sandbox(folder, port)
    except OSError as error:
        sys.stderr.write(f"sandbox: cannot listen on port {port}: {error}\n")
        return 1
    given = {
        "webhook_url": webhook_url, "webhook_secret": os.environ.get("STRIPE_WEBHOOK_SECRET"),
        "debit_seconds": debit_seconds, "payout_seconds": payout_seconds,
    }  # fmt: skip
    sandbox.store.set(**{name: value for name, value in given.items() if value is not None})
    signal.signal(signal.SIGTERM, _stop)
    sys.stdout.write(json.dumps({"url": sandbox.base_url, "pid": os.getpid()}) + "\n")
    sys.stdout.flush()
    with suppress(KeyboardInterrupt):
        sandbox.serve()
    return 0


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
