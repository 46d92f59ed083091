"""The world outside, played over real HTTP: debtors and investors who pay, and a bank that answers."""

import http.client
import json
import time
from urllib.parse import urlsplit

from marketplace.jobs.runner import run_job
from marketplace.jobs.schedule import job

PATIENCE_SECONDS = 60


class Outside:
    """Pays on the sandbox's hosted page and waits until every webhook has come home."""

    def __init__(self, sandbox_url: str) -> None:
        self._sandbox = sandbox_url

    def pay(self, pay_url: str) -> None:
        """Press “Pay now” on a hosted payment page."""
        _post(pay_url, b"outcome=paid", "application/x-www-form-urlencoded")

    def settle(self) -> None:
        """Let the bank answer, events arrive and money be applied, until nothing moves any more.

        Raises: TimeoutError.
        """
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            moved = sum(run_job(job(name)) for name in ("run_outbox", "run_inbox", "apply_payments"))
            moved += self._ask("advance", {})["done"]
            while self._ask("waiting", {})["deliveries"] and time.monotonic() < until:
                time.sleep(0.01)
            if moved == 0 and run_job(job("run_inbox")) == 0:
                return
        raise TimeoutError("the payment sandbox did not come to rest")

    def _ask(self, knob: str, params: dict[str, object]) -> dict[str, int]:
        body = json.dumps(params).encode()
        answer: dict[str, int] = json.loads(_post(f"{self._sandbox}/sandbox/{knob}", body, "application/json"))
        return answer


def _post(url: str, body: bytes, kind: str) -> bytes:
    """Post and return the answer's body; a redirect is an answer and is not followed.

    Raises: OSError when the sandbox refuses.
    """
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.netloc, timeout=PATIENCE_SECONDS)
    try:
        connection.request("POST", where.path, body, {"Content-Type": kind})
        answer = connection.getresponse()
        read = answer.read()
    finally:
        connection.close()
    if answer.status >= 400:
        raise OSError(f"{where.path} answered {answer.status}: {read[:200]!r}")
    return read
