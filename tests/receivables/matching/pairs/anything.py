"""Any two to four edits at once, of any honest invoice: rents, time sheets and instalments as well as goods.

Nobody chose which edits go together; chance does. At least two traces of the first filing are left: a number that is
nearly the same, the amount, the lines, the order. Another order takes two of them: the same goods under two orders of
one day are sold honestly as well.
"""

import re
from random import Random

from tests.receivables.matching.pairs import edits, honest_neighbours, honest_series
from tests.receivables.matching.pairs.composed import HARMLESS, TAKES
from tests.receivables.matching.pairs.exact import Make, Pair
from tests.receivables.matching.pairs.listings import Listing, copied
from tests.receivables.matching.pairs.numbers import NEAR

TRACES_MIN = 2
BASES = [
    make
    for name, make in sorted((honest_series.KINDS | honest_neighbours.KINDS).items())
    if name != "honest_credit_note"  # a credit note's second filing is no second sale
]


def any_of(count: int) -> Make:
    """So many edits, one of them of the number."""

    def make(rng: Random) -> Pair:
        while True:
            first = rng.choice(BASES)(rng)[0]
            others = rng.sample([*TAKES, *HARMLESS], count - 1)
            near = rng.random() < 0.5
            taken = {TAKES[edit] for edit in others if edit in TAKES}
            least = TRACES_MIN + (edits.order_replaced in others)
            left = {"amount"} | ({"lines"} & first.keys()) | ({"order"} if "purchase_order" in first else set())
            if near + len(left - taken) < least or document_of(first) != "380":
                continue
            second = copied(first)
            renumbered(rng, second, near)
            if all(changed(edit, rng, second) for edit in others):
                edits.other_file(rng, second)
                return first, second

    return make


def document_of(listing: Listing) -> str:
    """The kind of document, an invoice where it does not say."""
    return str(listing.get("document_type", "380"))


def changed(edit: edits.Edit, rng: Random, listing: Listing) -> bool:
    """Make an edit; say whether it found something to change."""
    before = copied(listing)
    edit(rng, listing)
    return listing != before


def renumbered(rng: Random, listing: Listing, near: bool) -> None:
    """Give the listing a number near to its own, or one a few further on."""
    old = str(listing["invoice_number"])
    while listing["invoice_number"] == old:
        listing["invoice_number"] = rng.choice(list(NEAR.values()))(rng, old) if near else counted_on(rng, old)


def counted_on(rng: Random, number: str) -> str:
    """A number a few further on in the series: the longest group of digits that is no year counts."""
    groups = [group for group in re.finditer(r"[0-9]+", number) if not re.fullmatch("20[0-9]{2}", group[0])]
    at = max(groups or re.finditer(r"[0-9]+", number), key=lambda group: len(group[0]))
    further = str(int(at[0]) + rng.choice([1, 1, 2, 3, 7, 25])).zfill(len(at[0]))
    return number[: at.start()] + further + number[at.end() :]


KINDS: dict[str, Make] = {f"composed_any_{count}": any_of(count) for count in (2, 3, 4)}
