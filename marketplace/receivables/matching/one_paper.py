"""One paper twice: everything that a claim hangs on agrees, and only words around its number or names differ.

Labels and legal forms are written in more ways than any list knows. Where the seller, the debtor, both days, the sum
and the counter are the same, a word more before the counter does not make another claim. A seller that is only kin
stays a question: franchisees number alike.
"""

import re
from itertools import product
from typing import TYPE_CHECKING

from marketplace.receivables.matching.number import read_number, relation
from marketplace.receivables.matching.party import Kinship

if TYPE_CHECKING:
    from marketplace.receivables.matching.claim import Claim

ONE_NUMBER = ("same_number", "number_respelt")
# What is written right before a number, in whatever language the words before it are. Račun R-1 br. 7: R-1 is a kind.
SIGN = re.compile(
    r"^(?:[^\W\d_]|[\s.,:/&'’()–-]|\bR-?[12]\b)*?"
    r"(?:№|#|第|番号|号|號|번호|\b(?:n\s?[.o]?\s?[º°]|no|nr|nro|num|number|numero|número|numer|nummer|nomor|br|бр|č|číslo|"
    r"số|so|numarası|sayı|αρ|νο|αριθ|номер)\b)[\s.:º°]*(?=\S*[^\W_])",
    re.IGNORECASE,
)
# Serija ZE Nr. 06956 and ZE 06956, Seria BCR nr. 17 and BCR 17.
SERIES = re.compile(r"^\s*seri[^\W\d_]*[\s.:]+([^\W\d_]{1,5})[\s.,]+(?:nr|no|n\s?[º°]|№)[\s.:]*(?=\d)", re.IGNORECASE)
# Words that stand before it, each of three letters and more: a shorter one may be a series.
WORDS = re.compile(r"^(?:[^\W\d_]{3,}[.,:()]*\s+|[^\W\d_]{1,2}\.\s*)+(?=\S)")


def one_paper(new: "Claim", old: "Claim", sellers: Kinship, debtors: Kinship) -> bool:
    """Say whether two claims of near parties are the same paper but for the words around number and names."""
    near = min(sellers, debtors) >= Kinship.NAMED or (sellers is Kinship.SAME and debtors is Kinship.KIN)
    return near and _same_terms(new, old) and but_for_words(new.number, old.number)


def _same_terms(new: "Claim", old: "Claim") -> bool:
    """Say whether sum and currency are the same, and of the two days those that both papers give, one at least."""
    if not new.amount_minor or (new.amount_minor, new.money) != (old.amount_minor, old.money):
        return False
    days = [(a, b) for a, b in ((new.issued_on, old.issued_on), (new.due_on, old.due_on)) if a and b]
    return bool(days) and all(a == b for a, b in days)


def but_for_words(one: str, other: str) -> bool:
    """Say whether two numbers are one without the words before them: e-Fatura No VVC26 and Facture n° VVC26.

    Words before a sign for "number" may stand on both; other words on one only, for LONDON 7 and PARIS 7 are two.
    """
    mine, theirs = ({said, _series(said) or SIGN.sub("", said)} for said in (one, other))
    return any(
        relation(read_number(left), read_number(right)) in ONE_NUMBER
        for left, right in {*product(mine, theirs), *product({WORDS.sub("", one)}, theirs),
                            *product(mine, {WORDS.sub("", other)})}
    )  # fmt: skip


def _series(number: str) -> str:
    """Return a number that names its series as one that does not: Serija ZE Nr. 06956 as ZE 06956; else nothing."""
    return SERIES.sub(r"\1 ", number) if SERIES.match(number) else ""
