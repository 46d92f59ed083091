"""A claim: what names one invoice for every market of a consortium, and tells nobody else anything.

HMAC-SHA256 under the consortium's key over seller, debtor, canonical number, class of document and currency. Amounts
and dates stay outside, as they do in a market's own exact key. Two markets may know a party by different numbers, so
an invoice has one claim for each pair of numbers it could be known by: they meet when any two are the same.
"""

import hashlib
import hmac
from collections.abc import Iterable

from marketplace.receivables.matching.fingerprint import Identity, canonical_number, document_class

VERSION = b"duebill/claim/1"
MARK = b"duebill/claim-key/1"
CLAIM_BYTES = 32
CLAIMS_MAX = 12


def identifiers(known: Iterable[Identity]) -> list[str]:
    """Return what a party may be known by, in order: `V:` VAT numbers, `L:` registrations with their country.

    Its name with its country (`N:`) serves only where there is neither.
    """
    found: set[str] = set()
    names: set[str] = set()
    for one in known:
        if one.vat:
            found.add(f"V:{one.vat}")
        if one.legal and one.country:
            found.add(f"L:{one.country}:{one.legal}")
        if one.name and one.country:
            names.add(f"N:{one.country}:{one.name}")
    return sorted(found or names)


def claim(key: bytes, seller: str, debtor: str, number: str, document_type: str, currency: str) -> bytes:
    """Return the 32 bytes of one claim. Every field is preceded by its length in four octets, big-endian."""
    fields = (seller, debtor, canonical_number(number), document_class(document_type), currency.upper())
    packed = b"".join(len(raw).to_bytes(4, "big") + raw for raw in (field.encode() for field in fields))
    return hmac.new(key, VERSION + packed, hashlib.sha256).digest()


def claims(
    key: bytes, sellers: Iterable[Identity], debtors: Iterable[Identity], number: str, document_type: str, currency: str
) -> list[bytes]:
    """Return every claim of an invoice, sorted; at most a dozen."""
    debtor_names = identifiers(debtors)
    pairs = [(seller, debtor) for seller in identifiers(sellers) for debtor in debtor_names]
    return sorted({claim(key, *pair, number, document_type, currency) for pair in pairs[:CLAIMS_MAX]})


def key_mark(key: bytes) -> str:
    """Return 16 hex digits that tell whether two markets use the same consortium key, and nothing else of it."""
    return hmac.new(key, MARK, hashlib.sha256).hexdigest()[:16]
