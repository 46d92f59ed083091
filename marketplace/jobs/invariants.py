"""The online verifier: what must be true of the books at every moment, told one by one."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

from flask import current_app
from sqlalchemy import text
from sqlalchemy.orm import Session

from marketplace.db import reading
from marketplace.kernel.errors import IntegrityBreach
from marketplace.ledger import queries as ledger
from marketplace.title import queries as title


@dataclass(frozen=True)
class Invariant:
    """One thing that must hold, and whether it does."""

    name: str
    ok: bool


# Statements that count what must not exist. An event may wait a minute for its place in the log.
COUNTS = {
    "entries_balance": "SELECT count(*) FROM (SELECT FROM posting GROUP BY entry_id, currency, pool "
    "HAVING sum(minor) <> 0) AS crooked",
    "client_money_not_negative": "SELECT count(*) FROM balance WHERE guarded AND posted_minor < held_minor",
    "holds_are_open_bids": "SELECT count(*) FROM hold WHERE subject_kind = 'bid' AND NOT EXISTS "
    "(SELECT FROM hold_resolution WHERE hold_id = hold.id) AND NOT EXISTS (SELECT FROM bid WHERE bid.hold_id = hold.id "
    "AND bid.state IN ('placed', 'filled'))",
    "purses_are_of_open_sessions": "SELECT count(*) FROM hold WHERE subject_kind = 'call_session' AND NOT EXISTS "
    "(SELECT FROM hold_resolution WHERE hold_id = hold.id) AND NOT EXISTS (SELECT FROM session_purse AS purse "
    "JOIN call_session AS gathering ON gathering.id = purse.session_id "
    "WHERE purse.hold_id = hold.id AND gathering.state = 'open')",
    "funded_once": "SELECT count(*) FROM (SELECT FROM lot WHERE state = 'settled' GROUP BY receivable_id "
    "HAVING count(*) > 1) AS twice",
    "advanced_once": "SELECT count(*) FROM (SELECT FROM payout WHERE purpose = 'advance' AND state <> 'returned' "
    "GROUP BY subject_id HAVING count(*) > 1) AS twice",
    "dues_sum_to_face": "SELECT count(*) FROM collection WHERE face_minor <> "
    "(SELECT sum(due_minor) FROM due WHERE due.receivable_id = collection.receivable_id) "
    "+ (SELECT coalesce(sum(residual_minor), 0) FROM dilution_effect e "
    "WHERE e.receivable_id = collection.receivable_id) "
    "+ (SELECT coalesce(sum(covered_minor), 0) FROM dilution_cover c "
    "WHERE c.receivable_id = collection.receivable_id) "
    "- (SELECT coalesce(sum(minor), 0) FROM late_receipt l WHERE l.receivable_id = collection.receivable_id)",
    "paid_equals_shares": "SELECT count(*) FROM due WHERE paid_minor <> "
    "(SELECT coalesce(sum(minor), 0) FROM share WHERE due_id = due.id) "
    "- (SELECT coalesce(sum(minor), 0) FROM reversal_share WHERE due_id = due.id)",
    "receipts_shared_whole": "SELECT count(*) FROM distribution WHERE received_minor <> excess_minor + "
    "(SELECT coalesce(sum(minor), 0) FROM share WHERE distribution_id = distribution.id)",
    "reversals_are_whole": "SELECT count(*) FROM receipt_reversal v WHERE taken_minor <> excess_minor + "
    "(SELECT coalesce(sum(minor), 0) FROM reversal_share WHERE reversal_id = v.id)",
    "settled_means_paid": "SELECT count(*) FROM collection WHERE state = 'settled' AND EXISTS "
    "(SELECT FROM due WHERE due.receivable_id = collection.receivable_id AND paid_minor <> due_minor)",
    "collections_match_receivables": "SELECT count(*) FROM collection c JOIN receivable r ON r.id = c.receivable_id "
    "WHERE (c.state IN ('settled', 'charged_back')) <> (r.state = 'discharged') "
    "OR (c.state = 'written_off') <> (r.state = 'written_off') "
    "OR (c.state = 'bought_back') <> (r.state = 'bought_back')",
    "owners_are_due_principal": "SELECT count(*) FROM collection c WHERE closed_at IS NULL AND EXISTS "
    "(SELECT FROM holding h WHERE h.receivable_id = c.receivable_id AND upper_inf(h.held_during) AND NOT EXISTS "
    "(SELECT FROM due WHERE due.receivable_id = c.receivable_id AND step = 'principal' AND party_id = h.owner_id))",
    "entitled_hold_units": "SELECT count(*) FROM due JOIN collection c USING (receivable_id) "
    "WHERE c.closed_at IS NULL AND due.step IN ('principal', 'discount', 'late_charge') "
    "AND due.due_minor > due.paid_minor AND NOT EXISTS (SELECT FROM holding h "
    "WHERE h.receivable_id = due.receivable_id AND h.owner_id = due.party_id AND upper_inf(h.held_during)) "
    # whoever sold his units and then gave back what he had been paid on them is owed that again
    "AND NOT EXISTS (SELECT FROM reversal_share r JOIN due d ON d.id = r.due_id "
    "WHERE d.receivable_id = due.receivable_id AND d.party_id = due.party_id)",
    "bought_back_whole": "SELECT count(*) FROM collection c WHERE state = 'bought_back' AND (NOT EXISTS "
    "(SELECT FROM buy_back b WHERE b.receivable_id = c.receivable_id AND b.state = 'paid' AND b.price_minor = "
    "(SELECT sum(minor) FROM buy_back_share WHERE buy_back_id = b.id)) OR EXISTS (SELECT FROM holding h WHERE "
    "h.receivable_id = c.receivable_id AND upper_inf(h.held_during) AND h.owner_id <> c.seller_id))",
    "offers_are_held": "SELECT count(*) FROM holding_offer o WHERE state = 'open' AND NOT coalesce((SELECT "
    "range_agg(h.units) @> o.units FROM holding h WHERE h.receivable_id = o.receivable_id "
    "AND h.owner_id = o.owner_id AND upper_inf(h.held_during)), false)",
    "sales_were_paid": "SELECT count(*) FROM holding_offer o WHERE state = 'accepted' AND o.price_minor <> (SELECT "
    "coalesce(sum(p.minor), 0) FROM posting p JOIN account a ON a.id = p.account_id WHERE p.entry_id = o.entry_id "
    "AND a.code = 'investor_cash' AND a.organisation_id = o.buyer_id)",
    "bank_orders_are_payouts": "SELECT (SELECT count(*) FROM payout p WHERE rail = 'bank' "
    "AND state IN ('in_transit', 'paid') AND NOT EXISTS (SELECT FROM payout_order WHERE payout_id = p.id "
    "AND minor = p.amount_minor)) + (SELECT count(*) FROM payout_file f WHERE total_minor <> "
    "(SELECT coalesce(sum(minor), 0) FROM payout_order WHERE file_id = f.id))",
    "payouts_are_not_mirrored": "SELECT count(*) FROM entry r JOIN entry e ON e.id = r.reverses_id "
    "WHERE e.kind LIKE '%\\_paid' OR e.kind LIKE '%\\_returned'",
    "costs_are_booked": "SELECT count(*) FROM entry e WHERE kind = 'processing_cost' AND coalesce((SELECT sum(minor) "
    "FROM processing_cost WHERE entry_id = e.id), 0) IS DISTINCT FROM (SELECT -sum(p.minor) FROM posting p "
    "JOIN account a ON a.id = p.account_id WHERE p.entry_id = e.id AND a.code = 'provider_platform')",
    "leaves_equal_events": "SELECT count(*) FROM event_order FULL JOIN event ON event.id = event_id "
    "WHERE event.id IS NULL OR (event_id IS NULL AND event.at < market_now() - "
    "make_interval(secs => 60))",
    "sequence_is_dense": "SELECT coalesce(max(seq) + 1, 0) - count(*) FROM event_order",
}


def invariants(session: Session) -> list[Invariant]:
    """Check every invariant and return all of them, broken ones included."""
    found = [
        Invariant("pools_balance", all(total == 0 for _, _, total in ledger.pool_totals(session))),
        Invariant("balances_equal_folds", not ledger.crooked_balances(session)),
        Invariant("title_units_equal_face", not title.broken_titles(session)),
    ]
    return found + [
        Invariant(name, session.execute(text(statement)).scalar_one() == 0) for name, statement in COUNTS.items()
    ]


def as_reader() -> AbstractContextManager[Session]:
    """A session that can only read, with a role of its own where the installation has one: no fault of ours writes."""
    settings = current_app.extensions["duebill"].settings
    return reading(settings.reader_database_url or settings.database_url)


def verify_invariants() -> int:
    """Check them all as a job.

    Raises: IntegrityBreach("books_contradict") naming those that are broken.
    """
    with as_reader() as session:
        checked = invariants(session)
    broken = [invariant.name for invariant in checked if not invariant.ok]
    if broken:
        raise IntegrityBreach("books_contradict", "Broken: %(names)s", {"names": ", ".join(broken)})
    return len(checked)
