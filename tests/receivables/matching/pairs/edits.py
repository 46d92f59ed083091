"""What a second filing says otherwise: one edit a function, each changing a listing in place.

An edit that finds nothing to change leaves the listing alone; whoever asks for it looks whether it did something.
"""

from collections.abc import Callable
from datetime import date
from random import Random

from tests.receivables.matching.pairs.companies import bank_account, company
from tests.receivables.matching.pairs.goods import line, misread, reworded
from tests.receivables.matching.pairs.listings import Listing, fingerprint, later, order_number

Edit = Callable[[Random, Listing], None]

AMOUNTS = ("total_minor", "amount_due_minor")
RATES = {"GBP": 1_000, "EUR": 1_170, "USD": 1_270, "HKD": 9_900}  # thousandths of a pound's worth
FORMS_DROPPED = (" Ltd", " Limited", " GmbH", " AG", " SARL", " SAS", " B.V.", " N.V.", " S.r.l.", " S.p.A.", " S.L.",
                 " S.A.", " PLC", " LLP")  # fmt: skip


def penny(rng: Random, listing: Listing) -> None:
    """A penny more, or a few less: the amounts alone."""
    more = rng.choice([1, 1, 1, -1, 2, 10])
    for name in AMOUNTS:
        if name in listing:
            listing[name] += more


def percent(rng: Random, listing: Listing) -> None:
    """Prices some percent dearer or cheaper, on every line and in the sums."""
    scaled(listing, rng.choice([970, 980, 990, 1_010, 1_020, 1_035]), 1_000)


def scaled(listing: Listing, by: int, of: int) -> None:
    """Multiply every amount by a fraction."""
    for name in (*AMOUNTS, "prepaid_minor"):
        if name in listing:
            listing[name] = listing[name] * by // of

    def dearer(each: Listing) -> Listing:
        return line(each["description"], each["quantity"], each["unit_price_minor"] * by // of)

    listing_lines(listing, dearer)


def listing_lines(listing: Listing, change: Callable[[Listing], Listing]) -> None:
    """Change every line of a listing that has any."""
    if "lines" in listing:
        listing["lines"] = [change(each) for each in listing["lines"]]


def far_amount(rng: Random, listing: Listing) -> None:
    """Another sum altogether: a tenth to three times as much."""
    scaled(listing, rng.choice([100, 500, 1_300, 2_000, 3_000]), 1_000)


def net_for_gross(_rng: Random, listing: Listing) -> None:
    """The sum of the lines without VAT filed as what is due."""
    if "lines" in listing:
        net = sum(each["amount_minor"] for each in listing["lines"])
        listing.update(total_minor=net, amount_due_minor=net - listing.get("prepaid_minor", 0))


def prepaid_moved(rng: Random, listing: Listing) -> None:
    """A prepayment invented, or one left out."""
    total = listing["total_minor" if "total_minor" in listing else "amount_due_minor"]
    prepaid = 0 if listing.get("prepaid_minor") else total * rng.choice([5, 10, 25, 30]) // 100
    listing.update(total_minor=total, prepaid_minor=prepaid, amount_due_minor=total - prepaid)


def currency(rng: Random, listing: Listing) -> None:
    """Another currency, converted at about the day's rate."""
    before = listing["currency"]
    after = rng.choice([each for each in RATES if each != before])
    scaled(listing, RATES[after] * rng.randrange(990, 1_011), RATES[before] * 1_000)
    listing["currency"] = after


def due_date(rng: Random, listing: Listing) -> None:
    """Due later or earlier."""
    later(listing, rng.choice([-15, -10, 7, 14, 15, 30, 45]), "due_date")


def dates(rng: Random, listing: Listing) -> None:
    """Issued and due a few days on."""
    later(listing, rng.randrange(1, 6))


def far_dates(rng: Random, listing: Listing) -> None:
    """Issued and due weeks or months on."""
    later(listing, rng.choice([21, 30, 61, 92, 180, 365]))


def lines_reordered(rng: Random, listing: Listing) -> None:
    """The same lines in another order."""
    if "lines" in listing:
        listing["lines"] = rng.sample(listing["lines"], len(listing["lines"]))


def lines_merged(rng: Random, listing: Listing) -> None:
    """All lines in one."""
    if len(listing.get("lines", [])) > 1:
        words = rng.choice(["Goods as per order", "Supplies", "Lieferung laut Bestellung", "Fournitures diverses"])
        listing["lines"] = [line(words, 1, sum(each["amount_minor"] for each in listing["lines"]))]


def lines_reworded(rng: Random, listing: Listing) -> None:
    """Every line in other words."""
    listing_lines(listing, lambda each: each | {"description": reworded(rng, each["description"])})


def lines_dropped(_rng: Random, listing: Listing) -> None:
    """No lines: a form filled in by hand."""
    listing.pop("lines", None)


def quantities(_rng: Random, listing: Listing) -> None:
    """Half the quantity at twice the price."""
    listing_lines(listing, lambda each: each | {"quantity": each["quantity"] / 2,
                                                "unit_price_minor": each["unit_price_minor"] * 2})  # fmt: skip


def order_dropped(_rng: Random, listing: Listing) -> None:
    """No purchase order, nor contract."""
    listing.pop("purchase_order", None)
    listing.pop("contract", None)


def order_altered(rng: Random, listing: Listing) -> None:
    """The purchase order written another way."""
    if "purchase_order" in listing:
        old = listing["purchase_order"]
        new = [f"{old}-1", f"{old}/A", f"Order {old}", old.replace("-", " ").lower(), f"{old} rev"]
        listing["purchase_order"] = rng.choice([each for each in new if each != old])


def order_replaced(rng: Random, listing: Listing) -> None:
    """Another purchase order."""
    listing["purchase_order"] = order_number(rng)


def payee(rng: Random, listing: Listing) -> None:
    """Payable to somebody else, at another bank."""
    other = company(rng)
    listing.update(payee_name=other.name, payee_iban=other.iban or bank_account(rng, "GB"))


def iban(rng: Random, listing: Listing) -> None:
    """Payable to another account."""
    listing["payee_iban"] = bank_account(rng, rng.choice(["GB", "DE", "NL"]))


def other_file(rng: Random, listing: Listing) -> None:
    """Another file: printed, scanned or exported again."""
    listing["document_sha256"] = fingerprint(rng.random())


def no_file(_rng: Random, listing: Listing) -> None:
    """Typed in; no file at all."""
    listing.pop("document_sha256", None)


def notes(rng: Random, listing: Listing) -> None:
    """Other notes."""
    listing["notes"] = rng.choice(["Thank you for your business.", "Zahlbar ohne Abzug.", "Paiement à réception.",
                                   "As agreed by telephone.", "Second copy sent on request."])  # fmt: skip


def respelt(name: str) -> Edit:
    """Write a party's name another way: without the legal form, in capitals, with other blanks, without accents."""

    def edit(rng: Random, listing: Listing) -> None:
        old = listing[name]
        bare = old
        for form in FORMS_DROPPED:
            bare = bare.removesuffix(form)
        new = [bare, old.upper(), old.replace("&", "and").replace(" ", "  "), f"The {old}", misread(rng, old),
               f"{bare.lower()} {rng.choice(['ltd.', 'group', 'co.'])}"]  # fmt: skip
        listing[name] = rng.choice([each for each in new if each != old])

    return edit


def vat_dropped(rng: Random, listing: Listing) -> None:
    """One or both VAT ids left out."""
    for name in rng.choice([("seller_vat",), ("debtor_vat",), ("seller_vat", "debtor_vat")]):
        listing.pop(name, None)


def vat_respelt(_rng: Random, listing: Listing) -> None:
    """The VAT ids with blanks, and without the country."""
    for name in ("seller_vat", "debtor_vat"):
        if name in listing:
            bare = listing[name][2:]
            listing[name] = f"{bare[:3]} {bare[3:6]} {bare[6:]}"


def ids_respelt(rng: Random, listing: Listing) -> None:
    """The legal ids with blanks, dots or in small letters."""
    for name in ("seller_legal_id", "debtor_legal_id"):
        old = listing[name]
        listing[name] = rng.choice([old.lower().replace(" ", "").replace("-", " "), f"{old[:3]} {old[3:6]} {old[6:]}",
                                    f" {old} ", f"{old[:3]}.{old[3:]}"])  # fmt: skip


def debtor_ids_dropped(_rng: Random, listing: Listing) -> None:
    """The debtor by name alone."""
    for name in ("debtor_legal_id", "debtor_vat"):
        listing.pop(name, None)


def all_ids_dropped(rng: Random, listing: Listing) -> None:
    """Both parties by name alone."""
    debtor_ids_dropped(rng, listing)
    for name in ("seller_legal_id", "seller_vat"):
        listing.pop(name, None)


def misread_all(rng: Random, listing: Listing) -> None:
    """What a poor scan of the same paper gives: number, names, order and words with misread letters."""
    for name in ("invoice_number", "seller_name", "debtor_name", "purchase_order"):
        if name in listing:
            listing[name] = misread(rng, listing[name])
    listing_lines(listing, lambda each: each | {"description": misread(rng, each["description"], 3)})


def date_of(listing: Listing) -> date:
    """The day on which a listing says that it was issued."""
    return date.fromisoformat(listing["issue_date"])
