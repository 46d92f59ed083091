"""The same receivable again, told by its key alone: seller, debtor, number, type of document, currency.

Whatever else changes, these are to be blocked, every one: the number is written otherwise but is the same number, or
something outside the key is otherwise (amount, dates, lines, order, payee, file). A corrected invoice (384), a
self-billed one (389) and a factored one (393) claim the same money as the invoice (380) of that number.
"""

from collections.abc import Callable
from random import Random

from tests.receivables.matching.pairs import edits
from tests.receivables.matching.pairs.edits import Edit
from tests.receivables.matching.pairs.listings import IDS, Listing, copied, invoice
from tests.receivables.matching.pairs.numbers import COSMETIC, Rewrite

Pair = tuple[Listing, Listing]
Make = Callable[[Random], Pair]
VATS = ("seller_vat", "debtor_vat")
BOTH = ("seller_legal_id", "debtor_legal_id", "seller_vat", "debtor_vat")


def edited(edit: Edit, keep: tuple[str, ...] = (), lack: tuple[str, ...] = ()) -> Make:
    """Make pairs of an invoice and the same with one edit; until the edit does something."""

    def make(rng: Random) -> Pair:
        while True:
            _, first = invoice(rng, (*IDS, *keep), lack)
            second = copied(first)
            edit(rng, second)
            if second != first:
                return first, second

    return make


def renumbered(rewrite: Rewrite) -> Edit:
    """Write the number another way; half of the time the file is another one, too."""

    def edit(rng: Random, listing: Listing) -> None:
        old = listing["invoice_number"]
        listing["invoice_number"] = rewrite(rng, old)
        if listing["invoice_number"] != old and rng.random() < 0.5:
            edits.other_file(rng, listing)

    return edit


def field(name: str, *values: str | None) -> Edit:
    """Give a field one of some values; None leaves it out."""

    def edit(rng: Random, listing: Listing) -> None:
        value = rng.choice(values)
        if value is None:
            listing.pop(name, None)
        else:
            listing[name] = value

    return edit


def currency_written(rng: Random, listing: Listing) -> None:
    """The currency in small letters or with blanks."""
    listing["currency"] = rng.choice([listing["currency"].lower(), f" {listing['currency']} "])


def vat_only(rng: Random) -> Pair:
    """No legal ids; the parties are told by their VAT ids, and their names are written otherwise."""
    while True:
        _, first = invoice(rng, VATS, IDS)
        if all(name in first for name in VATS):
            second = copied(first)
            edits.respelt("debtor_name")(rng, second)
            edits.penny(rng, second)
            return first, second


def legal_id_once(rng: Random) -> Pair:
    """The second filing leaves the debtor's legal id out, and names its VAT id as the first did."""
    while True:
        _, first = invoice(rng, BOTH)
        if "debtor_vat" in first:
            second = copied(first)
            del second["debtor_legal_id"]
            edits.dates(rng, second)
            return first, second


def all_else(rng: Random, listing: Listing) -> None:
    """Everything that is outside the key at once."""
    for edit in (
        edits.far_amount, edits.far_dates, edits.lines_merged, edits.lines_reworded, edits.order_replaced, edits.payee,
        edits.other_file, edits.notes, edits.respelt("debtor_name"), edits.vat_dropped,
    ):  # fmt: skip
        edit(rng, listing)


def key_rewritten(rng: Random, listing: Listing) -> None:
    """Two cosmetic changes of the number, a penny more and other dates: as it was done in practice."""
    for rewrite in rng.sample([COSMETIC[name] for name in ("case", "other_separators", "unseen_marks", "blanks")], 2):
        listing["invoice_number"] = rewrite(rng, listing["invoice_number"])
    edits.penny(rng, listing)
    edits.dates(rng, listing)


OUTSIDE_THE_KEY: dict[str, tuple[Edit, tuple[str, ...]]] = {
    "amount_penny": (edits.penny, ()),
    "amount_percent": (edits.percent, ()),
    "amount_far": (edits.far_amount, ()),
    "amount_net_for_gross": (edits.net_for_gross, ("lines",)),
    "prepaid_moved": (edits.prepaid_moved, ()),
    "due_date": (edits.due_date, ("due_date",)),
    "dates": (edits.dates, ()),
    "dates_far": (edits.far_dates, ()),
    "lines_reordered": (edits.lines_reordered, ("lines",)),
    "lines_merged": (edits.lines_merged, ("lines",)),
    "lines_reworded": (edits.lines_reworded, ("lines",)),
    "lines_dropped": (edits.lines_dropped, ("lines",)),
    "quantities": (edits.quantities, ("lines",)),
    "order_dropped": (edits.order_dropped, ("purchase_order",)),
    "order_replaced": (edits.order_replaced, ()),
    "payee": (edits.payee, ()),
    "iban": (edits.iban, ()),
    "file_other": (edits.other_file, ()),
    "file_absent": (edits.no_file, ("document_sha256",)),
    "notes": (edits.notes, ()),
    "seller_respelt": (edits.respelt("seller_name"), ()),
    "debtor_respelt": (edits.respelt("debtor_name"), ()),
    "vat_dropped": (edits.vat_dropped, VATS),
    "vat_respelt": (edits.vat_respelt, VATS),
    "legal_ids_respelt": (edits.ids_respelt, ()),
    "currency_written": (currency_written, ()),
    "type_corrected": (field("document_type", "384"), ()),
    "type_self_billed": (field("document_type", "389"), ()),
    "type_factored": (field("document_type", "393"), ()),
    "type_absent": (field("document_type", None), ("document_type",)),
    "all_else": (all_else, ()),
    "key_rewritten": (key_rewritten, ()),
}

KINDS: dict[str, Make] = (
    {f"exact_number_{name}": edited(renumbered(rewrite)) for name, rewrite in COSMETIC.items()}
    | {f"exact_{name}": edited(edit, keep) for name, (edit, keep) in OUTSIDE_THE_KEY.items()}
    | {"exact_known_by_vat": vat_only, "exact_legal_id_once": legal_id_once}
)
