"""What a notice states, as canonical bytes: kept and hashed when the assignment happens, drawn from afterwards. Pure.

The hash stands in the audit trail of the assignment itself, so the paper that a debtor holds is provably its notice,
though it was drawn when the locks of the settlement were long gone.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from marketplace.kernel.canonical import canonical_bytes
from marketplace.receivables.debtor.assignment_message import Assignment, Party, letter_identifier
from marketplace.receivables.debtor.notice_text import REASSIGNMENT, NoticeFacts, PayTo

FORMAT = 1


@dataclass(frozen=True)
class Statement:
    """All that a notice states, people's form and systems' alike. Money in minor units.

    `owners` own the receivable together after an assignment and did before its end. `ends` is number and day of the
    notice that an end refers to. `net_minor` and `vat_minor` are None where the invoice did not split it.
    """

    kind: str
    number: int
    ref: str
    invoice: str
    issued_on: date
    due_on: date
    currency: str
    face_minor: int
    total_minor: int
    net_minor: int | None
    vat_minor: int | None
    seller: Party
    debtor: Party
    agent: Party
    owners: tuple[Party, ...]
    pay_to: PayTo
    phrase: str
    issued_at: datetime
    zone: str
    language: str
    ends: tuple[int, date] | None = None

    def to_bytes(self) -> bytes:
        """Return the canonical bytes, a party as [name, legal id, VAT id, country]. Source: RFC 8785."""
        parties = {"seller": self.seller, "debtor": self.debtor, "agent": self.agent}
        told = {name: value for name, value in vars(self).items() if name not in (*parties, "owners", "pay_to")}
        return canonical_bytes(
            told
            | {name: list(party) for name, party in parties.items()}
            | {"owners": [list(one) for one in self.owners], "pay_to": self.pay_to.to_json(), "format": FORMAT}
        )

    @classmethod
    def from_text(cls, kept: str) -> "Statement":
        """Read what `to_bytes` wrote."""
        told: dict[str, Any] = json.loads(kept)
        del told["format"]
        for name in ("issued_on", "due_on"):
            told[name] = date.fromisoformat(told[name])
        for name in ("seller", "debtor", "agent"):
            told[name] = Party(*told[name])
        told["owners"] = tuple(Party(*one) for one in told["owners"])
        told["pay_to"] = PayTo(**told["pay_to"])
        told["issued_at"] = datetime.fromisoformat(told["issued_at"])
        if told["ends"] is not None:
            number, day = told["ends"]
            told["ends"] = (number, date.fromisoformat(day))
        return cls(**told)

    def for_people(self) -> NoticeFacts:
        """Return what the PDF says."""
        to = (self.seller,) if self.kind == REASSIGNMENT else self.owners
        return NoticeFacts(
            number=self.number, ref=self.ref, invoice=self.invoice, issued_on=self.issued_on, due_on=self.due_on,
            face_minor=self.face_minor, currency=self.currency, seller=_named(self.seller),
            debtor=_named(self.debtor), assignees=tuple(_named(one) for one in to), pay_to=self.pay_to,
            phrase=self.phrase, issued_at=self.issued_at, zone=self.zone, kind=self.kind,
            ends=self.ends[0] if self.ends else None,
        )  # fmt: skip

    def for_systems(self, notice_sha256: str) -> Assignment:
        """Return what the message says; it names the PDF by its SHA-256 in hex."""
        earlier = (letter_identifier(self.ref, self.ends[0]), self.ends[1]) if self.ends else None
        return Assignment(
            identifier=letter_identifier(self.ref, self.number), kind=self.kind, issued_at=self.issued_at,
            ref=self.ref, invoice=self.invoice, issued_on=self.issued_on, due_on=self.due_on, currency=self.currency,
            face_minor=self.face_minor, total_minor=self.total_minor, net_minor=self.net_minor,
            vat_minor=self.vat_minor, seller=self.seller, debtor=self.debtor, agent=self.agent,
            assignees=self.owners, pay_to=self.pay_to, phrase=self.phrase, notice_sha256=notice_sha256,
            language=self.language, ends=earlier,
        )  # fmt: skip


def fingerprint(kept: str) -> str:
    """Return the SHA-256 of the canonical bytes, in hex."""
    return hashlib.sha256(kept.encode()).hexdigest()


def _named(one: Party) -> str:
    return f"{one.name} ({one.legal_id})" if one.legal_id else one.name
