"""Listing an invoice: read it, judge it, register it once, and ask the debtor, or hold it for a second look."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from marketplace.kernel.calendars import is_business_day, next_business_day
from marketplace.kernel.canonical import canonical_bytes
from marketplace.kernel.errors import Conflict, InvalidInput, Problem, RuleBroken
from marketplace.kernel.ids import new_id
from marketplace.kernel.policy import Policy
from marketplace.kernel.words import N_
from marketplace.parties import queries as parties
from marketplace.parties.actions import ensure_debtor
from marketplace.parties.queries import Organisation
from marketplace.parties.rules import require_own, verb
from marketplace.parties.schemas import plain_number
from marketplace.perform import Result, Tx
from marketplace.receivables import duplicates, links, mail, queries, rules
from marketplace.receivables.einvoice import read_einvoice
from marketplace.receivables.facts import InvoiceFacts, differences
from marketplace.receivables.life import move_row
from marketplace.receivables.reading import facts_of, findings_of, format_of, problems_of
from marketplace.receivables.reviewing import open_review
from marketplace.receivables.schemas import DraftReceivable, ListReceivable, Terms, UploadDocument
from marketplace.receivables.states import ReceivableState
from marketplace.receivables.tables import (
    DocumentRow,
    DraftRow,
    FingerprintRow,
    ReceivableDocumentRow,
    ReceivableRow,
)
from marketplace.title import actions as title

NAME_KEPT = 200
FIELD_WORDS = {
    "number": N_("invoice number"), "document_type": N_("document type"), "currency": N_("currency"),
    "issued_on": N_("invoice date"), "due_on": N_("due date"), "debtor_name": N_("debtor"),
    "debtor_legal_id": N_("debtor’s company number"), "debtor_vat_id": N_("debtor’s VAT number"),
    "iban": N_("account"), "face_minor": N_("amount due"), "total_minor": N_("total"),
}  # fmt: skip


@dataclass(frozen=True)
class Considered:
    """A draft as it would be listed: its facts, every check, the look-alikes."""

    facts: InvoiceFacts
    checks: list[rules.Check]
    seller: Organisation
    debtor: Organisation | None
    matches: list[duplicates.Match]
    changed: list[dict[str, Any]]

    @property
    def may_list(self) -> bool:
        """Whether nothing forbids the listing."""
        return not rules.failures(self.checks)


@verb("draft_receivable")
def draft_receivable(tx: Tx, command: DraftReceivable) -> Result:
    """Keep an invoice as a draft: what a file says, or what was typed.

    Raises: InvalidInput when the file cannot be read; RuleBroken("document_refused") with every reason when it says
    something that cannot be sold. Nothing is kept then.
    """
    if tx.actor.organisation_id is None:
        raise queries.missing()
    draft_id = new_id()
    if command.content is None:
        read, findings, document_id, form = command.facts or InvoiceFacts(), {"listable": "review"}, None, None
    else:
        read, findings, form = _read(command.filename or "", command.content, tx.policy)
        document_id = keep_document(tx, "invoice", command.filename or "invoice", command.content)
    tx.session.add(
        DraftRow(id=draft_id, seller_id=tx.actor.organisation_id, document_id=document_id,
                 evidence="typed" if command.content is None else "einvoice", format=form, read=read.to_json(),
                 findings=findings, created_at=tx.now)
    )  # fmt: skip
    tx.session.flush()
    tx.record("draft", draft_id, after={"document_id": document_id, "format": form,
                                        "read_hash": _hash_of(read), "findings": findings.get("listable")})  # fmt: skip
    return {"draft_id": draft_id, "listable": findings["listable"], "document_id": document_id}


def _read(filename: str, content: bytes, policy: Policy) -> tuple[InvoiceFacts, dict[str, Any], str]:
    most = policy.listing.document_bytes_max
    if len(content) > most:
        raise InvalidInput("too_large", N_("The file is larger than %(most)s MB."), {"most": most // 1_000_000},
                           [Problem("document", "too_large", N_("The file is larger than %(most)s MB."),
                                    {"most": most // 1_000_000})])  # fmt: skip
    read = read_einvoice(content, filename)
    if read.listable == "no":
        raise RuleBroken("document_refused", N_("This document cannot be listed."), problems=problems_of(read))
    return facts_of(read), findings_of(read), format_of(read)


def keep_document(tx: Tx, kind: str, filename: str, content: bytes, organisation_id: UUID | None = None) -> UUID:
    """Store a file's bytes with their hash. What it is, is told by its bytes; its name is only a label."""
    row = DocumentRow(
        id=new_id(),
        organisation_id=organisation_id or tx.actor.organisation_id,
        kind=kind,
        filename=_label(filename),
        media_type=_media_type(content),
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        content=content,
        created_at=tx.now,
    )
    tx.session.add(row)
    tx.session.flush()
    tx.record("document", row.id, verb="keep_document",
              after={"kind": kind, "sha256": row.sha256, "size_bytes": row.size_bytes})  # fmt: skip
    return row.id


def _label(filename: str) -> str:
    bare = os.path.basename(filename.replace("\\", "/"))
    kept = "".join(letter for letter in bare if letter.isprintable()).strip()
    return kept[-NAME_KEPT:] or "document"


def _media_type(content: bytes) -> str:
    if b"%PDF-" in content[:1024]:
        return "application/pdf"
    return "application/xml" if content[:200].lstrip(b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n").startswith(b"<") else (
        "application/octet-stream")  # fmt: skip


@verb("upload_document")
def upload_document(tx: Tx, command: UploadDocument) -> Result:
    """File a supporting PDF (order, delivery note) with a receivable.

    Raises: NotFound; InvalidInput("not_a_pdf", "too_large").
    """
    found = queries.receivable(tx.session, command.receivable_id)
    require_own(tx.actor, found.seller_id)
    if len(command.content) > tx.policy.listing.document_bytes_max:
        raise InvalidInput("too_large", N_("The file is too large."))
    if not command.content.startswith(b"%PDF-"):
        raise InvalidInput("not_a_pdf", N_("Supporting documents are PDF files."),
                           problems=[Problem("document", "not_a_pdf", N_("Choose a PDF file."))])  # fmt: skip
    document_id = keep_document(tx, "supporting", command.filename, command.content)
    tx.session.add(ReceivableDocumentRow(receivable_id=found.id, document_id=document_id, added_at=tx.now))
    tx.session.flush()
    return {"document_id": document_id}


def consider(
    session: Session, found: queries.Draft, corrections: Mapping[str, Any], today: date, policy: Policy
) -> Considered:
    """Judge a draft with the seller's corrections. Reads only: the page shows it before anything is listed."""
    seller = parties.organisation(session, found.seller_id)
    facts = found.read.corrected(corrections)
    facts = replace(facts, debtor_country=facts.debtor_country or seller.country)
    debtor = _known_debtor(session, facts)
    return _judged(session, found, facts, seller, debtor, today, policy)


def _known_debtor(session: Session, facts: InvoiceFacts) -> Organisation | None:
    number = plain_number(facts.debtor_legal_id, facts.debtor_country or "")
    if number:
        return parties.find_by_legal_id(session, facts.debtor_country or "", number)
    vat = plain_number(facts.debtor_vat_id)
    return parties.find_by_vat_id(session, vat) if vat else None


def _judged(
    session: Session, found: queries.Draft, facts: InvoiceFacts, seller: Organisation, debtor: Organisation | None,
    today: date, policy: Policy,
) -> Considered:  # fmt: skip
    share, debtors = queries.book_share_bps(session, debtor.id if debtor else None, facts.face_minor or 0,
                                            facts.currency or "")  # fmt: skip
    changed = [] if found.evidence == "typed" else [asdict(one) for one in differences(found.read, facts)]
    earlier, matches = duplicates.search(session, facts, seller, debtor, found.document_id)
    about = rules.Circumstances(
        today=today,
        seller=_party(seller),
        debtor=_party(debtor) if debtor else None,
        related=bool(debtor and parties.related(session, seller.id, debtor.id)),
        debtor_share_bps=share,
        book_debtors=debtors,
        earlier_ref=_ref_for(session, earlier, seller.id),
        alike=tuple(_refs_for(session, matches, seller.id)),
        changed=tuple(str(FIELD_WORDS.get(one["name"], one["name"])) for one in changed),
        typed=found.evidence == "typed",
        document_words=tuple(reason["words"] for reason in found.findings.get("reasons", ())
                             if reason["code"] != "payee_is_not_seller"),
    )  # fmt: skip
    return Considered(facts, rules.judge(facts, about, policy), seller, debtor, matches, changed)


def _party(found: Organisation) -> rules.Party:
    return rules.Party(found.legal_name, found.legal_id, found.vat_id, found.country, found.iban, found.good_standing)


def _ref_for(session: Session, earlier: UUID | None, seller_id: UUID) -> str | None:
    """Return the earlier listing's reference: another seller's is not told, only that there is one."""
    if earlier is None:
        return None
    found = queries.receivable(session, earlier)
    return found.ref if found.seller_id == seller_id else "–"


def _refs_for(session: Session, matches: Sequence[duplicates.Match], seller_id: UUID) -> list[str]:
    found = queries.receivables(session, [match.receivable_id for match in matches])
    own = [one.ref for one in found.values() if one.seller_id == seller_id]
    return own if own or not matches else ["–"]


@verb("list_receivable")
def list_receivable(tx: Tx, command: ListReceivable) -> Result:
    """Register a draft as a receivable under its exact key, and ask the debtor; or hold it for two operators.

    Raises: NotFound; Conflict("draft_listed", "already_listed"); RuleBroken("not_eligible") with every reason.
    """
    row = queries.lock_draft(tx.session, command.draft_id)
    require_own(tx.actor, row.seller_id)
    if row.listed_at or row.dropped_at:
        raise Conflict("draft_listed", N_("This draft was listed already."))
    found = queries.draft(tx.session, command.draft_id)
    _one_at_a_time(tx, found, command.corrections)
    considered = consider(tx.session, found, command.corrections, tx.today, tx.policy)
    terms = _terms(command.terms, tx.policy)
    problems = rules.failures(considered.checks) + rules.judge_terms(
        deal_type=terms.deal_type, recourse=terms.recourse, reserve_bps=terms.reserve_bps,
        own_rate_bps=terms.own_rate_bps, policy=tx.policy)  # fmt: skip
    if problems:
        raise _refusal(problems)
    facts = considered.facts
    debtor_id = ensure_debtor(tx, facts.debtor_name or "", facts.debtor_legal_id, facts.debtor_vat_id,
                              facts.debtor_country or "")  # fmt: skip
    debtor = parties.organisation(tx.session, debtor_id)
    if considered.debtor is None:
        considered = _judged(tx.session, found, facts, considered.seller, debtor, tx.today, tx.policy)
        if not considered.may_list:
            raise _refusal(rules.failures(considered.checks))
    receivable = _insert(tx, found, considered, debtor, terms)
    row.listed_at = tx.now
    _register(tx, receivable, considered, debtor)
    return _send_on(tx, receivable, considered)


def _one_at_a_time(tx: Tx, found: queries.Draft, corrections: Mapping[str, Any]) -> None:
    """Let listings of one group of sellers, or about one debtor, wait for each other until the end of the transaction.

    The exact key is kept apart by its index; look-alikes have different keys and would not see each other.
    """
    facts = found.read.corrected(corrections)
    seller = parties.organisation(tx.session, found.seller_id)
    debtor = _known_debtor(tx.session, replace(facts, debtor_country=facts.debtor_country or seller.country))
    names = {str(seller.group), str(debtor.group) if debtor else (facts.debtor_name or "").strip().casefold()}
    for name in sorted(names):
        tx.session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"list {name}"})


def _refusal(problems: list[Problem]) -> RuleBroken | Conflict:
    taken = [problem for problem in problems if problem.rule == "already_listed"]
    if len(taken) == len(problems):
        return Conflict("already_listed", taken[0].words, taken[0].params, problems)
    return RuleBroken("not_eligible", N_("This invoice cannot be listed as it stands."), problems=problems)


def _terms(terms: Terms, policy: Policy) -> Terms:
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
        raise RuleBroken("not_eligible", N_("This invoice cannot be listed as it stands."))
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
        **asdict(terms),
    )
    tx.session.add(row)
    tx.session.flush()
    tx.record("receivable", row.id, after={
        "ref": row.ref, "state": row.state, "seller_id": row.seller_id, "debtor_id": row.debtor_id,
        "currency": row.currency, "face_minor": row.face_minor, "issued_on": row.issued_on, "due_on": row.due_on,
        "expected_on": row.expected_on, "evidence": row.evidence, "document_id": row.document_id,
        "facts_hash": _hash_of(facts), **asdict(terms)})  # fmt: skip
    return row


def _register(tx: Tx, row: ReceivableRow, considered: Considered, debtor: Organisation) -> None:
    """Enter the title under the exact key; the unique index decides, whatever was read before.

    Raises: Conflict("already_listed") naming the earlier reference.
    """
    prints = duplicates.fingerprints(considered.facts, considered.seller, debtor, row.document_id, tx.session)
    try:
        title.register(tx, row.id, row.seller_id, row.face_minor, row.currency, prints.exact)
    except Conflict as error:
        earlier = duplicates.registered(tx.session, prints.exact)
        params = {"ref": _ref_for(tx.session, earlier, row.seller_id) or "–"}
        words = N_("This invoice is already listed as %(ref)s. It can be sold only once.")
        raise Conflict("already_listed", words, params,
                       [Problem("number", "already_listed", words, params)]) from error  # fmt: skip
    tx.session.add_all(FingerprintRow(receivable_id=row.id, kind=kind, value=value) for kind, value in prints.all())
    tx.session.flush()


def _send_on(tx: Tx, row: ReceivableRow, considered: Considered) -> Result:
    looks = rules.held(considered.checks)
    if looks:
        move_row(tx, row, ReceivableState.HELD_FOR_REVIEW, looks[0].rule)
        open_review(tx, row, _cause(looks), looks, considered.matches, considered.changed)
    else:
        move_row(tx, row, ReceivableState.AWAITING_CONFIRMATION)
        token = links.issue(tx, row.id, links.CONFIRM)
        mail.queue_link(tx, row, considered.seller.legal_name, links.CONFIRM, token)
    return {"receivable_id": row.id, "ref": row.ref, "state": row.state,
            "held_for": [check.rule for check in looks]}  # fmt: skip


CAUSES = {"near_match": "near_match", "payee": "outside_evidence", "iban": "outside_evidence",
          "differences": "differences"}  # fmt: skip


def _cause(looks: list[rules.Check]) -> str:
    """Return the gravest cause: a look-alike, then outside evidence, then differences, then the document itself."""
    causes = {CAUSES.get(check.rule, "document") for check in looks}
    return next(cause for cause in ("near_match", "outside_evidence", "differences", "document") if cause in causes)


def _hash_of(facts: InvoiceFacts) -> str:
    return hashlib.sha256(canonical_bytes(facts.to_json())).hexdigest()
