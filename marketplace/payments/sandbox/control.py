"""The knobs under /sandbox/: what Stripe has not, so that tests and the demo can play bank, payer and bad luck."""

import json
import random
from collections.abc import Callable
from typing import Any

from marketplace.payments.sandbox import money_in, money_out
from marketplace.payments.sandbox.api import AFTER, BEFORE
from marketplace.payments.sandbox.clock import Clock
from marketplace.payments.sandbox.desk import PLATFORM, Desk
from marketplace.payments.sandbox.faults import Refused
from marketplace.payments.sandbox.store import Store, now

Params = dict[str, Any]
KNOBS = {
    "webhook_url": str, "webhook_secret": str, "delivery_mode": str, "delivery_copies": int,
    "delivery_delay_seconds": (int, float), "delivery_shuffle": bool, "debit_seconds": (int, float),
    "payout_seconds": (int, float), "payout_outcome": str, "fee_bps": int, "clock_seconds": (int, float),
}  # fmt: skip
CHOICES = {"delivery_mode": {"normal", "hold", "drop"}, "payout_outcome": {"paid", "failed", "paid_then_failed"}}


class Control:
    """Answers POST and GET under /sandbox/ with JSON."""

    def __init__(self, store: Store, clock: Clock, base_url: str) -> None:
        self.store = store
        self.clock = clock
        self.base_url = base_url
        self._do: dict[str, Callable[[Params], Any]] = {
            "settings": self.settings, "faults": self.faults, "advance": self.advance, "deliver": self.deliver,
            "release": self.release, "forge": self.forge, "pay": self.pay, "settle": self.settle, "payout": self.payout,
            "dispute": self.dispute, "escalate_dispute": self.escalate_dispute, "close_dispute": self.close_dispute,
            "forget_keys": self.forget_keys, "event": self.event, "summary": self.summary,
            "waiting": self.waiting, "requests": self.requests,
        }  # fmt: skip

    def answer(self, name: str, params: Params) -> Any:
        """Turn one knob.

        Raises: Refused.
        """
        do = self._do.get(name)
        if do is None:
            raise Refused(404, f"No knob named {name}: " + ", ".join(sorted(self._do)))
        try:
            return do(params)
        except (KeyError, TypeError, ValueError) as error:
            raise Refused(400, f"{name}: {type(error).__name__} {error}") from error

    def settings(self, params: Params) -> Params:
        """Set knobs by name (see KNOBS) and return them all."""
        for name, value in params.items():
            if name not in KNOBS or not isinstance(value, KNOBS[name]):  # type: ignore[arg-type]
                raise Refused(400, f"{name} is not a knob, or {value!r} is not its kind of value", param=name)
            if value not in CHOICES.get(name, {value}):
                raise Refused(400, f"{name} is one of {', '.join(sorted(CHOICES[name]))}", param=name)
        with self.store.transaction():
            self.store.set(**params)
        rows = self.store.rows("SELECT name, value FROM setting WHERE name <> 'webhook_secret'")
        return {row["name"]: json.loads(row["value"]) for row in rows}

    def faults(self, params: Params) -> Params:
        """Plan a misfortune: action, path (a pattern), method, times, seconds. `clear` forgets all plans."""
        if params.get("clear"):
            self.store.rows("DELETE FROM fault")
            return {"planned": 0}
        if params["action"] not in BEFORE | AFTER:
            raise Refused(400, "action is one of " + ", ".join(sorted(BEFORE | AFTER)), param="action")
        self.store.rows(
            "INSERT INTO fault (method, path, action, left, seconds) VALUES (?, ?, ?, ?, ?)",
            params.get("method", "POST"), params.get("path", ".*"), params["action"], int(params.get("times", 1)),
            float(params.get("seconds", 30)),
        )  # fmt: skip
        return {"planned": len(self.store.rows("SELECT 1 FROM fault WHERE left > 0"))}

    def advance(self, params: Params) -> Params:
        """Do every chore that waits, now: banks answer, payouts arrive. `acts` picks kinds."""
        acts = tuple(params.get("acts") or ("settle_intent", "settle_payout"))
        return {"done": self.clock.do_chores(everything=True, acts=acts)}

    def deliver(self, params: Params) -> Params:
        """Post events now: `order` reversed or shuffled (by `seed`), each `copies` times; `late_seconds` back-dates.

        What was held back and is posted here is not posted again; what is not posted here stays held back.
        """
        events = params.get("events") or [row["id"] for row in self.store.rows(
            "SELECT id FROM object WHERE kind = 'event' ORDER BY seq")]  # fmt: skip
        events = [one for one in events for _ in range(int(params.get("copies", 1)))]
        if params.get("order") == "reversed":
            events.reverse()
        elif params.get("order") == "shuffled":
            random.Random(params.get("seed")).shuffle(events)  # noqa: S311 (nothing secret hangs on it)
        signed_at = int(now() - float(params["late_seconds"])) if "late_seconds" in params else None
        statuses = [self.clock.post(event, at=signed_at) for event in events]
        with self.store.transaction():
            for event in set(events):
                self.store.rows("UPDATE delivery SET state = 'done' WHERE state = 'held' AND event_id = ?", event)
        return {"statuses": statuses}

    def release(self, params: Params) -> Params:
        """Let go of every event that was held back: each is posted as if it had just happened."""
        return {"released": len(self.store.rows(
            "UPDATE delivery SET state = 'due', due_at = ? WHERE state = 'held' RETURNING seq", now()))}  # fmt: skip

    def forge(self, params: Params) -> Params:
        """Post an event signed with a secret that is not ours."""
        return {"status": self.clock.post(params["event"], forged=True)}

    def pay(self, params: Params) -> Params:
        """Pay a checkout session as the hosted page would: session, outcome, and for tests minor, currency."""
        with self.store.transaction():
            return money_in.pay_session(
                self._desk(), params["session"], params.get("outcome", "paid"), minor=params.get("minor"),
                currency=params.get("currency"),
            )  # fmt: skip

    def settle(self, params: Params) -> Params:
        """Let the bank answer for a payment intent: outcome succeeded or failed."""
        with self.store.transaction():
            return money_in.settle_intent(self._desk(), params["intent"], params.get("outcome", "succeeded"))

    def payout(self, params: Params) -> Params:
        """Let the bank answer for a payout: outcome paid, failed or paid_then_failed."""
        account = self.store.account_of(params["payout"])
        with self.store.transaction():
            return money_out.settle_payout(self._desk().of(account or PLATFORM), params["payout"], params["outcome"])

    def dispute(self, params: Params) -> Params:
        """Charge a payment back: intent, minor, reason; with `inquiry` the bank only asks."""
        with self.store.transaction():
            return money_in.open_dispute(self._desk(), params["intent"], params.get("minor"),
                                         params.get("reason", "general"), bool(params.get("inquiry")))  # fmt: skip

    def escalate_dispute(self, params: Params) -> Params:
        """Let an inquiry become a chargeback: dispute."""
        with self.store.transaction():
            return money_in.escalate_dispute(self._desk(), params["dispute"])

    def close_dispute(self, params: Params) -> Params:
        """Decide a dispute: dispute, won."""
        with self.store.transaction():
            return money_in.close_dispute(self._desk(), params["dispute"], bool(params["won"]))

    def forget_keys(self, params: Params) -> Params:
        """Forget idempotency keys, as Stripe does after 24 hours; with `before`, those used before (since 1970)."""
        before = float(params.get("before", now()))
        return {"forgotten": len(self.store.rows("DELETE FROM reply WHERE at <= ? RETURNING key", before))}

    def event(self, params: Params) -> Params:
        """Return the newest event of a type."""
        for row in self.store.rows("SELECT body FROM object WHERE kind = 'event' ORDER BY seq DESC"):
            event = json.loads(row["body"])
            if event["type"] == params["type"]:
                return dict(event)
        raise Refused(404, "No such event.")

    def summary(self, params: Params) -> Params:
        """Return how many objects of each kind there are, and every account's balance."""
        kinds = {row["kind"]: row["n"] for row in self.store.rows(
            "SELECT kind, count(*) AS n FROM object GROUP BY kind ORDER BY kind")}  # fmt: skip
        accounts = [PLATFORM] + [one["id"] for one in self.store.newest("account", PLATFORM)]
        waiting = self.store.rows("SELECT count(*) AS n FROM delivery WHERE state IN ('due', 'held')")
        return {
            "objects": kinds,
            "balances": {account or "platform": self._desk().of(account).balance() for account in accounts},
            "deliveries_waiting": waiting[0]["n"],
        }

    def waiting(self, params: Params) -> Params:
        """Return how many events have not been delivered yet."""
        waiting = self.store.rows("SELECT count(*) AS n FROM delivery WHERE state IN ('due', 'held')")
        return {"deliveries": waiting[0]["n"]}

    def requests(self, params: Params) -> Params:
        """Return what was asked of the API, oldest first."""
        rows = self.store.rows("SELECT method, path, key, status, replayed FROM request ORDER BY seq")
        return {"requests": [dict(row) for row in rows]}

    def _desk(self) -> Desk:
        return Desk(self.store, PLATFORM, base_url=self.base_url)
