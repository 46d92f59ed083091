"""Writing the ledger, inside the transaction of whoever calls. Set-based: one statement a kind of row."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import insert, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import DBAPIError, IntegrityError

from marketplace.db import array
from marketplace.kernel.errors import IntegrityBreach, RuleBroken
from marketplace.kernel.ids import new_id, new_texts
from marketplace.kernel.words import N_
from marketplace.ledger.rules import Debits, Leg, chart, netted
from marketplace.ledger.tables import Account, Entry, Hold, Posting
from marketplace.perform import Tx

# What is told comes back as the texts that an event is written with: thousands of ids need not be read and written.
TOLD_OF_POSTING = ("account_id", "code", "organisation_id", "currency", "pool", "minor")
LEGS = """
        SELECT account.*, leg.minor FROM unnest(CAST(:ids AS uuid[]), CAST(:minors AS bigint[])) AS leg (id, minor)
        JOIN account ON account.id = leg.id"""
LEGS_OF_MANY = f"""{LEGS}
        UNION ALL
        SELECT account.*, owed.minor FROM unnest(CAST(:owners AS uuid[]), CAST(:owed AS bigint[])) AS owed (by, minor)
        JOIN account ON organisation_id = owed.by AND code = :code AND currency = :currency"""  # noqa: S608
POSTINGS = """
    WITH named AS MATERIALIZED ({legs}),
    written AS (
        INSERT INTO posting (entry_id, account_id, currency, pool, side, minor)
        SELECT :entry_id, id, currency, pool, side, minor FROM named)
    SELECT CAST(id AS text), code, CAST(organisation_id AS text), currency, pool, minor FROM named ORDER BY named.id"""
# A hold as a part of one statement with what it stands behind; the caller records it and heeds `refused_or`.
HOLDING = (
    "INSERT INTO hold (id, account_id, minor, subject_kind, subject_id) "
    "VALUES (:hold_id, :account_id, :minor, :subject_kind, :subject_id)"
)


def account(tx: Tx, code: str, organisation_id: UUID | None, currency: str) -> UUID:
    """Return the account's id, opening it if it is new. `organisation_id` is None for the platform's own.

    Raises: IntegrityBreach when the chart has no such account.
    """
    kind = chart().get(code)
    if kind is None or (kind.owner == "organisation") != (organisation_id is not None):
        raise IntegrityBreach("no_such_account", f"The chart of accounts has no {code} for this owner.")
    wanted = select(Account.id).where(
        Account.code == code,
        Account.organisation_id.is_not_distinct_from(organisation_id),
        Account.currency == currency,
    )
    known = tx.session.execute(wanted).scalar_one_or_none()
    if known is not None:
        return known
    tx.session.execute(
        upsert(Account)
        .values(id=new_id(), code=code, organisation_id=organisation_id, currency=currency,
                pool=kind.pool, side=kind.side, guarded=kind.guarded)
        .on_conflict_do_nothing()
    )  # fmt: skip
    return tx.session.execute(wanted).scalar_one()


def accounts(tx: Tx, code: str, owners: Collection[UUID], currency: str) -> dict[UUID, UUID]:
    """Return the accounts of many organisations by owner, opening those that are new: two statements, however many.

    Raises: IntegrityBreach when the chart has no such account for organisations.
    """
    kind = chart().get(code)
    if kind is None or kind.owner != "organisation":
        raise IntegrityBreach("no_such_account", f"The chart of accounts has no {code} for this owner.")
    wanted = sorted(set(owners), key=lambda owner: owner.int)
    known = _accounts_of(tx, code, wanted, currency)
    new = [owner for owner in wanted if owner not in known]
    if new:
        tx.session.execute(
            text(
                "INSERT INTO account (id, code, organisation_id, currency, pool, side, guarded) "
                "SELECT made.id, :code, made.owner, :currency, :pool, :side, :guarded "
                "FROM unnest(CAST(:ids AS uuid[]), CAST(:owners AS uuid[])) AS made (id, owner) ON CONFLICT DO NOTHING"
            ),
            {"code": code, "currency": currency, "pool": kind.pool, "side": kind.side, "guarded": kind.guarded,
             "ids": array(new_texts(len(new))), "owners": array(new)},
        )  # fmt: skip
        known |= _accounts_of(tx, code, new, currency)
    return known


def _accounts_of(tx: Tx, code: str, owners: Sequence[UUID], currency: str) -> dict[UUID, UUID]:
    rows = tx.session.execute(
        text(
            "SELECT organisation_id, id FROM account WHERE code = :code AND currency = :currency "
            "AND organisation_id = ANY(CAST(:owners AS uuid[]))"
        ),
        {"code": code, "currency": currency, "owners": array(owners)},
    ).all()
    return {row.organisation_id: row.id for row in rows}


def post_entry(
    tx: Tx,
    kind: str,
    subject_kind: str,
    subject_id: UUID,
    legs: Iterable[Leg],
    *,
    of_many: Debits | None = None,
    holds: Sequence[UUID | str] = (),
    reverses_id: UUID | None = None,
    reason: str | None = None,
) -> UUID:
    """Write one entry with its postings, turning `holds` into postings first, and record it.

    Legs on one account are netted; `of_many` debits accounts that exist and that no leg names. The database refuses at
    commit what does not balance per currency and pool, and at once what would take client money below zero.

    Raises: RuleBroken("insufficient_cash").
    """
    entry_id = new_id()
    tx.session.execute(
        insert(Entry).values(id=entry_id, kind=kind, subject_kind=subject_kind, subject_id=subject_id,
                             business_on=tx.today, reverses_id=reverses_id)
    )  # fmt: skip
    if holds:
        _end_holds(tx, holds, "posted", entry_id)
    told = _write_postings(tx, entry_id, netted(legs), of_many)
    tx.record(
        "entry",
        entry_id,
        verb="post_entry",
        reason=reason,
        after={
            "kind": kind,
            "subject_kind": subject_kind,
            "subject_id": subject_id,
            "business_on": tx.today,
            "reverses_id": reverses_id,
            "postings": told,
            "holds_posted": sorted(map(str, holds)),
        },
    )
    return entry_id


def _write_postings(
    tx: Tx, entry_id: UUID, legs: Sequence[Leg], of_many: Debits | None
) -> list[dict[str, object]]:  # fmt: skip
    """Write all postings in one statement and return what is told of them, in account order."""
    given = {"entry_id": entry_id, "ids": array(leg.account_id for leg in legs),
             "minors": array(leg.minor for leg in legs)}  # fmt: skip
    if of_many is not None:
        given |= {"code": of_many.code, "currency": of_many.currency, "owners": array(of_many.minors),
                  "owed": array(of_many.minors.values())}  # fmt: skip
    statement = text(POSTINGS.format(legs=LEGS_OF_MANY if of_many else LEGS))
    try:
        rows = tx.session.execute(statement, given).all()
    except DBAPIError as error:
        raise refused_or(error) from error
    if len(rows) != len(legs) + (len(of_many.minors) if of_many else 0):
        raise IntegrityBreach("no_such_account", "A leg names an account that does not exist.")
    return [dict(zip(TOLD_OF_POSTING, row, strict=True)) for row in rows]


def place_hold(tx: Tx, account_id: UUID, minor: int, subject_kind: str, subject_id: UUID) -> UUID:
    """Set aside `minor` > 0 of an account and return the hold's id.

    Raises: RuleBroken("insufficient_cash") when less is free; nothing changes.
    """
    hold_id = new_id()
    try:
        with tx.session.begin_nested():
            tx.session.execute(
                insert(Hold).values(id=hold_id, account_id=account_id, minor=minor,
                                    subject_kind=subject_kind, subject_id=subject_id)
            )  # fmt: skip
    except DBAPIError as error:
        raise refused_or(error) from error
    after = {"account_id": account_id, "minor": minor, "subject_kind": subject_kind, "subject_id": subject_id}
    tx.record("hold", hold_id, verb="place_hold", after=after)
    return hold_id


@dataclass(frozen=True)
class Wanted:
    """A hold to be placed: its id, the account, how much, and what it stands behind."""

    id: UUID
    account_id: UUID
    minor: int
    subject_kind: str
    subject_id: UUID


def place_holds(tx: Tx, wanted: Sequence[Wanted]) -> None:
    """Set aside money of many accounts, all of it or nothing.

    Raises: RuleBroken("insufficient_cash") when less is free in one of them.
    """
    if not wanted:
        return
    told = [{name: getattr(one, name) for name in ("account_id", "minor", "subject_kind", "subject_id")}
            for one in wanted]  # fmt: skip
    try:
        with tx.session.begin_nested():
            tx.session.execute(insert(Hold), [{"id": one.id, **row} for one, row in zip(wanted, told, strict=True)])
    except DBAPIError as error:
        raise refused_or(error) from error
    tx.record_many("hold", "place_hold", [(one.id, None, row) for one, row in zip(wanted, told, strict=True)])


def resolve_holds(tx: Tx, holds: Sequence[UUID], outcome: str) -> None:
    """End holds without a posting, each at most once: 'voided' or 'expired'.

    Raises: IntegrityBreach("hold_resolved") when one of them has ended before.
    """
    if not holds:
        return
    _end_holds(tx, holds, outcome, None)
    tx.record("hold", holds[0], verb="resolve_holds",
              after={"outcome": outcome, "holds": sorted(str(hold) for hold in holds)})  # fmt: skip


def _end_holds(tx: Tx, holds: Iterable[UUID | str], outcome: str, entry_id: UUID | None) -> None:
    try:
        with tx.session.begin_nested():
            tx.session.execute(
                text(
                    "INSERT INTO hold_resolution (hold_id, outcome, entry_id, resolved_at) SELECT hold, :outcome, "
                    "CAST(:entry_id AS uuid), (SELECT market_now()) FROM unnest(CAST(:holds AS uuid[])) AS hold"
                ),
                {"holds": array(holds), "outcome": outcome, "entry_id": entry_id},
            )
    except IntegrityError as error:
        raise IntegrityBreach("hold_resolved", "A hold ends only once.") from error


def void_holds(tx: Tx, together: Sequence[Sequence[UUID]]) -> None:
    """End many holds without a posting, in one statement; each sequence that is not empty is one event.

    Raises: IntegrityBreach("hold_resolved") when one of them has ended before.
    """
    some = [sorted(holds) for holds in together if holds]
    if not some:
        return
    told = [[str(hold) for hold in holds] for holds in some]
    try:
        with tx.session.begin_nested():
            tx.session.execute(
                text(
                    "INSERT INTO hold_resolution (hold_id, outcome, resolved_at) "
                    "SELECT hold, 'voided', (SELECT market_now()) FROM unnest(CAST(:holds AS uuid[])) AS hold"
                ),
                {"holds": array(hold for holds in told for hold in holds)},
            )
    except IntegrityError as error:
        raise IntegrityBreach("hold_resolved", "A hold ends only once.") from error
    events = [(holds[0], None, {"outcome": "voided", "holds": named}) for holds, named in zip(some, told, strict=True)]
    tx.record_many("hold", "resolve_holds", events)


def reverse_entry(tx: Tx, entry_id: UUID, reason: str) -> UUID:
    """Undo an entry by its mirror image; at most once, which the database keeps.

    Raises: IntegrityBreach("already_reversed").
    """
    entry = tx.session.execute(select(Entry).where(Entry.id == entry_id)).scalar_one()
    legs = [
        Leg(account_id, -minor)
        for account_id, minor in tx.session.execute(
            select(Posting.account_id, Posting.minor).where(Posting.entry_id == entry_id)
        )
    ]
    try:
        return post_entry(tx, f"reverse_{entry.kind}", entry.subject_kind, entry.subject_id, legs,
                          reverses_id=entry_id, reason=reason)  # fmt: skip
    except IntegrityError as error:
        raise IntegrityBreach("already_reversed", "An entry is reversed only once.") from error


def refused_or(error: DBAPIError) -> Exception:
    """Return the market's word for the database's refusal to overdraw, or the error itself."""
    diag = getattr(error.orig, "diag", None)
    if diag is not None and diag.constraint_name == "ck_balance_guarded":
        return RuleBroken("insufficient_cash", N_("There is not enough free cash in the account."))
    return error
