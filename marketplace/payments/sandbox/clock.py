"""What happens by itself: chores that fall due, and webhooks on their way."""

import hashlib
import hmac
import http.client
import json
import logging
import random
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from marketplace.payments.sandbox import money_in, money_out
from marketplace.payments.sandbox.desk import Desk
from marketplace.payments.sandbox.faults import Refused
from marketplace.payments.sandbox.store import Store, now

log = logging.getLogger(__name__)
CHORES: dict[str, Callable[[Desk, str], Any]] = {
    "settle_intent": money_in.settle_intent,
    "expire_session": money_in.expire_session,
    "settle_payout": money_out.settle_payout,
}
ATTEMPTS_MAX = 12
POST_SECONDS = 10


def sign(secret: str, payload: bytes, at: int) -> str:
    """Return the Stripe-Signature header of a payload."""
    mac = hmac.new(secret.encode(), str(at).encode() + b"." + payload, hashlib.sha256).hexdigest()
    return f"t={at},v1={mac}"


class Clock(threading.Thread):
    """The thread that does chores and delivers events until it is stopped."""

    def __init__(self, store: Store, base_url: str) -> None:
        super().__init__(daemon=True, name="sandbox-clock")
        self.store = store
        self.base_url = base_url
        self.stopping = threading.Event()

    def run(self) -> None:
        """Tick ten times a second."""
        while not self.stopping.wait(0.1):
            try:
                self.do_chores()
                self.deliver_due()
            except Exception as error:  # the clock must outlive whatever one tick meets
                log.error("clock: %r", error)

    def do_chores(self, *, everything: bool = False, acts: tuple[str, ...] = ()) -> int:
        """Do what is due, or everything that waits; return how many."""
        rows = self.store.rows("SELECT * FROM chore WHERE due_at <= ? OR ? ORDER BY due_at", now(), everything)
        rows = [row for row in rows if not acts or row["act"] in acts]
        for row in rows:
            with self.store.transaction():
                if not self.store.rows("DELETE FROM chore WHERE seq = ? RETURNING seq", row["seq"]):
                    continue
                try:
                    CHORES[row["act"]](Desk(self.store, row["account"], base_url=self.base_url), row["object_id"])
                except Refused as refused:
                    log.warning("chore %s: %s", row["act"], refused)
        return len(rows)

    def deliver_due(self) -> None:
        """Send every delivery that is due; failures come back later, each time twice as late."""
        due = self.store.rows(
            "SELECT * FROM delivery WHERE state = 'due' AND due_at <= ? ORDER BY due_at, seq LIMIT 200", now()
        )
        if self.store.setting("delivery_shuffle", False):
            random.shuffle(due)
        for row in due:
            status = self.post(row["event_id"])
            done = 200 <= status < 300
            attempts = row["attempts"] + 1
            state = "done" if done else ("given_up" if attempts >= ATTEMPTS_MAX else "due")
            self.store.rows(
                "UPDATE delivery SET state = ?, attempts = ?, due_at = ?, last_status = ? WHERE seq = ?",
                state, attempts, now() + min(0.25 * 2**attempts, 60), status, row["seq"],
            )  # fmt: skip

    def post(self, event_id: str, *, forged: bool = False, at: int | None = None) -> int:
        """Send one event to the webhook and return the status, 0 when nobody answered."""
        url, secret = self.store.setting("webhook_url"), self.store.setting("webhook_secret", "")
        if not url:
            return 0
        payload = event_bytes(self.store, event_id)
        header = sign("whsec_forged" if forged else secret, payload, at or int(now()))
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "127.0.0.1", parts.port, timeout=POST_SECONDS)
        try:
            connection.request("POST", parts.path or "/", payload,
                               {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": header,
                                "User-Agent": "Stripe/1.0 (sandbox)"})  # fmt: skip
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()


def event_bytes(store: Store, event_id: str) -> bytes:
    """Return an event as it is sent: the same bytes each time."""
    found = store.rows("SELECT body FROM object WHERE id = ? AND kind = 'event'", event_id)
    event: dict[str, Any] = json.loads(found[0]["body"])
    return json.dumps(event, indent=2).encode()
