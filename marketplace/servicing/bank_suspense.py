"""What a bank file told of and nothing matched: item by item, since when, from whom, and what is left of it."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from marketplace.banking import orders
from marketplace.banking.queries import LEFT_MINOR
from marketplace.kernel.errors import NotFound, RuleBroken
from marketplace.kernel.words import N_
from marketplace.parties import queries as parties
from marketplace.perform import Tx
from marketplace.servicing import suspense


@dataclass(frozen=True)
class BankItem:
    """Money of one entry of the bank's that is nobody's yet. The sender is known where the bank told of him."""

    bank_entry_id: UUID
    bank_ref: str
    currency: str
    minor: int
    left_minor: int
    words: str
    reference: str | None
    sender_name: str | None
    sender_iban: str | None
    booked_on: date
    since: datetime
    days: int


CASH = {"investor": ("investor_cash", "lender"), "seller": ("seller_cash", "borrower")}
# What the bank took back is not here any more, whatever became of it before.
ITEMS = """
SELECT * FROM (
    SELECT b.id AS bank_entry_id, b.key AS bank_ref, b.currency, b.minor, b.words, b.reference,
        b.sender_name, b.sender_iban, b.booked_on,
        :left AS left_minor,
        b.at AS since, (market_now()::date - b.booked_on) AS days
    FROM bank_entry b
    WHERE b.outcome = 'suspense' AND (CAST(:bank_entry_id AS uuid) IS NULL OR b.id = :bank_entry_id)
      AND NOT EXISTS (SELECT FROM bank_entry u WHERE u.reverses_id = b.id)
) AS items WHERE left_minor > 0 ORDER BY booked_on, since, bank_entry_id LIMIT 500
""".replace(":left", LEFT_MINOR)


def items(session: Session, bank_entry_id: UUID | None = None) -> list[BankItem]:
    """Return what is left, longest there first; of one entry when named."""
    return [BankItem(**row._mapping) for row in session.execute(text(ITEMS), {"bank_entry_id": bank_entry_id})]


def item(session: Session, bank_entry_id: UUID, minor: int) -> BankItem:
    """Return an item of which so much is left. Raises: NotFound; RuleBroken("more_than_left")."""
    found = next(iter(items(session, bank_entry_id)), None)
    if found is None:
        raise NotFound("not_found", N_("There is no such thing, or you may not see it."))
    if minor > found.left_minor:
        raise RuleBroken.about("minor", "more_than_left", suspense.NOT_SO_MUCH)
    return found


def lock(tx: Tx, bank_entry_id: UUID, minor: int) -> BankItem:
    """Keep bank files and others who work off away until the transaction ends, then return the item as it is.

    Raises: RuleBroken("worked_off") where nothing is left since it was proposed, "more_than_left".
    """
    orders.keep_others_away(tx)
    try:
        return item(tx.session, bank_entry_id, minor)
    except NotFound:
        raise RuleBroken("worked_off", suspense.WORKED_OFF) from None


def cash_of(session: Session, organisation_id: UUID) -> tuple[str, str]:
    """Return an organisation's own cash account and its pool. Raises: NotFound; RuleBroken("no_cash_account")."""
    kind = parties.organisation(session, organisation_id).kind
    if kind not in CASH:
        raise RuleBroken("no_cash_account", N_("Only investors and sellers have cash here."))
    return CASH[kind]


def target(session: Session, receivable_id: UUID, currency: str) -> UUID:
    """Return who owes a receivable to which money of this currency may be applied.

    Raises: RuleBroken("not_owed_here").
    """
    row = session.execute(
        text("SELECT debtor_id, currency FROM collection WHERE receivable_id = :id"), {"id": receivable_id}
    ).one_or_none()
    if row is None or row.currency != currency:
        raise RuleBroken.about("ref", "not_owed_here", N_("It goes only to a funded receivable in this currency."))
    debtor_id: UUID = row.debtor_id
    return debtor_id
