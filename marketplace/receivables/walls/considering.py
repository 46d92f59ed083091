"""An invoice as it would be listed: its facts, every check, what resembles it. Reads only."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from marketplace.kernel.clock import business_date
from marketplace.kernel.policy import Policy
from marketplace.kernel.words import N_
from marketplace.parties import queries as parties
from marketplace.parties.queries import Organisation
from marketplace.parties.schemas import plain_number
from marketplace.receivables import queries, rules
from marketplace.receivables.debtor import queries as debtor_queries
from marketplace.receivables.facts import InvoiceFacts, differences
from marketplace.receivables.plain import plain_day
from marketplace.receivables.states import CURABLE, ReceivableState
from marketplace.receivables.walls import duplicates
from marketplace.receivables.walls.duplicates import Match, Subject
from marketplace.title import queries as title

FIELD_WORDS = {
    "number": N_("invoice number"), "document_type": N_("document type"), "currency": N_("currency"),
    "issued_on": N_("invoice date"), "due_on": N_("due date"), "debtor_name": N_("debtor"),
    "debtor_legal_id": N_("debtor’s company number"), "debtor_vat_id": N_("debtor’s VAT number"),
    "iban": N_("account"), "face_minor": N_("amount due"), "total_minor": N_("total"),
}  # fmt: skip


@dataclass(frozen=True)
class Considered:
    """A draft as it would be listed: its facts, every check, the look-alikes, and the own listing it was before."""

    facts: InvoiceFacts
    checks: list[rules.Check]
    seller: Organisation
    debtor: Organisation | None
    matches: list[Match]
    changed: list[dict[str, Any]]
    earlier: queries.Receivable | None = None

    @property
    def may_list(self) -> bool:
        """Whether nothing forbids the listing."""
        return not rules.failures(self.checks)


def consider(
    session: Session, found: queries.Draft, corrections: Mapping[str, Any], today: date, policy: Policy
) -> Considered:
    """Judge a draft with the seller's corrections: the page shows it before anything is listed."""
    seller = parties.organisation(session, found.seller_id)
    facts = corrected(found, corrections, seller)
    return judged(session, found, facts, seller, known_debtor(session, facts), today, policy)


def corrected(found: queries.Draft, corrections: Mapping[str, Any], seller: Organisation) -> InvoiceFacts:
    """Return what a draft says with the seller's corrections. A debtor without a country is sought in the seller's."""
    facts = found.read.corrected(corrections)
    return replace(facts, debtor_country=facts.debtor_country or seller.country)


def known_debtor(session: Session, facts: InvoiceFacts) -> Organisation | None:
    """Return the organisation that an invoice names as debtor by a number, if the market knows it."""
    number = plain_number(facts.debtor_legal_id, facts.debtor_country or "")
    if number:
        return parties.find_by_legal_id(session, facts.debtor_country or "", number)
    vat = plain_number(facts.debtor_vat_id)
    return parties.find_by_vat_id(session, vat) if vat else None


def subject(
    session: Session, found: queries.Draft, facts: InvoiceFacts, seller: Organisation, debtor: Organisation | None
) -> Subject:
    """Return a draft as the matcher is asked about it."""
    sha256 = queries.document(session, found.document_id).sha256 if found.document_id else None
    return Subject(facts, seller, debtor, sha256)


def judged(
    session: Session, found: queries.Draft, facts: InvoiceFacts, seller: Organisation, debtor: Organisation | None,
    today: date, policy: Policy, returning: queries.Receivable | None = None,
) -> Considered:  # fmt: skip
    """Judge facts by every rule. `returning` is the receivable that comes back: it does not stand against itself."""
    share, debtors = queries.book_share_bps(session, debtor.id if debtor else None, facts.face_minor or 0,
                                            facts.currency or "")  # fmt: skip
    changed = [] if found.evidence == "typed" else [asdict(one) for one in differences(found.read, facts)]
    own = {returning.id} if returning else set()
    alike = duplicates.search(session, subject(session, found, facts, seller, debtor), own)
    earlier = queries.receivable(session, alike.earlier) if alike.earlier and alike.earlier not in own else None
    back = earlier if earlier and earlier.seller_id == seller.id and can_come_back(session, earlier) else None
    about = rules.Circumstances(
        today=today,
        seller=party(seller),
        debtor=party(debtor) if debtor else None,
        related=bool(debtor and parties.related(session, seller.id, debtor.id)),
        debtor_share_bps=share,
        book_debtors=debtors,
        earlier_ref=_ref_for(earlier, seller.id),
        left_on=plain_day(business_date(back.closed_at, policy.zone)) if back and back.closed_at else None,
        came_back=returning.ref if returning and returning.state == ReceivableState.REJECTED else None,
        round=returning.round + 1 if returning else 1,
        alike=tuple(_refs_for(alike.matches, seller.id)),
        changed=tuple(str(FIELD_WORDS.get(one["name"], one["name"])) for one in changed),
        typed=found.evidence == "typed",
        document_words=tuple(reason["words"] for reason in found.findings.get("reasons", ())
                             if reason["code"] != "payee_is_not_seller"),
        own_addresses=parties.addresses(session, seller.id),
        letters_verified=bool(debtor and debtor_queries.contact(session, debtor.id)),
    )  # fmt: skip
    return Considered(facts, rules.judge(facts, about, policy), seller, debtor, alike.matches, changed, back)


def party(found: Organisation) -> rules.Party:
    """Return what the rules need to know of an organisation."""
    return rules.Party(found.legal_name, found.legal_id, found.vat_id, found.country, found.iban, found.good_standing)


def can_come_back(session: Session, found: queries.Receivable) -> bool:
    """Say whether a receivable left the market unsold in a way that lets its seller bring it back.

    After a credit note it cannot: its face, which never changes, is not owed any more. The rest of the debt is for an
    invoice of its own.
    """
    if debtor_queries.credited_minor(session, found.id):
        return False
    if found.state == ReceivableState.REJECTED:
        return title.left_because(session, found.id) == CURABLE
    return found.state in (ReceivableState.WITHDRAWN, ReceivableState.EXPIRED)


def _ref_for(earlier: queries.Receivable | None, seller_id: UUID) -> str | None:
    """Return the earlier listing's reference: another seller's is not told, only that there is one."""
    if earlier is None:
        return None
    return earlier.ref if earlier.seller_id == seller_id else "–"


def _refs_for(matches: Sequence[Match], seller_id: UUID) -> list[str]:
    own = [match.ref for match in matches if match.seller_id == seller_id]
    return own if own or not matches else ["–"]
