"""Has this been listed before? The exact key for the register to decide, and the look-alikes for people to judge.

Look-alikes are found by keys alone: two claims that resemble each other enough to be held share at least one blocking
key, and one query over one index fetches who bears any of them, however many receivables there are.
"""

import hmac
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any
from uuid import UUID

from flask import current_app
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from marketplace.db import among
from marketplace.parties import queries as parties
from marketplace.parties.queries import Organisation
from marketplace.perform import Tx
from marketplace.receivables.einvoice.exact_numbers import exact, money
from marketplace.receivables.facts import InvoiceFacts, Line
from marketplace.receivables.matching.blocking import blocking_keys
from marketplace.receivables.matching.claim import ClaimLine
from marketplace.receivables.matching.fingerprint import exact_key, identity
from marketplace.receivables.matching.near_match import Claim, NearMatch, nearest
from marketplace.receivables.states import UNSOLD_ENDS
from marketplace.receivables.tables import DocumentRow, ReceivableRow
from marketplace.title import queries as title

# Raised when what blocking_keys returns changes: the job `renew_keys` then writes every receivable's keys anew.
KEYS_VERSION = 5
KEY_BYTES = 16
# Of one key the latest so many bearers are fetched, and of all those the ones that share most keys are compared: what
# is bounded is the crowd that an honest series makes, where a copy still shares more keys than its neighbours do.
BEARERS_MAX = 200
CANDIDATES_MAX = 200
MATCHES_MAX = 5
CLAIMS_KEPT = 1_000

LOOK_UP = """
    SELECT found.receivable_id
    FROM unnest(CAST(:values AS bytea[])) AS wanted (value)
    CROSS JOIN LATERAL (
        SELECT fingerprint.receivable_id FROM fingerprint WHERE fingerprint.value = wanted.value
        ORDER BY fingerprint.value DESC, fingerprint.receivable_id DESC LIMIT :bearers) AS found
    GROUP BY found.receivable_id ORDER BY count(*) DESC, found.receivable_id LIMIT :most
"""


@dataclass(frozen=True)
class Subject:
    """An invoice with the parties it names, as the matcher is asked about it. Its debtor may be unknown yet."""

    facts: InvoiceFacts
    seller: Organisation
    debtor: Organisation | None
    sha256: str | None = None

    @property
    def comparable(self) -> bool:
        """Whether enough is known to compare it with anything."""
        return bool(self.facts.number and self.facts.currency and self.facts.face_minor is not None)


@dataclass(frozen=True)
class Match:
    """An earlier listing that resembles the new one, with the line-by-line findings."""

    receivable_id: UUID
    ref: str
    seller_id: UUID
    state: str
    score: int
    verdict: str
    findings: tuple[dict[str, Any], ...]

    def told(self) -> dict[str, Any]:
        """Return what a review keeps of it."""
        return {"receivable_id": self.receivable_id, "ref": self.ref, "score": self.score, "verdict": self.verdict,
                "findings": list(self.findings)}  # fmt: skip


@dataclass(frozen=True)
class Found:
    """What the register knows of an invoice: who holds its exact key, and what looks like it."""

    earlier: UUID | None = None
    matches: list[Match] = field(default_factory=list)


def _pepper() -> bytes:
    pepper: bytes = current_app.extensions["duebill"].settings.pepper
    return pepper


@lru_cache(maxsize=CLAIMS_KEPT)
def claim_of(subject: Subject) -> Claim:
    """Return the invoice as the matcher sees it; those that one upload meets keep what they were read as."""
    facts, seller, debtor = subject.facts, subject.seller, subject.debtor
    debtor_who = identity(facts.debtor_legal_id, facts.debtor_vat_id, facts.debtor_name, facts.debtor_country)
    return Claim(
        seller=str(seller.id),
        debtor=str(debtor.id) if debtor else "",
        number=facts.number or "",
        document_type=facts.document_type,
        currency=facts.currency or "",
        amount_minor=facts.face_minor,
        issued_on=facts.issued_on,
        due_on=facts.due_on,
        purchase_order=facts.purchase_order,
        lines=tuple(_line(line, facts.currency) for line in facts.lines if line.amount_minor is not None),
        document_sha256=subject.sha256,
        seller_who=identity(seller.legal_id, seller.vat_id, seller.legal_name, seller.country),
        debtor_who=debtor_who,
        seller_group=str(seller.group),
        debtor_group=str(debtor.group) if debtor else None,
        total_minor=facts.total_minor,
        prepaid_minor=facts.prepaid_minor,
        contract=facts.contract,
        payee=facts.payee_name,
        iban=facts.iban,
        notes=facts.notes,
    )


def _line(line: Line, currency: str | None) -> ClaimLine:
    quantity, price = exact(line.quantity), money(line.price, currency)
    return (line.words, line.amount_minor or 0, float(quantity) if quantity is not None else None,
            price.minor if price else None)  # fmt: skip


def key_of(kind: str, words: str) -> bytes:
    """Return a blocking key as it is kept: nobody reads it back, nor guesses it without the pepper."""
    return _key(_pepper(), kind, words)


def _key(pepper: bytes, kind: str, words: str) -> bytes:
    told = words.encode()
    return hmac.digest(pepper, _head(kind) + len(told).to_bytes(4, "big") + told, "sha256")[:KEY_BYTES]


@cache
def _head(kind: str) -> bytes:
    told = kind.encode()
    return b"duebill/blocking/1" + len(told).to_bytes(4, "big") + told


def keys_of(subject: Subject) -> dict[bytes, str]:
    """Return the blocking keys of an invoice with their kinds; none while it cannot be compared."""
    if not subject.comparable:
        return {}
    pepper = _pepper()
    return {_key(pepper, kind, words): kind for kind, words in sorted(blocking_keys(claim_of(subject)))}


def exact_of(subject: Subject) -> bytes | None:
    """Return the exact key of an invoice whose debtor is known."""
    if subject.debtor is None or not subject.comparable:
        return None
    facts = subject.facts
    return exact_key(_pepper(), subject.seller.id, subject.debtor.id, facts.number or "", facts.document_type,
                     facts.currency or "")  # fmt: skip


def account_mark(iban: str | None) -> bytes | None:
    """Return a mark by which an account is recognised again and not read; None for none."""
    return key_of("account", "".join(iban.split()).upper()) if iban else None


def registered(session: Session, exact: bytes) -> UUID | None:
    """Return the receivable that holds an exact key, whatever became of it."""
    return title.registered_as(session, exact)


def keep_keys(tx: Tx, receivable_id: UUID, keys: dict[bytes, str]) -> None:
    """Write the keys under which a receivable is found again; those it bears already stay."""
    if keys:
        tx.session.execute(
            text(
                "INSERT INTO fingerprint (value, receivable_id, kind) SELECT value, :id, kind "
                "FROM unnest(CAST(:values AS bytea[]), CAST(:kinds AS text[])) AS made (value, kind) "
                "ON CONFLICT DO NOTHING"
            ),
            {"id": receivable_id, "values": list(keys), "kinds": list(keys.values())},
        )


def outdated(session: Session, limit: int = 100) -> list[UUID]:
    """Return receivables whose keys were made by an earlier version, the most outdated first."""
    rows = session.execute(
        select(ReceivableRow.id)
        .where(ReceivableRow.keys_version < KEYS_VERSION)
        .order_by(ReceivableRow.keys_version)
        .limit(limit)
    )
    return list(rows.scalars())


def wait_in_turn(tx: Tx, keys: Iterable[bytes]) -> None:
    """Let whoever lists or judges something that might be alike wait, until the end of the transaction.

    The exact key is kept apart by its index; look-alikes have different keys and would not see each other. Two that
    may resemble each other share a blocking key, and so wait here, always in the same order.
    """
    numbers = sorted({int.from_bytes(key[:8], "big", signed=True) for key in keys})
    tx.session.execute(
        text("SELECT pg_advisory_xact_lock(n) FROM unnest(CAST(:numbers AS bigint[])) AS wanted (n)"),
        {"numbers": numbers},
    )


def search(session: Session, subject: Subject, leave_out: Collection[UUID] = ()) -> Found:
    """Return the receivable that is the same claim, if any, and up to five others that look like this invoice.

    The same is what bears the same exact key, or what the matcher is certain of: a number written without its
    separators, say, while all else agrees. Three statements, whatever is found. `leave_out`: see `look_alikes`.
    """
    key = exact_of(subject)
    earlier = registered(session, key) if key else None
    matches = look_alikes(session, subject, leave_out)
    if earlier is None:
        earlier = next((match.receivable_id for match in matches if match.verdict == "same"), None)
    return Found(earlier, [match for match in matches if match.receivable_id != earlier][:MATCHES_MAX])


def look_alikes(session: Session, subject: Subject, leave_out: Collection[UUID] = ()) -> list[Match]:
    """Return every receivable that the matcher would hold the invoice for, the certain ones included, most alike first.

    `leave_out` names receivables that are not compared: the invoice itself. What left the market comes last, for it
    must not take the place of what is live.
    """
    if not subject.comparable:
        return []
    wanted = [one for one in candidates(session, list(keys_of(subject))) if one not in leave_out]
    known = subjects(session, wanted)
    rows = [known[one] for one in wanted if one in known]
    found = nearest(claim_of(subject), [claim_of(other) for _, other in rows])
    matches = [_match(rows[index][0], match) for index, match in found]
    return sorted(matches, key=lambda one: one.state in UNSOLD_ENDS)


def candidates(session: Session, keys: Sequence[bytes]) -> list[UUID]:
    """Return the receivables that bear any of the keys, those that share most keys first, two hundred at the most."""
    if not keys:
        return []
    wanted = {"values": list(keys), "bearers": BEARERS_MAX, "most": CANDIDATES_MAX}
    return list(session.execute(text(LOOK_UP), wanted).scalars())


def subjects(session: Session, ids: Sequence[UUID]) -> dict[UUID, tuple[ReceivableRow, Subject]]:
    """Return registered invoices to compare with, by id: rows with their file's hash, then their parties at once."""
    if not ids:
        return {}
    rows = session.execute(
        select(ReceivableRow, DocumentRow.sha256)
        .outerjoin(DocumentRow, DocumentRow.id == ReceivableRow.document_id)
        .where(among(ReceivableRow.id, ids))
    ).all()
    houses = parties.organisations(session, {who for row, _ in rows for who in (row.seller_id, row.debtor_id)})
    return {row.id: (row, subject_of(row, houses, sha256)) for row, sha256 in rows}


def subject_of(row: ReceivableRow, houses: dict[UUID, Organisation], sha256: str | None) -> Subject:
    """Return a registered invoice as the matcher is asked about it."""
    return Subject(InvoiceFacts.from_json({**row.facts, **_certain(row)}), houses[row.seller_id],
                   houses[row.debtor_id], sha256)  # fmt: skip


def _certain(row: ReceivableRow) -> dict[str, Any]:
    """Return the facts that the row keeps in columns of its own."""
    return {"number": row.number, "document_type": row.document_type, "currency": row.currency,
            "face_minor": row.face_minor, "total_minor": row.total_minor, "issued_on": row.issued_on.isoformat(),
            "due_on": row.due_on.isoformat(), "purchase_order": row.purchase_order}  # fmt: skip


def _match(row: ReceivableRow, match: NearMatch) -> Match:
    findings = tuple({"code": f.code, "weight": f.weight, "words": f.words, "params": dict(f.params)}
                     for f in match.findings)  # fmt: skip
    return Match(row.id, row.ref, row.seller_id, row.state, match.score, match.verdict, findings)
