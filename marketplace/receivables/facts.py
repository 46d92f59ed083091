"""What an invoice says, in Duebill's words: one shape whether it was read from a file or typed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import date
from typing import Any


@dataclass(frozen=True)
class Line:
    """One line of goods or services. Quantity and price are texts as the invoice writes them."""

    words: str
    quantity: str | None
    price: str | None
    amount_minor: int | None


@dataclass(frozen=True)
class InvoiceFacts:
    """The fields that listing needs. Absent ones are None: a draft may be incomplete, a listing may not.

    `face_minor` is the amount due (EN 16931 BT-115): this is what is sold; `total_minor` the total with VAT (BT-112);
    `net_minor` the sum of the lines; `vat_minor` what VAT, charges and allowances add to it; `prepaid_minor` what was
    paid before (BT-113). `iban` is the first account named (BT-84), `more_ibans` are the others; `notes` what the
    document says in free words (BT-22 and BT-20).
    """

    number: str | None = None
    document_type: str = "380"
    currency: str | None = None
    issued_on: date | None = None
    due_on: date | None = None
    seller_name: str | None = None
    seller_legal_id: str | None = None
    seller_vat_id: str | None = None
    debtor_name: str | None = None
    debtor_legal_id: str | None = None
    debtor_vat_id: str | None = None
    debtor_country: str | None = None
    debtor_email: str | None = None
    debtor_is_person: bool = False
    payee_name: str | None = None
    payee_legal_id: str | None = None
    iban: str | None = None
    more_ibans: tuple[str, ...] = ()
    purchase_order: str | None = None
    contract: str | None = None
    notes: str | None = None
    net_minor: int | None = None
    vat_minor: int | None = None
    total_minor: int | None = None
    prepaid_minor: int | None = None
    face_minor: int | None = None
    lines: tuple[Line, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the facts as JSON: dates as texts, money as whole minor units."""
        made = asdict(self)
        for name in ("issued_on", "due_on"):
            made[name] = made[name].isoformat() if made[name] else None
        made["lines"] = [asdict(line) for line in self.lines]
        made["more_ibans"] = list(self.more_ibans)
        return made

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "InvoiceFacts":
        """Return the facts that `to_json` wrote; unknown names are left out."""
        known = {f.name for f in fields(cls)}
        values = {name: value for name, value in kept.items() if name in known}
        for name in ("issued_on", "due_on"):
            values[name] = date.fromisoformat(values[name]) if values.get(name) else None
        values["lines"] = tuple(Line(**line) for line in values.get("lines", ()))
        values["more_ibans"] = tuple(values.get("more_ibans", ()))
        return cls(**values)

    def corrected(self, corrections: Mapping[str, Any]) -> "InvoiceFacts":
        """Return the facts with the seller's own entries in place of what was read."""
        return replace(self, **corrections)


# What a seller may not change silently: a difference to the document is shown to an operator.
WATCHED = ("number", "document_type", "currency", "issued_on", "due_on", "debtor_name", "debtor_legal_id",
           "debtor_vat_id", "iban", "face_minor", "total_minor")  # fmt: skip


@dataclass(frozen=True)
class Difference:
    """A field in which what is listed differs from the document."""

    name: str
    read: Any
    given: Any


def differences(read: InvoiceFacts, given: InvoiceFacts) -> list[Difference]:
    """Return the watched fields the document gave and the seller changed, in a fixed order.

    Filling in what the document left empty is not a difference.
    """
    pairs = [Difference(name, getattr(read, name), getattr(given, name)) for name in WATCHED]
    return [pair for pair in pairs if pair.read is not None and pair.read != pair.given]
