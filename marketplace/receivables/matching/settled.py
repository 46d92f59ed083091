"""Pairs that a rule settles instead of what was learnt: judged sets hold none or too few of them, or always agree.

Sets are pairs that somebody thought worth judging. A market compares a listing with everything that shares a key with
it, and most of that was never judged: a mistake made of one such pair in a hundred holds every other listing.
"""

from collections.abc import Set
from typing import TYPE_CHECKING

from marketplace.receivables.matching import number
from marketplace.receivables.matching.party import Kinship

if TYPE_CHECKING:
    from marketplace.receivables.matching.claim import Claim, Verdict

SAME_FIGURES = frozenset(("same_parties", "same_amount", "same_line_amounts", "same_issue_date", "same_due_date"))
SHARED_LINES = frozenset(("same_lines", "same_line_amounts", "lines_alike", "part_of_lines", "lines_shared"))
BROTHERS = frozenset(("number_neighbour", "same_parties", "same_issue_date"))
LINES_MIN = 2
SPEAKS_AGAINST_BELOW = 0
# What two invoices of one seller have in common by chance; sums nearer than these do not come so.
_BY_CHANCE = """
same_parties seller_same seller_named seller_kin seller_loose seller_unknown seller_other
debtor_same debtor_named debtor_kin debtor_loose debtor_unknown debtor_other other_place two_companies
number_neighbour other_number far_in_series other_amount amount_near lines_alike lines_differ other_lines same_goods
issued_near issued_apart due_together due_apart
"""
CHANCE = frozenset(_BY_CHANCE.split())


def settled(new: "Claim", old: "Claim", codes: Set[str], debtors: Kinship, score: int) -> "Verdict | None":
    """Return the verdict on a pair that needs no learning, None where it does; `score` is the sum of the findings.

    A listing is compared with everything that shares a key with it: where more speaks against a pair than for it, or
    nothing ties it but what invoices of one seller have in common by chance, what was learnt of others has no say.
    """
    if _reworded(new, old, codes):
        return "hold"
    if score < SPEAKS_AGAINST_BELOW or codes <= CHANCE:
        return "apart"
    if codes & number.EDITED:
        return None
    apart = (
        _known_to_be_another(new, old, debtors)
        or _undated_next(new, old, codes)
        or _next_to_another(new, old, codes)
        or _brothers(new, old, codes)
    )
    return "apart" if apart else None


def _reworded(new: "Claim", old: "Claim", codes: Set[str]) -> bool:
    """Say whether every figure of several lines and both days are the same, and the order's but for one sign mistyped.

    Those who order the same again do so under a number of its own, in the same words.
    """
    one, other = new.goods, old.goods
    if not codes >= SAME_FIGURES or len(one.lines) < LINES_MIN or one.priced != other.priced:
        return False
    return len(one.order) == len(other.order) and sum(a != b for a, b in zip(one.order, other.order, strict=True)) == 1


def _known_to_be_another(new: "Claim", old: "Claim", debtors: Kinship) -> bool:
    """Say whether the market knows the debtors to be two, and no paper names them otherwise."""
    return debtors is Kinship.OTHER and bool(new.debtor and old.debtor) and None in (new.debtor_who, old.debtor_who)


def _undated_next(new: "Claim", old: "Claim", codes: Set[str]) -> bool:
    """Say whether neither bears a day, and the two follow each other in a series: a fee by the month."""
    dated = any((new.issued_on, new.due_on, old.issued_on, old.due_on))
    return not dated and "number_neighbour" in codes and max(len(new.goods.lines), len(old.goods.lines)) < LINES_MIN


def _next_to_another(new: "Claim", old: "Claim", codes: Set[str]) -> bool:
    """Say whether the next invoice of a series goes to another company, and not one word of it is the same."""
    apart = {"two_companies", "number_neighbour"} <= codes and codes.isdisjoint(SHARED_LINES)
    return apart and new.told.words.isdisjoint(old.told.words)


def _brothers(new: "Claim", old: "Claim", codes: Set[str]) -> bool:
    """Say whether two bills of one day and series are for two months, or differ in a plate or a flat only.

    Who lists one again changes the number to hide it, and has no need of another plate.
    """
    if not codes >= BROTHERS:
        return False
    return "other_period" in codes or ("other_identifiers" in codes and new.told.words == old.told.words)
