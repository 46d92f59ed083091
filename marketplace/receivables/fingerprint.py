"""The exact key: what makes two listings the same claim, however it is written down.

A key is an HMAC over seller, debtor, canonical number, class of document and currency. Amount and dates stay
outside: a penny more must not make a new claim. The pepper keeps the key from being guessed by who sees it.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass
from uuid import UUID

from marketplace.receivables.look_alikes import folded

# Words that say "invoice" or "number" and nothing else. A long one is dropped wherever it leads; a short one only
# when it stands alone or right before a digit, for it may as well begin a name: RE-7 and RE7, but not REA7.
LONG = (
    "RECHNUNGS|RECHNUNG|RECH|INVOICE|INV|FACTURE|FACTURA|FACTUUR|FACT|FAC|FATTURA|FAKTURA|NUMBER|NUMERO|NUMMER|NUM|BILL"
)
SHORT = "RE|RG|FA|FV|NO|NR"
LEADING_WORD = re.compile(f"(?:{LONG}|{SHORT})")
LEADING = re.compile(f"(?:{LONG})|(?:{SHORT})(?=[0-9])")
SEPARATORS = re.compile(r"[^\w]|_")
VERSION = b"duebill/exact-key/1"
CREDIT = frozenset(
    ["81", "83", "261", "262", "296", "308", "381", "396", "420", "458", "502", "503", "532", "TD04", "TD08"]
)
DEBIT = frozenset(["80", "82", "84", "383", "TD05", "TD09"])


def canonical_number(text: str) -> str:
    """Return the invoice number without what is only cosmetic.

    Folded: case, width, accents, look-alike letters of other alphabets. Dropped: separators, leading
    words that only
    say "invoice" or "number", leading zeros. Kept: everything else, so that no two numbers one seller
    may honestly
    use for two invoices become one more often than the dropped separators make them.
    Applying it twice changes nothing. A number of nothing but such signs stays as it was folded.
    """
    words = SEPARATORS.sub(" ", folded(text)).split()
    while words and LEADING_WORD.fullmatch(words[0]):
        words = words[1:]
    number = "".join(words)
    while number:
        shorter = LEADING.sub("", number, count=1) if LEADING.match(number) else number
        shorter = shorter.lstrip("0") or ("0" if shorter else "")
        if shorter == number:
            return number
        number = shorter
    return folded(text).strip()


def document_class(type_code: str) -> str:
    """Fold UNTDID 1001 codes that denote the same claim: an invoice stays itself when corrected,
    self-billed or factored.

    Credit notes and debit notes are numbered in series of their own and keep a class each.
    """
    if type_code in CREDIT:
        return "credit"
    return "debit" if type_code in DEBIT else "invoice"


def exact_key(
    pepper: bytes,
    seller_id: str | UUID,
    debtor_id: str | UUID,
    number: str,
    document_type: str,
    currency: str,
) -> bytes:
    """Return the 32-byte key of a claim: HMAC-SHA256 over length-prefixed fields, so that no two field
    sets collide.

    `seller_id` and `debtor_id` are the identities the market knows the parties by (an organisation's id,
    or the
    `party_key` where none is known); `number` is canonicalised here.
    """
    fields = (
        str(seller_id),
        str(debtor_id),
        canonical_number(number),
        document_class(document_type),
        currency.upper(),
    )
    message = VERSION + b"".join(len(raw).to_bytes(4, "big") + raw for raw in (field.encode() for field in fields))
    return hmac.new(pepper, message, hashlib.sha256).digest()


# -- who is who
# ---------------------------------------------------------------------------------------------------

LEGAL_FORMS = {
    "LIMITED": "LTD",
    "INCORPORATED": "INC",
    "CORPORATION": "CORP",
    "COMPANY": "CO",
    "AKTIENGESELLSCHAFT": "AG",
    "AKTIEBOLAG": "AB",
    "UND": "AND",
    "ET": "AND",
    "E": "AND",
}
PHRASES = (
    ("PUBLIC LIMITED COMPANY", "PLC"),
    ("GESELLSCHAFT MIT BESCHRANKTER HAFTUNG", "GMBH"),
    ("SOCIETE ANONYME", "SA"),
    ("SOCIEDAD ANONIMA", "SA"),
    ("BESLOTEN VENNOOTSCHAP", "BV"),
)
COUNTRY_OF_PREFIX = {"EL": "GR", "XI": "GB"}


@dataclass(frozen=True)
class Identity:
    """What one document says about who a party is: VAT number, legal registration, name, all normalised
    or empty."""

    vat: str
    legal: str
    name: str
    country: str

    @property
    def key(self) -> str:
        """The strongest thing known: VAT number, else registration, else name and country."""
        if self.vat:
            return f"V:{self.vat}"
        return f"L:{self.country}:{self.legal}" if self.legal else f"N:{self.country}:{self.name}"


def identity(legal_id: str | None, vat: str | None, name: str | None, country: str | None) -> Identity:
    """Return the normalised identity a document gives a party."""
    vat_number = _vat(vat or "")
    land = folded(country or "").strip()[:2]
    if not land and vat_number[:2].isalpha():
        land = COUNTRY_OF_PREFIX.get(vat_number[:2], vat_number[:2])
    return Identity(vat_number, _legal(legal_id or "", land) or _legal_from_vat(vat_number), _name(name or ""), land)


def party_key(legal_id: str | None, vat: str | None, name: str | None, country: str | None) -> str:
    """Return the strongest normalised identity of a party as one text.

    Two documents may know a party by different means; use `same_party` or a `PartyBook` to bring them
    together.
    """
    return identity(legal_id, vat, name, country).key


def same_party(one: Identity, other: Identity) -> bool:
    """Say whether two identities are one party: nothing both know differs, and something both know is
    the same.

    Names alone are enough only where neither VAT number nor registration contradicts and the countries agree.
    """
    return agree(one, other) and _closeness(one, other) > 0


class PartyBook:
    """A directory that gives every party one key, by whatever its documents know it by. First come,
    first named."""

    def __init__(self) -> None:
        self._known: list[tuple[str, list[Identity]]] = []

    def key(self, who: Identity) -> str:
        """Return the key of the first known party this is, or enter it as a new one.

        A VAT number or registration decides before a name does.
        """
        best: tuple[int, str, list[Identity]] | None = None
        for key, seen in self._known:
            if not all(agree(who, other) for other in seen):
                continue
            closeness = max((_closeness(who, other) for other in seen), default=0)
            if closeness and (best is None or closeness > best[0]):
                best = (closeness, key, seen)
        if best:
            if who not in best[2]:
                best[2].append(who)
            return best[1]
        taken = any(key == who.key for key, _ in self._known)
        self._known.append((f"{who.key}#{len(self._known)}" if taken else who.key, [who]))
        return self._known[-1][0]


def agree(one: Identity, other: Identity) -> bool:
    """Say whether nothing that both identities know differs (names apart: they are spelt in many ways)."""
    pairs = ((one.vat, other.vat), (one.legal, other.legal), (one.country, other.country))
    return not any(left and right and left != right for left, right in pairs)


def _closeness(one: Identity, other: Identity) -> int:
    """Return 0 for strangers, 1 for the same name, 2 for a shared number, 3 for both."""
    number = (one.vat and one.vat == other.vat) or (one.legal and one.legal == other.legal)
    return 2 * bool(number) + bool(one.name and one.name == other.name)


def _compact(text: str) -> str:
    return SEPARATORS.sub("", folded(text))


def _vat(text: str) -> str:
    number = _compact(text)
    return number.removesuffix("MVA") if number.startswith("NO") else number


def _legal(text: str, country: str) -> str:
    number = _compact(text)
    if country and number.startswith(country) and number[len(country) :].isdigit():
        number = number[len(country) :]
    if country == "FR" and len(number) == 14 and number.isdigit():
        number = number[:9]  # a SIRET names an establishment of the SIREN's company
    return number.lstrip("0")


def _legal_from_vat(vat: str) -> str:
    """Return the registration number that some countries' VAT numbers contain, else nothing."""
    country, number = vat[:2], vat[2:]
    if country == "FR" and len(number) == 11:
        return number[2:].lstrip("0")
    if country == "SE" and len(number) == 12 and number.endswith("01"):
        return number[:10].lstrip("0")
    if country in ("DK", "NO", "FI", "BE") and number.isdigit():
        return number.lstrip("0")
    return ""


def _name(text: str) -> str:
    words = folded(text).replace("&", " AND ").replace(".", "")
    words = " ".join(SEPARATORS.sub(" ", words).split())
    for phrase, short in PHRASES:
        words = words.replace(phrase, short)
    return " ".join(LEGAL_FORMS.get(word, word) for word in words.split())
