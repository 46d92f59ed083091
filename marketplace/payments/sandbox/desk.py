"""What every call works with: the account it speaks for, its objects, its balance, its events."""

import secrets
from collections.abc import Mapping
from typing import Any

from marketplace.payments.sandbox.faults import no_such, short_of_money
from marketplace.payments.sandbox.store import Store, now

API_VERSION = "2026-10-28.endive"
PLATFORM = ""
DAY = 86_400
NEVER = 1e15


class Desk:
    """One request, or one chore, at work inside a transaction of the store."""

    def __init__(self, store: Store, account: str = PLATFORM, *, base_url: str = "", key: str | None = None) -> None:
        self.store = store
        self.account = account
        self.base_url = base_url
        self.key = key
        self.at = int(now() + float(store.setting("clock_seconds", 0)))

    def of(self, account: str) -> "Desk":
        """Return the desk of another account, in the same request."""
        return Desk(self.store, account, base_url=self.base_url, key=self.key)

    @staticmethod
    def new_id(prefix: str) -> str:
        """Return a fresh id in Stripe's manner."""
        return f"{prefix}_{secrets.token_hex(12)}"

    def load(self, kind: str, object_id: str) -> dict[str, Any]:
        """Return an object of this account.

        Raises: Refused, 404.
        """
        found = self.store.get(kind, object_id, self.account)
        if found is None:
            raise no_such(kind.rpartition(".")[2], object_id)
        return found

    def save(self, body: Mapping[str, Any], hidden: Mapping[str, Any] | None = None) -> None:
        """Write an object of this account."""
        self.store.put(body, self.account, hidden)

    def tell(self, kind: str, body: Mapping[str, Any]) -> None:
        """Record an event and put it up for delivery, as the knobs say."""
        event = {
            "id": self.new_id("evt"), "object": "event", "api_version": API_VERSION, "created": self.at,
            "data": {"object": dict(body)}, "livemode": False, "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": self.key}, "type": kind,
        }  # fmt: skip
        if self.account:
            event["account"] = self.account
        self.save(event)
        mode = self.store.setting("delivery_mode", "normal")
        if mode == "drop" or not self.store.setting("webhook_url"):
            return
        due = now() + float(self.store.setting("delivery_delay_seconds", 0))
        for _ in range(int(self.store.setting("delivery_copies", 1))):
            self.store.rows(
                "INSERT INTO delivery (event_id, due_at, attempts, state) VALUES (?, ?, 0, ?)",
                event["id"], due, "held" if mode == "hold" else "due",
            )  # fmt: skip

    def later(self, seconds: float, act: str, object_id: str) -> None:
        """Leave a chore for the clock. Negative seconds mean: only when somebody says so."""
        self.store.rows(
            "INSERT INTO chore (due_at, act, account, object_id) VALUES (?, ?, ?, ?)",
            now() + seconds if seconds >= 0 else NEVER, act, self.account, object_id,
        )  # fmt: skip

    def balance(self) -> dict[str, int]:
        """Return what this account has, by currency, in minor units."""
        found = self.store.rows(
            "SELECT json_extract(body, '$.currency') AS currency, sum(json_extract(body, '$.net')) AS net "
            "FROM object WHERE kind = 'balance_transaction' AND account = ? GROUP BY 1 ORDER BY 1",
            self.account,
        )
        return {row["currency"]: int(row["net"]) for row in found}

    def must_have(self, minor: int, currency: str) -> None:
        """Refuse when the balance cannot cover an amount.

        Raises: Refused, 400 balance_insufficient.
        """
        if self.balance().get(currency, 0) < minor:
            raise short_of_money()

    def book(self, kind: str, source: str, minor: int, currency: str, *, fee: int = 0, words: str = "") -> str:
        """Write one line of this account's balance and return its id. `minor` is signed."""
        line = {
            "id": self.new_id("txn"), "object": "balance_transaction", "amount": minor, "available_on": self.at,
            "balance_type": "payments", "created": self.at, "currency": currency, "description": words or None,
            "exchange_rate": None, "fee": fee, "fee_details": self._fee(fee, currency), "net": minor - fee,
            "reporting_category": kind, "source": source, "status": "available", "type": kind,
        }  # fmt: skip
        self.save(line)
        return str(line["id"])

    @staticmethod
    def _fee(fee: int, currency: str) -> list[dict[str, Any]]:
        if not fee:
            return []
        return [{"amount": fee, "application": None, "currency": currency, "description": "Processing fees",
                 "type": "stripe_fee"}]  # fmt: skip
