"""What the bank took in counts from the day on which the bank had it, whenever its file comes and two people agree."""

from datetime import date
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import text

from marketplace.db import db
from marketplace.jobs.runner import run_job
from marketplace.jobs.schedule import job
from marketplace.kernel.policy import LateInterest
from marketplace.reports.market import payment_history
from marketplace.servicing.bank_desk import propose_bank_suspense
from tests import lives
from tests.banking.files import camt, entry
from tests.banking.test_bank_suspense import left, work
from tests.banking.test_payout_files import by_two
from tests.banking.test_taking import held, rf, sound, take
from tests.servicing.test_late_interest import FACE, known, standing
from tests.trading.world import World

__all__ = ["known"]


def overdue(world: World, days: int) -> tuple[UUID, date]:
    receivable_id = lives.funded(world)
    due_on = lives.collection(receivable_id).due_on
    lives.on_day(world, receivable_id, days)
    lives.age(receivable_id)
    return receivable_id, due_on


def test_who_paid_on_the_due_date_owes_no_interest_when_the_file_comes_the_day_after(
    bank: World, known: LateInterest
) -> None:
    receivable_id, due_on = overdue(bank, 1)
    assert standing(bank, receivable_id).claim.total_minor > 0  # so far nobody knew
    take(camt(entry("A", "48600.00", rf=rf(receivable_id), on=due_on.isoformat())))
    assert run_job(job("apply_payments")) == 1
    assert (lives.collection(receivable_id).state, standing(bank, receivable_id).claim.total_minor) == ("settled", 0)
    (paid,) = payment_history(db.session(), bank.id("kestrel"))
    assert (paid.paid_on, paid.days_late) == (due_on, 0)
    lives.pays(bank, receivable_id, 5_000)  # too much: it is his, not interest
    assert held("suspense") == 5_000
    with bank.superuser(resting=False) as owner, pytest.raises(psycopg.Error, match="refused"):
        owner.execute("UPDATE debtor_payment SET received_on = '2020-01-01'")
    assert sound()


def test_money_in_suspense_counts_from_the_day_it_came(bank: World, known: LateInterest) -> None:
    receivable_id, due_on = overdue(bank, 20)
    take(camt(entry("A", "48600.00", on=due_on.isoformat()), entry("B", "1.00", on="2099-01-01")))
    other, item = sorted(left(), key=lambda one: one.minor)
    by_two(propose_bank_suspense, work(item, "apply", FACE, receivable_id), bank)
    assert run_job(job("apply_payments")) == 1
    assert standing(bank, receivable_id).claim.total_minor == 0
    by_two(propose_bank_suspense, work(other, "apply", 100, receivable_id), bank)
    db.session.rollback()
    today = db.session.execute(text("SELECT market_now()::date")).scalar_one()
    days = db.session.execute(text("SELECT received_on FROM debtor_payment ORDER BY created_at")).scalars().all()
    assert days == [due_on, today]  # what the bank dates ahead is here today
    assert sound()
