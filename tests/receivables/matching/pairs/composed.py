"""The same receivable again with two to four edits at once, and full rewrites.

Composed kinds leave at least two traces of the first filing: a number that is nearly the same, the amount, the lines,
the order. A full rewrite (kinds whose name begins with `full_rewrite`) has another number, other dates, other words
and another order, and only the parties and about the amount in common; it is reported apart.
"""

from random import Random

from tests.receivables.matching.pairs import edits, near
from tests.receivables.matching.pairs.edits import Edit
from tests.receivables.matching.pairs.exact import Make
from tests.receivables.matching.pairs.goods import goods, line
from tests.receivables.matching.pairs.listings import Listing, Trade, copied, later
from tests.receivables.matching.pairs.near import TRACES, Trick, billed, next_number, same_number_and, tricked
from tests.receivables.matching.pairs.numbers import NEAR

TAKEN_MAX = 2
# What an edit takes away of: the number, the amount, the lines, the order. The other edits take nothing away.
TAKES: dict[Edit, str] = {
    edits.percent: "amount", edits.net_for_gross: "amount", edits.prepaid_moved: "amount", edits.currency: "amount",
    edits.lines_merged: "lines", edits.lines_dropped: "lines", edits.lines_reworded: "lines",
    edits.quantities: "lines", edits.order_dropped: "order", edits.order_replaced: "order",
}  # fmt: skip
HARMLESS: tuple[Edit, ...] = (
    edits.penny, edits.due_date, edits.dates, edits.lines_reordered, edits.order_altered, edits.payee, edits.iban,
    edits.notes, edits.respelt("debtor_name"), edits.respelt("seller_name"), edits.vat_dropped, edits.no_file,
)  # fmt: skip


def near_number(rng: Random, _by: Trade, listing: Listing) -> None:
    """A number that is nearly the same."""
    old = listing["invoice_number"]
    while listing["invoice_number"] == old:
        listing["invoice_number"] = rng.choice(list(NEAR.values()))(rng, old)


def all_of(*tricks: Trick, also: tuple[Edit, ...] = ()) -> Trick:
    """Some tricks, then some edits; nothing at all unless each of them changes something."""
    parts = [*tricks, *map(same_number_and, also)]

    def trick(rng: Random, by: Trade, listing: Listing) -> None:
        first = copied(listing)
        for part in parts:
            before = copied(listing)
            part(rng, by, listing)
            if listing == before:
                listing.clear()
                listing.update(first)
                return

    return trick


def one_of(*choices: Edit) -> Edit:
    """One of some edits."""
    return lambda rng, listing: rng.choice(choices)(rng, listing)


def free(count: int) -> Trick:
    """A change of number and so many other edits, whichever, that leave two traces of four."""

    def trick(rng: Random, by: Trade, listing: Listing) -> None:
        while True:
            others = rng.sample([*TAKES, *HARMLESS], count - 1)
            renumbering = rng.choice([near_number, next_number])
            taken = {TAKES[edit] for edit in others if edit in TAKES}
            if len(taken) + (renumbering is next_number) <= TAKEN_MAX:
                all_of(renumbering, also=tuple(others))(rng, by, listing)
                return

    return trick


AMOUNT, DATES = one_of(edits.penny, edits.percent), one_of(edits.due_date, edits.dates)
ORDER = one_of(edits.order_dropped, edits.order_replaced, edits.order_altered)
COMPOSED: dict[str, Trick] = {
    "number_and_amount": all_of(near_number, also=(AMOUNT,)),
    "number_and_dates": all_of(near_number, also=(DATES,)),
    "number_amount_and_dates": all_of(near_number, also=(AMOUNT, DATES)),
    "number_and_order": all_of(near_number, also=(ORDER, edits.notes)),
    "number_and_wording": all_of(near_number, also=(edits.lines_reworded, edits.dates)),
    "number_and_debtor": all_of(near_number, also=(edits.respelt("debtor_name"), edits.debtor_ids_dropped)),
    "number_and_currency": all_of(near_number, also=(edits.currency,)),
    "renumbered_order_and_dates": all_of(next_number, also=(edits.order_altered, edits.dates)),
    "renumbered_penny_and_dates": all_of(next_number, also=(edits.penny, DATES)),
    "renumbered_wording_and_order": all_of(next_number, also=(edits.lines_reworded, edits.order_altered)),
    "renumbered_wording_and_dates": all_of(next_number, also=(edits.lines_reworded, edits.dates)),
    "renumbered_payee_and_due_date": all_of(next_number, also=(edits.payee, edits.due_date)),
    "renumbered_merged_and_dates": all_of(next_number, also=(edits.lines_merged, edits.dates)),
    "sister_and_wording": all_of(near.sister_renumbered, also=(edits.lines_reworded,)),
    "sister_and_amount": all_of(near.sister_seller, near_number, also=(AMOUNT,)),
    "sister_and_dates": all_of(near.sister_renumbered, also=(edits.dates, edits.penny)),
    "split_and_dates": all_of(near.split(2), also=(edits.dates,)),
    "split_and_wording": all_of(near.split(2), also=(edits.lines_reworded,)),
    "alias_and_number": all_of(near.debtor_alias, near_number, also=(edits.dates,)),
    "rebill_and_amount": all_of(near.credit_and_rebill, also=(edits.percent,)),
    "rebill_and_wording": all_of(near.credit_and_rebill, also=(edits.lines_reworded,)),
    "misread_and_dates": all_of(also=(edits.misread_all, edits.dates, edits.penny)),
    "free_2": free(2),
    "free_3": free(3),
    "free_4": free(4),
}


def rewritten(rng: Random, by: Trade, listing: Listing) -> None:
    """Nothing left but the parties and the amount."""
    new = goods(rng, by.seller.country, rng.choice([1, 2, 3]))
    net = sum(each["amount_minor"] for each in listing["lines"])
    share = [net * (i + 1) // len(new) - net * i // len(new) for i in range(len(new))]
    listing["lines"] = [line(each["description"], 1, minor) for each, minor in zip(new, share, strict=True)]
    later(listing, rng.choice([-40, -21, 12, 19, 33, 47]))
    edits.due_date(rng, listing)
    edits.order_replaced(rng, listing)
    edits.notes(rng, listing)
    listing.pop("contract", None)
    listing["invoice_number"] = by.series.number(rng.randrange(40, 400), edits.date_of(listing))


def half(_rng: Random, by: Trade, listing: Listing) -> None:
    """Half the amount of every line."""
    billed(by, listing, [line(each["description"], 1, each["amount_minor"] // 2) for each in listing["lines"]])


REWRITES: dict[str, Trick] = {
    "full_rewrite_amount_kept": rewritten,
    "full_rewrite_amount_near": all_of(rewritten, also=(edits.percent,)),
    "full_rewrite_penny": all_of(rewritten, also=(edits.penny,)),
    "full_rewrite_sister": all_of(near.sister_renumbered, rewritten),
    "full_rewrite_half": all_of(rewritten, half),
}
KINDS: dict[str, Make] = {f"composed_{name}": tricked(trick, TRACES) for name, trick in COMPOSED.items()} | {
    name: tricked(trick, TRACES) for name, trick in REWRITES.items()
}
