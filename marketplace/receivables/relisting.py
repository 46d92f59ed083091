"""A receivable that left the market unsold comes back: the same one, on new terms, past every wall once more."""

from dataclasses import asdict
from datetime import date
from uuid import UUID

from marketplace.kernel.errors import Conflict, Problem, RuleBroken
from marketplace.kernel.words import N_
from marketplace.parties import queries as parties
from marketplace.parties.rules import require_own, verb
from marketplace.perform import Result, Tx
from marketplace.receivables import queries, rules
from marketplace.receivables.listing import expected_day, keep_round, require_listable, send_on, terms_of
from marketplace.receivables.relisting_schemas import RelistReceivable, RenewKeys
from marketplace.receivables.schemas import Terms
from marketplace.receivables.tables import ReceivableRow
from marketplace.receivables.walls import duplicates
from marketplace.receivables.walls.considering import (
    FIELD_WORDS,
    can_come_back,
    corrected,
    judged,
    known_debtor,
    subject,
)
from marketplace.receivables.walls.rechecking import notices, unreleased
from marketplace.title import actions as title

# What the invoice must still say; seller, debtor, number, kind and currency are in its key.
SAME = ("issued_on", "due_on", "face_minor", "total_minor", "iban")


@verb("relist_receivable")
def relist_receivable(tx: Tx, command: RelistReceivable) -> Result:
    """Bring back what was withdrawn, lapsed, or was refused until put right: same id, ref and key, a new round.

    Nothing of what the invoice says may differ: another amount or date is another claim, or a changed one, and people
    must see that. Its debtor is asked again, for the seller may have sold it elsewhere meanwhile.

    Raises: NotFound; RuleBroken("cannot_come_back", "another_invoice", "differs_from_listing", "not_eligible") with
    every reason; Conflict("draft_listed", "already_assigned").
    """
    if command.draft_id is not None:
        _take_draft(tx, command.draft_id, command.receivable_id)
    row = queries.lock_row(tx.session, command.receivable_id)
    require_own(tx.actor, row.seller_id)
    before = queries.as_receivable(row)
    if not can_come_back(tx.session, before):
        raise RuleBroken("cannot_come_back", N_("Only what left the market unsold, and was not refused for good, "
                                                "can come back."))  # fmt: skip
    found = queries.source(tx.session, row.id)
    seller, debtor = (parties.organisation(tx.session, who) for who in (row.seller_id, row.debtor_id))
    keys = duplicates.keys_of(subject(tx.session, found, before.facts, seller, debtor))
    duplicates.wait_in_turn(tx, keys)
    considered = judged(tx.session, found, before.facts, seller, debtor, tx.today, tx.policy, returning=before)
    terms = terms_of(command.terms, tx.policy)
    require_listable(considered, terms, tx.policy)
    looks = unreleased(tx.session, row.id, [*rules.held(considered.checks), *notices(tx.session, row)])
    keep_round(tx, row.id, row.round + 1, terms, seller, command.draft_id)
    title.revive(tx, row.id, row.seller_id)
    duplicates.keep_keys(tx, row.id, keys)
    expected_on = expected_day(row.due_on, tx.policy, debtor.country)
    with tx.session.no_autoflush:  # terms and state change in one statement: the database allows no other way
        _offer_again(row, terms, expected_on, tx.policy.version)
        done = send_on(tx, row, considered, looks)
    after = {"state": row.state, "round": row.round, "draft_id": command.draft_id, **asdict(terms)}
    tx.record("receivable", row.id, before={"state": before.state, "round": before.round}, after=after)
    return {**done, "round": row.round}


def _take_draft(tx: Tx, draft_id: UUID, receivable_id: UUID) -> None:
    """Use up the draft of the invoice that was dropped again, if it says what was listed.

    Raises: NotFound; Conflict("draft_listed"); RuleBroken("another_invoice", "differs_from_listing").
    """
    row = queries.lock_draft(tx.session, draft_id)
    require_own(tx.actor, row.seller_id)
    if row.listed_at or row.dropped_at:
        raise Conflict("draft_listed", N_("This draft was listed already."))
    listed = queries.receivable(tx.session, receivable_id)
    require_own(tx.actor, listed.seller_id)
    found, seller = queries.draft(tx.session, draft_id), parties.organisation(tx.session, row.seller_id)
    again = corrected(found, {}, seller)
    exact = duplicates.exact_of(subject(tx.session, found, again, seller, known_debtor(tx.session, again)))
    if exact is None or duplicates.registered(tx.session, exact) != listed.id:
        raise RuleBroken("another_invoice", N_("This is another invoice than the one that left the market."))
    pairs = [(name, getattr(listed.facts, name), getattr(again, name)) for name in SAME]
    problems = [
        Problem(name, "differs_from_listing", N_("%(field)s: it was %(listed)s, and is %(given)s now."),
                {"field": FIELD_WORDS[name], "listed": str(one), "given": str(other)})
        for name, one, other in pairs if one is not None and other is not None and one != other
    ]  # fmt: skip
    if problems:
        words = N_("It says otherwise than the invoice that was listed.")
        raise RuleBroken("differs_from_listing", words, problems=problems)
    row.listed_at = tx.now


def _offer_again(row: ReceivableRow, terms: Terms, expected_on: date, policy_version: str) -> None:
    for name, value in asdict(terms).items():
        setattr(row, name, value)
    row.policy_version, row.round, row.expected_on = policy_version, row.round + 1, expected_on
    row.confirmed_at = row.confirmed_by = row.promised_on = row.closed_at = None


@verb("renew_keys")
def renew_keys(tx: Tx, command: RenewKeys) -> Result:
    """Write the keys under which a receivable is found again, after what makes them has changed."""
    row = queries.lock_row(tx.session, command.receivable_id)
    _, about = duplicates.subjects(tx.session, [row.id])[row.id]
    keys = duplicates.keys_of(about)
    duplicates.keep_keys(tx, row.id, keys)
    before, row.keys_version = row.keys_version, duplicates.KEYS_VERSION
    tx.session.flush()
    tx.record("receivable", row.id, before={"keys_version": before}, after={"keys_version": row.keys_version})
    return {"receivable_id": row.id, "keys": len(keys)}
