"""The same receivable under another key: one trick a kind, to be held for a second pair of eyes at the least.

The second listing leaves enough of the first for a person to see it: a number that is nearly the same, or the same
order, lines and amount. What leaves nothing is a full rewrite, and stands in `composed`.
"""

from collections.abc import Callable
from random import Random

from tests.receivables.matching.pairs import edits
from tests.receivables.matching.pairs.edits import Edit
from tests.receivables.matching.pairs.exact import VATS, Make, Pair
from tests.receivables.matching.pairs.goods import Line, line
from tests.receivables.matching.pairs.listings import IDS, Listing, Trade, copied, invoice, later, named, series
from tests.receivables.matching.pairs.numbers import NEAR, Rewrite

Trick = Callable[[Random, Trade, Listing], None]
TRACES = ("purchase_order", "lines", "due_date")


def tricked(trick: Trick, keep: tuple[str, ...] = TRACES, lack: tuple[str, ...] = (), count: int = 0,
            even: bool = False) -> Make:  # fmt: skip
    """Make pairs of an invoice and what a trick makes of it, in another file; until the trick does something."""

    def make(rng: Random) -> Pair:
        while True:
            by, first = invoice(rng, tuple(name for name in (*IDS, *keep) if name not in lack), lack, count, even)
            second = copied(first)
            trick(rng, by, second)
            if second != first:
                edits.other_file(rng, second)
                return first, second

    return make


def number(rewrite: Rewrite) -> Make:
    """The number alone changes; what the documents leave out is left to chance."""

    def trick(rng: Random, _by: Trade, listing: Listing) -> None:
        listing["invoice_number"] = rewrite(rng, listing["invoice_number"])

    return tricked(trick, keep=())


def next_number(rng: Random, by: Trade, listing: Listing) -> None:
    """Another number of the same series, as if it were another invoice."""
    on = edits.date_of(listing)
    listing["invoice_number"] = by.series.number(rng.choice([1, 1, 2, 3, 7, 25, -4]), on)


def renumbered_and(*also: Edit) -> Trick:
    """Another number of the series, and some edits."""

    def trick(rng: Random, by: Trade, listing: Listing) -> None:
        before = copied(listing)
        for edit in also:
            edit(rng, listing)
        if listing != before:
            next_number(rng, by, listing)

    return trick


def same_number_and(edit: Edit) -> Trick:
    """The number stays, and an edit of something else in the key."""
    return lambda rng, by, listing: edit(rng, listing)


def two_numbers(rng: Random, by: Trade, listing: Listing) -> None:
    """The same goods under two numbers, some days apart."""
    if rng.random() < 0.7:
        edits.dates(rng, listing)
    next_number(rng, by, listing)


def split(part: int) -> Trick:
    """One part of the order, in quantity, as an invoice of its own."""

    def trick(rng: Random, by: Trade, listing: Listing) -> None:
        parts = [line(each["description"], max(1, each["quantity"] // part), each["unit_price_minor"])
                 for each in listing["lines"]]  # fmt: skip
        billed(by, listing, parts)
        next_number(rng, by, listing)

    return trick


def billed(by: Trade, listing: Listing, lines: list[Line]) -> None:
    """Put other lines on a listing, and sum them up."""
    net = sum(each["amount_minor"] for each in lines)
    total = net + (net * by.vat_bps + 5_000) // 10_000
    listing.update(lines=lines, total_minor=total, amount_due_minor=total, prepaid_minor=0)


def split_by_lines(rng: Random, by: Trade, listing: Listing) -> None:
    """Some of the lines as an invoice of their own."""
    billed(by, listing, rng.sample(listing["lines"], len(listing["lines"]) // 2))
    next_number(rng, by, listing)


def sister_seller(rng: Random, by: Trade, listing: Listing) -> None:
    """Filed by a sister company of the seller, under the same number."""
    sister = by.seller.sister(rng)
    filled(listing, named("seller", sister) | {"payee_name": sister.name, "payee_iban": sister.iban})


def sister_renumbered(rng: Random, by: Trade, listing: Listing) -> None:
    """Filed by a sister company, in its own series."""
    sister_seller(rng, by, listing)
    listing["invoice_number"] = series(rng, by.seller.country).number(0, edits.date_of(listing))


def debtor_alias(rng: Random, by: Trade, listing: Listing) -> None:
    """Owed by another company of the debtor's group, under the same number."""
    filled(listing, named("debtor", by.debtor.sister(rng)))


def debtor_subsidiary(rng: Random, by: Trade, listing: Listing) -> None:
    """Owed by another company of the debtor's group, under another number."""
    debtor_alias(rng, by, listing)
    next_number(rng, by, listing)


def filled(listing: Listing, fields: Listing) -> None:
    """Say otherwise what the listing does say; what it leaves out stays out."""
    listing.update({name: value for name, value in fields.items() if name in listing})


def credit_and_rebill(rng: Random, by: Trade, listing: Listing) -> None:
    """Credited and billed again, and saying so."""
    old = listing["invoice_number"]
    words = ["Replaces invoice {}.", "Ersetzt Rechnung {}.", "Annule et remplace la facture {}.", "Re-bill of {}",
             "Credit note issued for {}; this invoice stands in its place."]  # fmt: skip
    listing["notes"] = rng.choice(words).format(old)
    later(listing, rng.randrange(3, 40))
    next_number(rng, by, listing)


def silent_rebill(rng: Random, by: Trade, listing: Listing) -> None:
    """Billed again within the week, the old one credited elsewhere, and not saying so."""
    later(listing, rng.randrange(1, 7))
    if rng.random() < 0.5:
        edits.order_altered(rng, listing)
    next_number(rng, by, listing)


def same_file(rng: Random) -> Pair:
    """The very same file, its fields typed with another number, other dates and another amount."""
    by, first = invoice(rng, (*IDS, "document_sha256"))
    second = copied(first)
    for edit in (edits.percent, edits.dates, edits.lines_dropped, edits.order_dropped):
        edit(rng, second)
    next_number(rng, by, second)
    return first, second


ALSO: dict[str, tuple[Edit, ...]] = {
    "amount_penny": (edits.penny,), "net_for_gross": (edits.net_for_gross,), "amount_percent": (edits.percent,),
    "prepaid_moved": (edits.prepaid_moved,), "due_date": (edits.due_date,), "currency": (edits.currency,),
    "lines_reordered": (edits.lines_reordered,), "lines_merged": (edits.lines_merged,),
    "lines_reworded": (edits.lines_reworded,), "lines_dropped": (edits.lines_dropped,),
    "quantities": (edits.quantities,), "order_dropped": (edits.order_dropped,),
    "order_altered": (edits.order_altered,), "payee": (edits.payee,), "iban": (edits.iban,), "notes": (edits.notes,),
    "debtor_respelt": (edits.respelt("debtor_name"),), "vat_dropped": (edits.vat_dropped,),
    "debtor_ids_dropped": (edits.debtor_ids_dropped,),
}  # fmt: skip

KINDS: dict[str, Make] = (
    {f"near_number_{name}": number(rewrite) for name, rewrite in NEAR.items()}
    | {f"near_renumbered_{name}": tricked(renumbered_and(*also)) for name, also in ALSO.items()}
    | {
        "near_renumbered_order_replaced": tricked(renumbered_and(edits.order_replaced), count=4),
        "near_two_numbers": tricked(two_numbers),
        "near_split_in_two": tricked(split(2), even=True),
        "near_split_in_three": tricked(split(3)),
        "near_split_by_lines": tricked(split_by_lines, count=4),
        "near_sister_seller": tricked(sister_seller, keep=()),
        "near_sister_renumbered": tricked(sister_renumbered),
        "near_debtor_alias": tricked(debtor_alias, keep=()),
        "near_debtor_subsidiary": tricked(debtor_subsidiary),
        "near_credit_and_rebill": tricked(credit_and_rebill, keep=("lines",)),
        "near_silent_rebill": tricked(silent_rebill),
        "near_currency": tricked(same_number_and(edits.currency), keep=()),
        "near_misread": tricked(same_number_and(edits.misread_all), keep=()),
        "near_names_only": tricked(same_number_and(edits.respelt("debtor_name")), lack=(*IDS, *VATS)),
        "near_debtor_by_name": tricked(same_number_and(edits.debtor_ids_dropped), keep=()),
        "near_parties_by_name": tricked(same_number_and(edits.all_ids_dropped), keep=()),
        "near_vat_respelt": tricked(same_number_and(edits.vat_respelt), lack=IDS, keep=VATS),
        "near_same_file": same_file,
    }
)
