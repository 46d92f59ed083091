"""Seeded bad weather: random payments and faults through the real code; in the end every penny is in its place."""

import os
import random
from collections import Counter
from contextlib import suppress
from uuid import UUID

import pytest
from sqlalchemy import text

from marketplace.db import db
from marketplace.kernel.actors import Role
from marketplace.kernel.errors import RuleBroken
from marketplace.payments import inbox, outbox, reconcile
from marketplace.payments.actions import withdraw_cash
from marketplace.payments.schemas import WithdrawCash
from marketplace.perform import perform
from tests.payments.playing import Market, pay

FAULTS = ("error_500_after", "conflict_409", "rate_429", "reset_before", "reset_mid_body", "timeout_after")
PATHS = (".*", "/v1/transfers", "/v1/payouts", "/v1/checkout/sessions", "/v1/transfers/.*/reversals", "/v1/accounts")
OUTCOMES = ("paid", "paid", "later", "later_fails", "declined")
SEEDS = [int(seed) for seed in os.environ.get("DUEBILL_SEEDS", "1,2").split(",")]


class Weather:
    """One run: everything it does follows from its seed."""

    def __init__(self, market: Market, seed: int) -> None:
        self.market = market
        self.dice = random.Random(seed)
        self.people = [market.organisation("investor", f"Investor {n}") for n in range(3)]
        self.fundings: list[UUID] = []

    def step(self) -> None:
        """Do one thing."""
        self.dice.choices(
            [self.fund, self.withdraw, self.fault, self.work, self.bank, self.kill, self.wait, self.deliver],
            [4, 4, 4, 6, 3, 1, 2, 3],
        )[0]()

    def fund(self) -> None:
        """Put money in, whatever comes of it."""
        self.fundings.append(self.market.fund(self.dice.choice(self.people), self.dice.randint(1, 9) * 10_000, None))

    def pay_open_pages(self) -> None:
        """Pay what is open, one way or another."""
        for funding in self.fundings:
            seen = self.market.funding(funding)
            if seen.state == "open":
                pay(str(seen.pay_url), self.dice.choice(OUTCOMES))

    def withdraw(self) -> None:
        """Take money out if it is there."""
        who = self.dice.choice(self.people)
        minor = self.dice.randint(1, 5) * 5_000
        with suppress(RuleBroken):  # there may not be enough
            perform(withdraw_cash, WithdrawCash(minor, "GBP"), self.market.actor(Role.INVESTOR, who))

    def fault(self) -> None:
        """Plan a misfortune."""
        self.market.sandbox.fail(self.dice.choice(FAULTS), self.dice.choice(PATHS), seconds=0.05)

    def work(self) -> None:
        """Let the workers do a little."""
        self.pay_open_pages()
        outbox.run_outbox(self.dice.randint(1, 5))
        inbox.run_inbox(self.dice.randint(1, 20))

    def bank(self) -> None:
        """Let the banks answer, some of them with a no."""
        outcome = self.dice.choice(["paid", "paid", "failed", "paid_then_failed"])
        self.market.sandbox.knob("settings", payout_outcome=outcome)
        self.market.sandbox.knob("advance")

    def kill(self) -> None:
        """Kill the provider and bring it back."""
        self.market.sandbox.kill()
        outbox.run_outbox(2)
        inbox.run_inbox(2)
        self.market.sandbox.start()

    def wait(self) -> None:
        """Let time pass."""
        self.market.wait(self.dice.choice(["20 seconds", "3 minutes", "20 minutes"]))

    def deliver(self) -> None:
        """Deliver everything again, shuffled; or stop delivering for a while."""
        mode = self.dice.choice(["normal", "hold", "drop"])
        self.market.sandbox.knob("settings", delivery_mode=mode, delivery_copies=self.dice.randint(1, 3))
        self.market.sandbox.knob("deliver", order="shuffled", seed=self.dice.randint(0, 999))

    def calm(self) -> None:
        """Let the weather pass and everything come to rest."""
        self.market.sandbox.knob("faults", clear=True)
        self.market.sandbox.knob("settings", delivery_mode="normal", payout_outcome="paid", delivery_copies=1)
        for _ in range(8):
            self.market.wait("21 minutes")
            inbox.ask_after_silence()
            self.market.work()
            self.market.sandbox.knob("advance")
            self.market.work()


def column(sql: str) -> list[object]:
    """Return a column."""
    with db.engine.connect() as connection:
        return list(connection.execute(text(sql)).scalars())


@pytest.mark.parametrize("seed", SEEDS)
def test_after_any_weather_every_penny_is_in_its_place(market: Market, seed: int) -> None:
    weather = Weather(market, seed)
    for _ in range(60):
        weather.step()
    weather.calm()
    assert Counter(column("SELECT state FROM payout")).keys() <= {"paid", "returned"}
    assert column("SELECT id FROM outgoing_call WHERE state NOT IN ('succeeded', 'failed')") == []
    assert column("SELECT id FROM incoming_event WHERE state = 'received'") == []
    assert reconcile.run_reconciliation()["GBP"] == 0
    assert "reconciliation_break" not in market.alerts()
    paid_in = sum(column("SELECT amount_minor FROM funding WHERE state = 'succeeded'"))  # type: ignore[arg-type]
    paid_out = sum(column("SELECT amount_minor FROM payout WHERE state = 'paid'"))  # type: ignore[arg-type]
    cash = sum(market.balance("investor_cash", one) for one in weather.people)
    assert cash == paid_in - paid_out == market.sandbox.balance() == market.balance("provider_lender")
    calls = Counter(column("SELECT kind FROM outgoing_call WHERE state = 'succeeded'"))
    assert calls["transfer"] == market.sandbox.objects("transfer")
    assert calls["payout"] == market.sandbox.objects("payout")
    assert calls["checkout"] == market.sandbox.objects("checkout.session")
    assert calls["reversal"] == market.sandbox.objects("transfer_reversal")
