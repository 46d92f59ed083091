"""Has this been listed before? The exact key for the register to decide, and the look-alikes for people to judge."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flask import current_app
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from marketplace.parties import queries as parties
from marketplace.parties.queries import Organisation
from marketplace.receivables import queries
from marketplace.receivables.facts import InvoiceFacts
from marketplace.receivables.fingerprint import canonical_number, exact_key, identity, same_party
from marketplace.receivables.near_match import Claim, NearMatch, nearest
from marketplace.receivables.tables import FingerprintRow, ReceivableRow
from marketplace.title import queries as title

CANDIDATES_MAX = 300
MATCHES_MAX = 5


@dataclass(frozen=True)
class Prints:
    """How a listing is recognised again: the exact key, and looser keys to find candidates by."""

    exact: bytes
    loose: tuple[tuple[str, bytes], ...]

    def all(self) -> list[tuple[str, bytes]]:
        """Return every (kind, value), the exact key first."""
        return [("exact", self.exact), *self.loose]


@dataclass(frozen=True)
class Match:
    """An earlier listing that resembles the new one, with the line-by-line findings."""

    receivable_id: UUID
    score: int
    verdict: str
    findings: tuple[dict[str, Any], ...]


def _pepper() -> bytes:
    pepper: bytes = current_app.extensions["duebill"].settings.pepper
    return pepper


def _loose(kind: str, *parts: object) -> tuple[str, bytes]:
    message = "\x1f".join([f"duebill/{kind}/1", *(str(part) for part in parts)])
    return kind, hmac.new(_pepper(), message.encode(), hashlib.sha256).digest()


def fingerprints(
    facts: InvoiceFacts, seller: Organisation, debtor: Organisation, document_id: UUID | None, session: Session
) -> Prints:
    """Return the keys of a listing. None of them can be read back, nor guessed without the pepper."""
    number = facts.number or ""
    exact = exact_key(_pepper(), seller.id, debtor.id, number, facts.document_type, facts.currency or "")
    loose = [
        _loose("number", canonical_number(number), facts.currency),
        _loose("amount", debtor.id, facts.currency, facts.face_minor),
    ]
    if facts.purchase_order:
        loose.append(_loose("order", canonical_number(facts.purchase_order), facts.currency))
    if document_id:
        loose.append(_loose("document", queries.document(session, document_id).sha256))
    return Prints(exact, tuple(dict.fromkeys(loose)))


def registered(session: Session, exact: bytes) -> UUID | None:
    """Return the receivable that holds an exact key, whatever became of it."""
    return title.registered_as(session, exact)


def search(
    session: Session, facts: InvoiceFacts, seller: Organisation, debtor: Organisation | None, document_id: UUID | None
) -> tuple[UUID | None, list[Match]]:
    """Return the receivable with the same exact key, if any, and up to five others that look like this one.

    Look-alikes are sought among the seller's and its group's listings, the debtor's, and those that share a number,
    an order, an amount owed by the debtor, or the file.
    """
    if not facts.number or not facts.currency or facts.face_minor is None:
        return None, []
    earlier, prints = None, None
    if debtor is not None:
        prints = fingerprints(facts, seller, debtor, document_id, session)
        earlier = registered(session, prints.exact)
    rows = [row for row in _candidates(session, facts, seller, debtor, prints, document_id) if row.id != earlier]
    new = _claim_of_facts(facts, document_id, session)
    known = [_claim_of_row(session, row, facts, seller, debtor) for row in rows]
    found = nearest(new, known)[:MATCHES_MAX]
    return earlier, [_match(rows[index], match) for index, match in found]


def _match(row: ReceivableRow, match: NearMatch) -> Match:
    findings = tuple({"code": f.code, "weight": f.weight, "words": f.words, "params": dict(f.params)}
                     for f in match.findings)  # fmt: skip
    return Match(row.id, match.score, match.verdict, findings)


def _candidates(
    session: Session, facts: InvoiceFacts, seller: Organisation, debtor: Organisation | None, prints: Prints | None,
    document_id: UUID | None,
) -> list[ReceivableRow]:  # fmt: skip
    keys = list(prints.loose) if prints else [_loose("number", canonical_number(facts.number or ""), facts.currency)]
    if prints is None and document_id:
        keys.append(_loose("document", queries.document(session, document_id).sha256))
    marked = select(FingerprintRow.receivable_id).where(
        or_(*((FingerprintRow.kind == kind) & (FingerprintRow.value == value) for kind, value in keys))
    )
    near = [ReceivableRow.seller_id == seller.id, ReceivableRow.id.in_(marked)]
    if debtor is not None:
        near.append(ReceivableRow.debtor_id == debtor.id)
    return list(
        session.execute(
            select(ReceivableRow).where(or_(*near)).order_by(ReceivableRow.listed_at.desc()).limit(CANDIDATES_MAX)
        ).scalars()
    )


def _claim_of_facts(facts: InvoiceFacts, document_id: UUID | None, session: Session) -> Claim:
    sha256 = queries.document(session, document_id).sha256 if document_id else None
    return _claim("seller", "debtor", facts, sha256)


def _claim_of_row(
    session: Session, row: ReceivableRow, facts: InvoiceFacts, seller: Organisation, debtor: Organisation | None
) -> Claim:
    """Return an earlier listing as the matcher sees it: its parties named `seller`, `debtor` where they are the same.

    A sister company of the seller counts as the seller, an alias of the debtor as the debtor.
    """
    kept = queries.as_receivable(row).facts
    same_seller = row.seller_id == seller.id or parties.related(session, row.seller_id, seller.id)
    same_debtor = (debtor is not None and row.debtor_id == debtor.id) or same_party(_who(facts), _who(kept))
    sha256 = queries.document(session, row.document_id).sha256 if row.document_id else None
    return _claim("seller" if same_seller else str(row.seller_id), "debtor" if same_debtor else str(row.debtor_id),
                  kept, sha256)  # fmt: skip


def _who(facts: InvoiceFacts) -> Any:
    return identity(facts.debtor_legal_id, facts.debtor_vat_id, facts.debtor_name, facts.debtor_country)


def _claim(seller: str, debtor: str, facts: InvoiceFacts, sha256: str | None) -> Claim:
    lines = tuple((line.words.casefold(), line.amount_minor) for line in facts.lines if line.amount_minor is not None)
    return Claim(seller, debtor, facts.number or "", facts.document_type, facts.currency or "", facts.face_minor or 0,
                 facts.issued_on, facts.due_on, facts.purchase_order, lines, sha256)  # fmt: skip
