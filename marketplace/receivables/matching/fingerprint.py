"""The exact key: what makes two listings the same claim, however it is written down.

A key is an HMAC over seller, debtor, canonical number, class of document and currency. Amount and dates stay
outside: a penny more must not make a new claim. The pepper keeps the key from being guessed by who sees it.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from uuid import UUID

from marketplace.receivables.matching.labels import INVOICE_ALONE, INVOICE_ANYWHERE
from marketplace.receivables.matching.look_alikes import folded
from marketplace.receivables.matching.written import without_label, without_scheme, written_name

SEPARATORS = re.compile(r"[^\w]|_")
_ANYWHERE = {SEPARATORS.sub("", folded(word)) for word in INVOICE_ANYWHERE.split()}
ANYWHERE = "|".join(sorted(_ANYWHERE, key=lambda word: (-len(word), word)))
ALONE = "|".join(INVOICE_ALONE.split())
CURRENCY_SIGNS = {
    "€": "EUR", "£": "GBP", "US$": "USD", "HK$": "HKD", "S$": "SGD", "A$": "AUD", "AU$": "AUD", "C$": "CAD",
    "CA$": "CAD", "NZ$": "NZD", "NT$": "TWD", "R$": "BRL", "MX$": "MXN", "₹": "INR", "₩": "KRW", "₪": "ILS",
    "₺": "TRY", "₫": "VND", "฿": "THB", "₱": "PHP", "₦": "NGN", "₴": "UAH", "ZŁ": "PLN", "KČ": "CZK", "FT": "HUF",
    "RM": "MYR", "RMB": "CNY", "CN¥": "CNY", "JP¥": "JPY", "SFR": "CHF", "STG": "GBP", "EURO": "EUR",
}  # fmt: skip
KINDS_OF = frozenset(("TAX", "VAT", "SALES", "COMMERCIAL", "PVM"))  # before a leading word: Tax invoice no. 7
LEADING_WORDS_MAX = 12
LEADING_WORD = re.compile(f"(?:{ANYWHERE}|{ALONE})")
LEADING_LONG = re.compile(f"(?:{ANYWHERE})")
LEADING_SHORT = re.compile(f"(?:{ALONE})(?=[0-9])")
# Faktura č. 7, fatura n.º 7, n. 7: written so, and not as a series C or N, which folding would make of them.
ABBREVIATED = re.compile(r"\b(?:[čČ](?:\.|(?=\s*[0-9]))|[nN][.\s]?[º°])|^\s*[nN]\.(?=\s)")
BEFORE_COLON = re.compile(r"^[^0-9٠-٩０-９:：]*[:：](?=.*\w)")  # Fatura Numarası: BRN-4841
WHOLE = re.compile(r"(?:19|20)[0-9]{2}(?:(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01]))?")  # a year or a date
TRAILING = re.compile(r"[0-9]+$")
# 2: separators between groups of digits stay where they tell two numbers apart.
VERSION = b"duebill/exact-key/2"
CREDIT = frozenset(
    ["81", "83", "261", "262", "296", "308", "381", "396", "420", "458", "502", "503", "532", "TD04", "TD08"]
)
DEBIT = frozenset(["80", "84", "383", "TD05", "TD09"])


def canonical_number(text: str) -> str:
    """Return the invoice number without what is only cosmetic.

    Folded: case, width, accents, look-alike letters of other alphabets. Dropped: leading words that only say "invoice"
    or "number", leading zeros, separators. Kept as a full stop: a separator between two groups of digits that could be
    cut elsewhere, so that 1-11, 11-1 and 111 stay three numbers. It goes where the groups can be cut in one way only:
    after a year or a date, and before a padded counter (2026/17, 20261001-5, 4-0012).
    Applying it twice changes nothing. A number of nothing but such signs stays as it was folded.
    """
    return joined_words(number_words(text)) or folded(text).strip()


def joined_words(words: list[str]) -> str:
    """Return the groups of a number as one, with a full stop where a separator must stay."""
    number = ""
    for word in words:
        number += "." + word if _ambiguous(number, word) else word
    return number


def number_words(text: str) -> list[str]:
    """Return the folded groups of a number between its separators, without leading words and leading zeros."""
    flat = folded(ABBREVIATED.sub(" NO ", BEFORE_COLON.sub("", text))).replace("N°", "NO ")
    words = SEPARATORS.sub(" ", flat).split()
    before: list[str] = []
    while words and words != before:
        before = words
        if len(words) > 1 and words[0] in KINDS_OF and LEADING_WORD.fullmatch(words[1]):
            words = words[1:]
        joined = "".join(words[:LEADING_WORDS_MAX])
        if signs := _leading_long(words[:LEADING_WORDS_MAX], joined):
            words = _without(words, signs)
        elif LEADING_WORD.fullmatch(words[0]):
            words = words[1:]
        elif found := LEADING_SHORT.match(joined):
            words = _without(words, found.end())
        if before is not words and words[:1] in (["N"], ["ID"]):  # Fattura n. 7, Invoice ID 7
            words = words[1:]
        if words:
            words = _without(words, len(words[0]) - len(words[0].lstrip("0")))
    return words or (["0"] if "0" in flat else [])


def _leading_long(words: list[str], joined: str) -> int:
    """Return how many signs a long leading word has, by preference one that ends where a group does.

    Rechnung SI-58 begins with RECHNUNG, though RECHNUNGS is such a word as well.
    """
    ends = [sum(map(len, words[:count])) for count in range(len(words), 0, -1)]
    whole = next((end for end in ends if LEADING_LONG.fullmatch(joined, 0, end)), 0)
    if not whole and LEADING_WORD.fullmatch(words[0]):
        return len(words[0])  # FAKTUR, which begins with FAKT
    found = None if whole else LEADING_LONG.match(joined)
    return found.end() if found else whole


def _without(words: list[str], signs: int) -> list[str]:
    """Return the words without so many signs at their beginning."""
    while words and signs >= len(words[0]):
        signs -= len(words[0])
        words = words[1:]
    return [words[0][signs:], *words[1:]] if words else words


def _ambiguous(number: str, word: str) -> bool:
    """Say whether the digits that end one group and begin the next could as well be cut elsewhere."""
    if not (number[-1:].isdecimal() and word[0].isdecimal()) or word[0] == "0":
        return False
    return not WHOLE.fullmatch(TRAILING.search(number)[0])  # type: ignore[index]


def currency_code(text: str) -> str:
    """Return a currency as its three letters, however it was written; a sign that several use stays as it is."""
    return CURRENCY_SIGNS.get(text.strip().upper()) or folded(text).strip()


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
        currency_code(currency),
    )
    message = VERSION + b"".join(len(raw).to_bytes(4, "big") + raw for raw in (field.encode() for field in fields))
    return hmac.new(pepper, message, hashlib.sha256).digest()


# -- who is who
# ---------------------------------------------------------------------------------------------------

COUNTRY_OF_PREFIX = {"EL": "GR", "XI": "GB"}
_VAT_COUNTRIES = (
    "AT BE BG CH CY CZ DE DK EE EL ES FI FR GB GR HR HU IE IT LI LT LU LV MT NL NO PL PT RO SE SI SK XI "
    "AE AU IN JP MY NZ SA SG ZA"
)
VAT_COUNTRIES = frozenset(_VAT_COUNTRIES.split())
VAT_PREFIX = re.compile(r"^[A-Z]{1,2}(?=[0-9]{7,}$)")  # RS of Serbia, T of Japan: with or without
VAT_ENDINGS = {"NO": ("MVA",), "CH": ("MWST", "TVA", "IVA")}
# A47387436, 4171973FH, 12345678Z; not what remains of HRB 12345, a register of its own.
REGISTERED = re.compile(r"[0-9]+|(?!B[0-9]{1,7}$)[A-Z][0-9]{7,9}[A-Z]?|[0-9]{7,9}[A-Z]{1,2}")
REGISTER = re.compile(r"(HR[AB]|GNR|PR|VR)(?:NR|NO|NUMMER|NUMBER)(?=[0-9])")  # HRB-Nr. 18035
UMLAUT = re.compile(r"(?<=[AOU])E")  # Köhler is folded to KOHLER, and Koehler is the same
NUMBER_SIGNS_MIN = 5


@dataclass(frozen=True)
class Identity:
    """What one document says about who a party is: VAT number, legal registration, name, all normalised
    or empty. Whether the registration was given or drawn from the VAT number is no part of who it is."""

    vat: str
    legal: str
    name: str
    country: str
    legal_from_vat: bool = field(default=False, compare=False)  # the registration is only what the VAT number contains

    @cached_property
    def vat_core(self) -> str:
        """The VAT number without the country it may or may not be written with."""
        return self.vat[2:] if self.vat[:2] in VAT_COUNTRIES else VAT_PREFIX.sub("", self.vat)

    @cached_property
    def numbers(self) -> frozenset[str]:
        """Every number that tells this party from others, bare, whichever field it stood in."""
        return frozenset(
            number.lstrip("0") for number in (self.legal, self.vat_core) if len(number) >= NUMBER_SIGNS_MIN
        )

    @property
    def key(self) -> str:
        """The strongest thing known: VAT number, else registration, else name and country."""
        if self.vat:
            return f"V:{self.vat}"
        return f"L:{self.country}:{self.legal}" if self.legal else f"N:{self.country}:{self.name}"


@lru_cache(maxsize=8_192)
def identity(legal_id: str | None, vat: str | None, name: str | None, country: str | None) -> Identity:
    """Return the normalised identity a document gives a party."""
    vat_number = _vat(vat or "")
    land = folded(country or "").strip()[:2]
    if not land and vat_number[:2] in VAT_COUNTRIES:
        land = COUNTRY_OF_PREFIX.get(vat_number[:2], vat_number[:2])
    given, drawn = _legal(legal_id or "", land), _legal_from_vat(vat_number)
    return Identity(vat_number, given or drawn, written_name(name or ""), land, bool(drawn and not given))


def party_key(legal_id: str | None, vat: str | None, name: str | None, country: str | None) -> str:
    """Return the strongest normalised identity of a party as one text.

    Two documents may know a party by different means; use `same_party` or a `PartyBook` to bring them
    together.
    """
    return identity(legal_id, vat, name, country).key


def same_party(one: Identity, other: Identity) -> bool:
    """Say whether two identities are one party: for the exact key, so never on a guess.

    The registration decides where both give one, and not only a VAT number that contains it: companies of one VAT group
    share a VAT number, and a company may have VAT numbers in several countries. Else the VAT number decides, else one's
    registration that is the other's VAT number. Names decide only where no number can be compared and the countries
    agree.
    """
    land = not (one.country and other.country and one.country != other.country)
    named = bool(one.name) and UMLAUT.sub("", one.name) == UMLAUT.sub("", other.name)
    drawn = one.legal_from_vat != other.legal_from_vat and bool(one.vat) and one.vat == other.vat
    if one.legal and other.legal and not drawn:
        return _same_registration(one.legal, other.legal) and (land or named)
    if one.vat and other.vat:
        return one.vat_core == other.vat_core and land
    return land and (bool(one.numbers & other.numbers) or named)


def _same_registration(one: str, other: str) -> bool:
    """Say whether two registrations are one: a SIRET begins with the SIREN of the company it is a place of, and a
    register may be named by its court or not (Amtsgericht Ulm HRB 188296).
    """
    if one == other:
        return True
    short, long = sorted((one, other), key=len)
    if short[:2] == "HR" and long.endswith(short) and long[: -len(short)].isalpha():
        return True
    if len(long) == 11 and long.isdecimal() and len(short) >= NUMBER_SIGNS_MIN and long[2:] == short.zfill(9):
        return True  # Australia's business number is its company number behind two check digits
    if len(short) == 8 and long == f"{short}000":
        return True  # the head office of a business in Hong Kong
    return len(long) == 14 and len(short) == 9 and long.isdecimal() and long.startswith(short)


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
    number = without_label(_compact(without_scheme(text)))
    country = number[:2] if number[:2] in VAT_COUNTRIES else ""
    for ending in VAT_ENDINGS.get(country, ()):
        number = number.removesuffix(ending)
    if country in ("GB", "XI") and len(number) == 14:
        return number[:11]  # the last three digits tell branches of one trader apart
    return number


def _legal(text: str, country: str) -> str:
    number, before = REGISTER.sub(r"\1", _compact(without_scheme(text))), None
    while number != before:
        before, number = number, without_label(number.lstrip("0"))
    if number[:2] in VAT_COUNTRIES and REGISTERED.fullmatch(number, 2):
        number = number[2:]  # written as the VAT number that contains it
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
