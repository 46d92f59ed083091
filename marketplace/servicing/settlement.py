"""Settlement: an accepted award becomes money, title and a collection, in one transaction."""

from collections.abc import Sequence
from datetime import date

from sqlalchemy import insert, text

from marketplace.db import array
from marketplace.kernel.errors import IntegrityBreach
from marketplace.kernel.ids import new_texts
from marketplace.ledger import actions as ledger
from marketplace.ledger.rules import Debits, credit
from marketplace.parties.rules import verb
from marketplace.payments import actions as payments
from marketplace.perform import Result, Tx
from marketplace.receivables import actions as receivables
from marketplace.receivables import queries as receivables_queries
from marketplace.receivables.queries import Receivable
from marketplace.servicing.schemas import SettleAward
from marketplace.servicing.tables import CollectionRow
from marketplace.servicing.waterfall import opening_dues
from marketplace.title import actions as title
from marketplace.trading import actions as trading
from marketplace.trading import queries as trading_queries
from marketplace.trading.queries import FillToSettle, Lot

Owners = list[tuple[str, int, int]]  # investor, principal, discount: their ids are only passed on, so as texts


@verb("settle_award")
def settle_award(tx: Tx, command: SettleAward) -> Result:
    """Settle an accepted award: holds become postings, title moves, the advance sets out, collection begins.

    Every wall against a second sale is asked once more. Where one speaks against it no money leaves: the award waits
    for two operators, or is called off.

    Raises: RuleBroken("wrong_state"), Conflict("stopped") while it waits.
    """
    against = trading.may_settle(tx, command.lot_id)
    lot = trading_queries.lot(tx.session, command.lot_id)
    receivable = receivables_queries.lock_receivable(tx.session, lot.receivable_id)
    if against:
        return {"receivable_id": receivable.id, "stopped": against}
    trading.mark_settled(tx, command.lot_id)
    fills = trading_queries.fills_to_settle(tx.session, command.lot_id)
    owners = _by_investor(fills)
    advance = sum(principal for _, principal, _ in owners)
    _move_money(tx, receivable, owners, [fill.hold_id for fill in fills], advance)
    title.assign(tx, receivable.id, [(investor, principal) for investor, principal, _ in owners])
    receivables.move(tx, receivable.id, "funded")
    receivables.issue_notice(tx, receivable.id, [investor for investor, _, _ in owners])
    payout_id = payments.request_payout(
        tx, receivable.seller_id, receivable.currency, advance, "advance", "receivable", receivable.id,
        f"advance:{command.lot_id}",
    )  # fmt: skip
    award = trading_queries.award(tx.session, command.lot_id)
    if award is None:
        raise IntegrityBreach("no_award", "A lot was accepted without an award.")
    _open_collection(tx, lot, receivable, owners, award.rate_bps)
    return {"receivable_id": receivable.id, "advance_minor": advance, "payout_id": payout_id}


def _move_money(tx: Tx, receivable: Receivable, owners: Owners, holds: Sequence[str], advance: int) -> None:
    """Investors' held cash becomes what the platform owes the seller, within the lenders' pool."""
    cash = Debits("investor_cash", receivable.currency, {investor: principal for investor, principal, _ in owners})
    owed = credit(ledger.account(tx, "seller_advance", receivable.seller_id, receivable.currency), advance)
    ledger.post_entry(tx, "settle_award", "receivable", receivable.id, [owed], of_many=cash, holds=holds)


def _by_investor(fills: Sequence[FillToSettle]) -> Owners:
    """Return (investor, principal, discount), an investor's fills summed, in the order of first appearance."""
    sums: dict[str, tuple[int, int]] = {}
    for fill in fills:
        principal, discount = sums.get(fill.investor_id, (0, 0))
        sums[fill.investor_id] = (principal + fill.cash_minor, discount + fill.discount_minor)
    return [(investor, principal, discount) for investor, (principal, discount) in sums.items()]


def _open_collection(tx: Tx, lot: Lot, receivable: Receivable, owners: Owners, rate_bps: int) -> None:
    """Begin to collect, by the terms that the lot was sold by: a policy of later changes no deal."""
    expected: date = receivable.expected_on
    tx.session.execute(
        insert(CollectionRow).values(
            receivable_id=receivable.id, lot_id=lot.id, seller_id=receivable.seller_id,
            debtor_id=receivable.debtor_id, currency=receivable.currency, face_minor=receivable.face_minor,
            rate_bps=rate_bps, late_rate_bps=rate_bps + lot.late_bps, due_on=receivable.due_on,
            expected_on=expected, late_charged_to=expected, policy_version=lot.policy_version,
        )
    )  # fmt: skip
    dues = [
        (str(step), party, minor)
        for step, party, minor in opening_dues(receivable.face_minor, str(receivable.seller_id), owners, lot.fee_bps)
    ]
    steps, parties, minors = zip(*dues, strict=True)
    tx.session.execute(
        text(
            "INSERT INTO due (id, receivable_id, step, party_id, position, due_minor, paid_minor) "
            "SELECT made.id, :receivable_id, made.step, made.party, made.position - 1, made.minor, 0 FROM unnest("
            "CAST(:ids AS uuid[]), CAST(:steps AS text[]), CAST(:parties AS uuid[]), CAST(:minors AS bigint[])) "
            "WITH ORDINALITY AS made (id, step, party, minor, position)"
        ),
        {"receivable_id": receivable.id, "ids": array(new_texts(len(dues))),
         "steps": array(steps), "parties": array(party or "null" for party in parties), "minors": array(minors)},
    )  # fmt: skip
    tx.record(
        "collection", receivable.id, verb="open_collection",
        after={"lot_id": lot.id, "due_on": receivable.due_on, "expected_on": expected, "rate_bps": rate_bps,
               "late_rate_bps": rate_bps + lot.late_bps, "dues": dues},
    )  # fmt: skip
