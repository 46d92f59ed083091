"""One paper twice: everything that a claim hangs on agrees, and only words around its number or names differ.

Labels and legal forms are written in more ways than any list knows. Where the seller, the debtor, both days, the sum
and the counter are the same, a word more before the counter does not make another claim. A seller that is only kin
stays a question: franchisees number alike.
"""

import re
from typing import TYPE_CHECKING

from marketplace.receivables.matching.number import NumberRead
from marketplace.receivables.matching.party import Kinship

if TYPE_CHECKING:
    from marketplace.receivables.matching.claim import Claim

BEFORE_DIGITS = re.compile(r"^[^\W\d]+(?=\d)")
COUNTER_SIGNS_MIN = 3


def one_paper(new: "Claim", old: "Claim", sellers: Kinship, debtors: Kinship) -> bool:
    """Say whether two claims of near parties are the same paper but for the words around number and names."""
    near = min(sellers, debtors) >= Kinship.NAMED or (sellers is Kinship.SAME and debtors is Kinship.KIN)
    return near and _same_terms(new, old) and but_for_words(new.read, old.read)


def _same_terms(new: "Claim", old: "Claim") -> bool:
    """Say whether sum, currency and both days are given and the same."""
    mine, theirs = ((it.amount_minor, it.money, it.issued_on, it.due_on) for it in (new, old))
    return all(mine) and mine == theirs


def but_for_words(one: NumberRead, other: NumberRead) -> bool:
    """Say whether two numbers are the same, or one is the other with letters before it: Hotiro 20418 and 20418."""
    short, long = sorted((one.bare, other.bare), key=len)
    if short == long:
        return bool(short) and (one.cuts <= other.cuts or other.cuts <= one.cuts)
    added = long.removesuffix(short)
    return len(short) >= COUNTER_SIGNS_MIN and added != long and added.isalpha()
