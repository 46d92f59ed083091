"""What a notice of assignment says, as a PDF; its structured reference and its anti-fraud phrase. Pure."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID
from zoneinfo import ZoneInfo

from marketplace.receivables.plain import plain_amount, plain_day

if TYPE_CHECKING:
    from fpdf import FPDF

# Fonts for names beyond Latin-1, where the machine has one. Without any, such letters print as "?" and the
# organisation's number still tells who is meant.
WIDE_FONTS = (
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/noto/NotoSans-Regular.ttf",
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
)
WORDS = (
    "amber", "anchor", "apple", "arrow", "autumn", "basil", "beacon", "birch", "bridge", "bronze", "candle",
    "canyon", "cedar", "cherry", "clover", "copper", "coral", "cotton", "crystal", "daisy", "delta", "ember",
    "falcon", "feather", "fern", "forest", "garden", "ginger", "granite", "harbour", "hazel", "heron", "indigo",
    "island", "ivory", "jasmine", "juniper", "kettle", "lantern", "lemon", "linen", "maple", "marble", "meadow",
    "mint", "mosaic", "needle", "oak", "olive", "orchard", "paper", "pearl", "pepper", "pine", "quartz", "raven",
    "river", "saddle", "saffron", "silver", "summer", "willow"
)  # fmt: skip


@dataclass(frozen=True)
class PayTo:
    """The account to pay, with the reference that finds the receivable."""

    name: str
    iban: str | None
    reference: str

    def to_json(self) -> dict[str, str | None]:
        """Return it as kept with the notice."""
        return asdict(self)


@dataclass(frozen=True)
class NoticeFacts:
    """Everything a notice says."""

    number: int
    ref: str
    invoice: str
    issued_on: date
    due_on: date
    face_minor: int
    currency: str
    seller: str
    debtor: str
    assignees: tuple[str, ...]
    pay_to: PayTo
    phrase: str
    issued_at: datetime
    zone: str


def creditor_reference(ref: str) -> str:
    """Return the structured creditor reference of a receivable: `DB-26-0001` → `RF.. DB26 0001`, in groups of four.

    Source: ISO 11649, check digits by ISO 7064 MOD 97-10.
    """
    bare = "".join(letter for letter in ref.upper() if letter.isalnum())
    digits = "".join(str(int(letter, 36)) for letter in bare + "RF00")
    whole = f"RF{98 - int(digits) % 97:02d}{bare}"
    return " ".join(whole[at : at + 4] for at in range(0, len(whole), 4))


def phrase(pepper: bytes, seller_id: UUID, debtor_id: UUID) -> str:
    """Return two words and a number that only the market can make for this pair: `amber kettle 91`."""
    made = hmac.new(pepper, b"duebill/phrase/1" + seller_id.bytes + debtor_id.bytes, hashlib.sha256).digest()
    return f"{WORDS[made[0] % len(WORDS)]} {WORDS[made[1] % len(WORDS)]} {10 + made[2] % 90}"


def notice_pdf(facts: NoticeFacts) -> bytes:
    """Return the notice as a one-page PDF."""
    from fpdf import FPDF  # a fifth of the web server's start, and few requests need it

    pdf = FPDF(format="A4")
    pdf.set_creation_date(facts.issued_at)
    pdf.set_title(f"Notice of assignment {facts.number}, {facts.ref}")
    pdf.set_margins(25, 25, 25)
    pdf.add_page()
    write = _writer(pdf, facts)
    write(f"Notice of assignment, number {facts.number}", 18, 12)
    write(f"Reference {facts.ref}. Issued {_instant(facts.issued_at, facts.zone)}.", 10, 10)
    write(f"To: {facts.debtor}, accounts payable", 11, 8)
    write(f"From: {facts.seller}, and the assignees named below", 11, 10)
    write(f"Invoice {facts.invoice} of {plain_day(facts.issued_on)}, due {plain_day(facts.due_on)}, over "
          f"{plain_amount(facts.face_minor, facts.currency)}, has been assigned in full to:", 11, 4)  # fmt: skip
    for assignee in facts.assignees:
        write(f"  - {assignee}", 11, 2)
    write("From now on the debt is discharged only by payment of the whole amount to this account, which collects "
          "for all assignees together:", 11, 4)  # fmt: skip
    write(f"Account name: {facts.pay_to.name}", 11, 2)
    write(f"IBAN: {_grouped(facts.pay_to.iban) if facts.pay_to.iban else 'told on the debtor page'}", 11, 2)
    write(f"Reference: {facts.pay_to.reference}", 11, 8)
    write(f"Before you change any account, check this phrase with {facts.seller}, on a number you already have: "
          f"{facts.phrase}. We never change the account by e-mail.", 11, 8)  # fmt: skip
    write("The amount owed, its due date and your rights against the seller are unchanged. Please acknowledge this "
          "notice on the page whose link came with it.", 11, 0)  # fmt: skip
    return bytes(pdf.output())


def _instant(at: datetime, zone: str) -> str:
    local = at.astimezone(ZoneInfo(zone))
    return f"{plain_day(local.date())}, {local:%H:%M:%S} {local.tzname()}"


def _grouped(iban: str) -> str:
    return " ".join(iban[at : at + 4] for at in range(0, len(iban), 4))


def _writer(pdf: "FPDF", facts: NoticeFacts) -> Callable[[str, int, int], None]:
    names = " ".join((facts.seller, facts.debtor, facts.invoice, facts.pay_to.name, *facts.assignees))
    wide = next((font for font in WIDE_FONTS if Path(font).exists()), None) if not _latin(names) else None
    if wide:
        pdf.add_font("wide", fname=wide)

    def write(words: str, size: int, space: int) -> None:
        pdf.set_font("wide" if wide else "Helvetica", size=size)
        pdf.multi_cell(0, size * 0.5, words if wide else words.encode("latin-1", "replace").decode("latin-1"),
                       new_x="LMARGIN", new_y="NEXT")  # fmt: skip
        pdf.ln(space)

    return write


def _latin(words: str) -> bool:
    try:
        words.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True
