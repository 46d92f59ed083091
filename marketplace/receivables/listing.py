"""Listing an invoice: judge it, register it once, and ask the debtor, or hold it for a second look."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import date, timedelta
from uuid import UUID

from sqlalchemy import text

from marketplace.kernel.calendars import is_business_day, next_business_day
from marketplace.kernel.errors import Conflict, Problem, RuleBroken
from marketplace.kernel.policy import Policy
from marketplace.kernel.words import N_
from marketplace.parties import queries as parties
from marketplace.parties.actions import ensure_debtor
from marketplace.parties.queries import Organisation
from marketplace.parties.rules import require_own, verb
from marketplace.perform import Result, Tx
from marketplace.receivables import queries, rules
from marketplace.receivables.debtor import links, mail
from marketplace.receivables.drafting import hash_of
from marketplace.receivables.facts import InvoiceFacts
from marketplace.receivables.life import move_row
from marketplace.receivables.schemas import ListReceivable, Terms
from marketplace.receivables.states import ReceivableState
from marketplace.receivables.tables import ListingRoundRow, ReceivableRow
from marketplace.receivables.walls import duplicates
from marketplace.receivables.walls.considering import Considered, corrected, judged, known_debtor, subject
from marketplace.receivables.walls.reviewing import open_review
from marketplace.title import actions as title

NOT_ELIGIBLE = N_("This invoice cannot be listed as it stands.")


@verb("list_receivable")
def list_receivable(tx: Tx, command: ListReceivable) -> Result:
    """Register a draft as a receivable under its exact key, and ask the debtor; or hold it for two operators.

    Raises: NotFound; Conflict("draft_listed", "already_listed"); RuleBroken("not_eligible") with every reason.
    """
    draft = queries.lock_draft(tx.session, command.draft_id)
    require_own(tx.actor, draft.seller_id)
    if draft.listed_at or draft.dropped_at:
        raise Conflict("draft_listed", N_("This draft was listed already."))
    found = queries.draft(tx.session, command.draft_id)
    seller = parties.organisation(tx.session, found.seller_id)
    facts = corrected(found, command.corrections, seller)
    debtor = _debtor(tx, facts)
    about = subject(tx.session, found, facts, seller, debtor)
    keys = duplicates.keys_of(about)
    duplicates.wait_in_turn(tx, keys)
    considered = judged(tx.session, found, facts, seller, debtor, tx.today, tx.policy)
    terms = terms_of(command.terms, tx.policy)
    require_listable(considered, terms, tx.policy)
    exact = duplicates.exact_of(about)
    if debtor is None or exact is None:
        raise RuleBroken("not_eligible", NOT_ELIGIBLE)
    row = _insert(tx, found, considered, debtor, terms)
    draft.listed_at = tx.now
    _register(tx, row, exact)
    duplicates.keep_keys(tx, row.id, keys)
    return send_on(tx, row, considered, rules.held(considered.checks))


def _debtor(tx: Tx, facts: InvoiceFacts) -> Organisation | None:
    """Return the debtor, made known where it was not; None when the invoice does not name it well enough.

    Whoever is first to name a debtor makes it known; a second one waits for that at the index of register numbers, so
    that both see one debtor. Where the listing is refused after all, nothing of it stays.
    """
    if known := known_debtor(tx.session, facts):
        return known
    if not facts.debtor_name or not (facts.debtor_legal_id or facts.debtor_vat_id):
        return None
    made = ensure_debtor(tx, facts.debtor_name, facts.debtor_legal_id, facts.debtor_vat_id, facts.debtor_country or "")
    return parties.organisation(tx.session, made)


def require_listable(considered: Considered, terms: Terms, policy: Policy) -> None:
    """Let through what nothing forbids.

    Raises: Conflict("already_listed"); RuleBroken("not_eligible") with every reason.
    """
    problems = rules.failures(considered.checks) + rules.judge_terms(
        deal_type=terms.deal_type, recourse=terms.recourse, reserve_bps=terms.reserve_bps,
        own_rate_bps=terms.own_rate_bps, buy_now_bps=terms.buy_now_bps, policy=policy)  # fmt: skip
    if not problems:
        return
    taken = [problem for problem in problems if problem.rule == "already_listed"]
    if len(taken) == len(problems):
        raise Conflict("already_listed", taken[0].words, taken[0].params, problems)
    raise RuleBroken("not_eligible", NOT_ELIGIBLE, problems=problems)


def terms_of(terms: Terms, policy: Policy) -> Terms:
    """Return the terms with the market's own numbers where the seller chose none."""
    return replace(
        terms,
        min_share_bps=terms.min_share_bps or policy.auction.min_share_bps,
        price_rule=terms.price_rule or policy.auction.price_rule,
    )


def expected_day(due_on: date, policy: Policy, country: str) -> date:
    """Return the day on which payment is expected: due, plus the market's lateness, moved to a business day."""
    day = due_on + timedelta(days=policy.collection.lateness_days)
    return day if is_business_day(day, country) else next_business_day(day, country)


def _insert(tx: Tx, found: queries.Draft, considered: Considered, debtor: Organisation, terms: Terms) -> ReceivableRow:
    facts, number = considered.facts, tx.session.execute(text("SELECT nextval('receivable_ref')")).scalar_one()
    if facts.due_on is None or facts.issued_on is None or facts.face_minor is None:
        raise RuleBroken("not_eligible", NOT_ELIGIBLE)
    row = ReceivableRow(
        id=found.id,
        ref=f"DB-{tx.today:%y}-{number:04d}",
        seller_id=found.seller_id,
        debtor_id=debtor.id,
        number=facts.number,
        document_type=facts.document_type,
        currency=facts.currency,
        face_minor=facts.face_minor,
        total_minor=facts.total_minor or facts.face_minor,
        issued_on=facts.issued_on,
        due_on=facts.due_on,
        expected_on=expected_day(facts.due_on, tx.policy, debtor.country),
        purchase_order=facts.purchase_order,
        facts=facts.to_json(),
        evidence=found.evidence,
        document_id=found.document_id,
        sector=debtor.sector or considered.seller.sector,
        debtor_email=facts.debtor_email,
        policy_version=tx.policy.version,
        state=str(ReceivableState.DRAFTED),
        state_since=tx.now,
        listed_at=tx.now,
        round=1,
        keys_version=duplicates.KEYS_VERSION,
        **asdict(terms),
    )
    tx.session.add(row)
    tx.session.flush()
    keep_round(tx, row.id, 1, terms, considered.seller)
    tx.record("receivable", row.id, after={
        "ref": row.ref, "state": row.state, "seller_id": row.seller_id, "debtor_id": row.debtor_id,
        "currency": row.currency, "face_minor": row.face_minor, "issued_on": row.issued_on, "due_on": row.due_on,
        "expected_on": row.expected_on, "evidence": row.evidence, "document_id": row.document_id,
        "facts_hash": hash_of(facts), **asdict(terms)})  # fmt: skip
    return row


def keep_round(
    tx: Tx, receivable_id: UUID, number: int, terms: Terms, seller: Organisation, draft_id: UUID | None = None
) -> None:
    """Write down on what terms a receivable is offered this time, and where its seller is paid now."""
    tx.session.add(
        ListingRoundRow(receivable_id=receivable_id, round=number, draft_id=draft_id, listed_at=tx.now,
                        policy_version=tx.policy.version, paid_to=duplicates.account_mark(seller.iban), **asdict(terms))
    )  # fmt: skip
    tx.session.flush()


def _register(tx: Tx, row: ReceivableRow, exact: bytes) -> None:
    """Enter the title under the exact key; the unique index decides, whatever was read before.

    Raises: Conflict("already_listed") naming the earlier reference.
    """
    try:
        title.register(tx, row.id, row.seller_id, row.face_minor, row.currency, exact)
    except Conflict as error:
        earlier = duplicates.registered(tx.session, exact)
        known = queries.receivable(tx.session, earlier) if earlier else None
        params = {"ref": known.ref if known and known.seller_id == row.seller_id else "–"}
        words = N_("This invoice is already listed as %(ref)s. It can be sold only once.")
        raise Conflict("already_listed", words, params,
                       [Problem("number", "already_listed", words, params)]) from error  # fmt: skip


def send_on(tx: Tx, row: ReceivableRow, considered: Considered, looks: Sequence[rules.Check]) -> Result:
    """Hold a listing that a person must look at, or ask its debtor."""
    if looks:
        move_row(tx, row, ReceivableState.HELD_FOR_REVIEW, looks[0].rule)
        open_review(tx, row, rules.cause_of(looks), looks, considered.matches, considered.changed)
    else:
        move_row(tx, row, ReceivableState.AWAITING_CONFIRMATION)
        token = links.issue(tx, row.id, links.CONFIRM)
        mail.queue_link(tx, row, considered.seller.legal_name, links.CONFIRM, token)
    return {"receivable_id": row.id, "ref": row.ref, "state": row.state,
            "held_for": [check.rule for check in looks]}  # fmt: skip
