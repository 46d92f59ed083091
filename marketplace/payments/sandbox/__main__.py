"""Start the sandbox as a process of its own: `python -m marketplace.payments.sandbox --dir … --port …`."""

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from marketplace.payments.sandbox.server import Sandbox


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; the first line of output says where."""
    parser = argparse.ArgumentParser(prog="sandbox", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="folder of the sandbox's own books")
    parser.add_argument("--port", type=int, default=8001, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--webhook-url", help="where events are delivered; kept for the next start")
    parser.add_argument("--debit-seconds", type=float, help="until a bank answers; negative: only when told")
    parser.add_argument("--payout-seconds", type=float, help="until a payout arrives; negative: only when told")
    options = parser.parse_args(arguments)
    try:
        sandbox = Sandbox(options.dir, options.port)
    except OSError as error:
        print(f"sandbox: cannot listen on port {options.port}: {error}", file=sys.stderr)
        return 1
    # The secret comes from the environment: arguments can be read by every user of the machine.
    given = {
        "webhook_url": options.webhook_url, "webhook_secret": os.environ.get("STRIPE_WEBHOOK_SECRET"),
        "debit_seconds": options.debit_seconds, "payout_seconds": options.payout_seconds,
    }  # fmt: skip
    sandbox.store.set(**{name: value for name, value in given.items() if value is not None})
    signal.signal(signal.SIGTERM, _stop)
    print(json.dumps({"url": sandbox.base_url, "pid": os.getpid()}), flush=True)
    try:
        sandbox.serve()
    except KeyboardInterrupt:
        pass
    return 0


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
