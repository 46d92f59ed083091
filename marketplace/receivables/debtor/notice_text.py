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

from marketplace.kernel.words import N_
from marketplace.receivables.plain import plain_amount, plain_day

if TYPE_CHECKING:
    from fpdf import FPDF

# Fonts for letters beyond Latin-1, where the machine has one: no package that pip installs brings one that is kept
# well and free. Without any, a notice is written in English, and such letters of a name print as "?": the
# organisation's number still tells who is meant, and the message for systems has every letter.
WIDE_FONTS = (
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/noto/NotoSans-Regular.ttf",
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
)
# Which face of the collection draws the characters as a language does.
FACES = {"zh_Hans": 2, "zh_Hant": 3}
ASSIGNMENT, REASSIGNMENT = "assignment", "reassignment"
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
    kind: str = ASSIGNMENT
    ends: int | None = None


@dataclass(frozen=True)
class Speech:
    """A language: how it says words of ours, and how it writes a date."""

    language: str
    say: Callable[..., str]
    day: Callable[[date], str]


ENGLISH = Speech("en", lambda words, **params: words % params if params else words, plain_day)


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


def can_write(language: str) -> bool:
    """Say whether this machine has the letters of a language."""
    return language not in FACES or Path(WIDE_FONTS[0]).exists()


def notice_pdf(facts: NoticeFacts, speech: Speech = ENGLISH) -> bytes:
    """Return the notice as a one-page PDF, in the language spoken where this machine can write it, else in English."""
    from fpdf import FPDF  # a fifth of the web server's start, and few requests need it

    if not can_write(speech.language):
        speech = ENGLISH
    pdf = FPDF(format="A4")
    pdf.set_creation_date(facts.issued_at)
    pdf.set_lang({"en": "en-GB"}.get(speech.language, speech.language.replace("_", "-")))
    pdf.set_margins(25, 25, 25)
    pdf.add_page()
    write = _writer(pdf, facts, speech)
    title, parts = _parts(facts, speech)
    pdf.set_title(f"{title} ({facts.ref})")
    write(title, 18, 12)
    for words, space in parts:
        write(words, 11, space)
    return bytes(pdf.output())


def _parts(facts: NoticeFacts, speech: Speech) -> tuple[str, list[tuple[str, int]]]:
    """Return the title, and each paragraph with the space that follows it."""
    say, told = speech.say, _told(facts, speech)
    if facts.kind == ASSIGNMENT:
        title = say(N_("Notice of assignment, number %(number)s"), **told)
        sender = say(N_("From: %(seller)s, and the assignees named below"), **told)
        what = say(N_("Invoice %(invoice)s of %(issued)s, due %(due)s, over %(amount)s, has been assigned in full "
                      "to:"), **told)  # fmt: skip
        pay = say(N_("From now on the debt is discharged only by payment of the whole amount to this account, which "
                     "collects for all assignees together:"))  # fmt: skip
    else:
        title = say(N_("Notice that an assignment has ended, number %(number)s"), **told)
        sender = say(N_("From: the assignees of notice %(ends)s, and %(seller)s"), **told)
        what = say(N_("Invoice %(invoice)s of %(issued)s, due %(due)s, over %(amount)s, which was assigned by notice "
                      "%(ends)s, has been assigned back in full to:"), **told)  # fmt: skip
        pay = say(N_("From now on the debt is discharged only by payment to %(seller)s itself, on this account:"),
                  **told)  # fmt: skip
    account = say(N_("IBAN: %(iban)s"), iban=_grouped(facts.pay_to.iban)) if facts.pay_to.iban else say(
        N_("The IBAN is told on the page whose link came with this notice."))  # fmt: skip
    return title, [
        (say(N_("Reference %(ref)s. Issued %(at)s."), **told), 10),
        (say(N_("To: %(debtor)s, accounts payable"), **told), 6),
        (sender, 10),
        (what, 4),
        *[(f"  - {one}", 2) for one in facts.assignees],
        (pay, 4),
        (say(N_("Account name: %(account)s"), **told), 2),
        (account, 2),
        (say(N_("Payment reference: %(reference)s"), **told), 8),
        (say(N_("Before you change any account, check this phrase with %(seller)s, on a number you already have: "
                "%(phrase)s. We never change the account by e-mail."), **told), 8),
        (say(N_("The amount owed, its due date and your rights against the seller are unchanged. Please acknowledge "
                "this notice on the page whose link came with it.")), 0),
    ]  # fmt: skip


def _told(facts: NoticeFacts, speech: Speech) -> dict[str, object]:
    local = facts.issued_at.astimezone(ZoneInfo(facts.zone))
    return {
        "number": facts.number, "ends": facts.ends, "ref": facts.ref, "seller": facts.seller, "debtor": facts.debtor,
        "invoice": facts.invoice, "issued": speech.day(facts.issued_on), "due": speech.day(facts.due_on),
        "amount": plain_amount(facts.face_minor, facts.currency), "phrase": facts.phrase,
        "account": facts.pay_to.name, "reference": facts.pay_to.reference,
        "at": f"{speech.day(local.date())}, {local:%H:%M:%S} {local.tzname()}",
    }  # fmt: skip


def _grouped(iban: str) -> str:
    return " ".join(iban[at : at + 4] for at in range(0, len(iban), 4))


def _writer(pdf: "FPDF", facts: NoticeFacts, speech: Speech) -> Callable[[str, int, int], None]:
    names = " ".join((facts.seller, facts.debtor, facts.invoice, facts.pay_to.name, *facts.assignees))
    narrow = speech.language not in FACES and _latin(names)
    wide = None if narrow else next((font for font in WIDE_FONTS if Path(font).exists()), None)
    if wide:
        face = FACES.get(speech.language, FACES["zh_Hant"]) if wide.endswith(".ttc") else 0
        pdf.add_font("wide", fname=wide, collection_font_number=face)

    def write(words: str, size: int, space: int) -> None:
        pdf.set_font("wide" if wide else "Helvetica", size=size)
        pdf.multi_cell(0, size * 0.5, words if wide else words.encode("latin-1", "replace").decode("latin-1"),
                       new_x="LMARGIN", new_y="NEXT", align="L")  # fmt: skip
        pdf.ln(space)

    return write


def _latin(words: str) -> bool:
    try:
        words.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True
