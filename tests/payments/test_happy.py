"""Money in and out, when nothing goes wrong."""

from tests.payments.playing import Market, pay
from sqlalchemy.orm import Session
from marketplace.db import db
from marketplace.kernel.actors import Role
from marketplace.payments import outbox, queries, reconcile
from marketplace.payments.actions import fund_account, withdraw_cash
from marketplace.payments.schemas import FundAccount, WithdrawCash
from marketplace.perform import perform
from uuid import UUID


def test_an_investor_puts_money_in_and_takes_it_out(market: Market) -> None:
    bob = market.organisation("investor", "Bob Capital")
    me = market.actor(Role.INVESTOR, bob)
    made = perform(fund_account, FundAccount(50_000, "GBP", "http://127.0.0.1/back/{id}"), me)
    url = outbox.start_now(UUID(made["funding_id"]))
    assert url is not None
    assert pay(url) == f"http://127.0.0.1/back/{made['funding_id']}"
    market.work()
    assert market.balance("investor_cash", bob) == 50_000
    assert market.balance("provider_lender") == 50_000
    perform(withdraw_cash, WithdrawCash(20_000, "GBP"), me)
    market.work()
    assert market.balance("withdrawal_in_transit", bob) == 20_000
    assert reconcile.run_reconciliation()["GBP"] == 0
    market.sandbox.knob("advance")
    market.work()
    assert market.balance("withdrawal_in_transit", bob) == 0
    assert market.balance("provider_lender") == 30_000
    with Session(db.engine) as session:
        assert [p.state for p in queries.payouts_of(session, bob)] == ["paid"]
        assert not queries.open_alerts(session)
    assert market.sandbox.balance() == 30_000
    assert reconcile.run_reconciliation()["GBP"] == 0
