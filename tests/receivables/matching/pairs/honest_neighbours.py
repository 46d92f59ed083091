"""Honest invoices that look alike by chance or by trade: same day, same price list, same number, same name."""

from dataclasses import replace
from datetime import timedelta
from random import Random

from tests.receivables.matching.pairs import edits
from tests.receivables.matching.pairs.exact import Make, Pair
from tests.receivables.matching.pairs.goods import goods, line
from tests.receivables.matching.pairs.listings import Listing, Trade, invoice, order_number, some_day, trade


def of_another(rng: Random, by: Trade, number: str | None = None, **changes: object) -> Listing:
    """An unrelated invoice of a trade near to this one."""
    other = replace(by, order=order_number(rng), **changes)  # type: ignore[arg-type]
    return other.listing(rng.randrange(2, 50), some_day(rng), goods(rng, by.seller.country), invoice_number=number)


def number_of_two_sellers(rng: Random) -> Pair:
    """Two sellers number alike, and supply the same debtor."""
    by, first = invoice(rng)
    return first, of_another(rng, by, first["invoice_number"], seller=by.seller.stranger(rng, by.seller.country))


def number_and_amount_of_two_sellers(rng: Random) -> Pair:
    """Two sellers of the same goods at the same price, to one debtor, under one number: chance, on other days."""
    by, first = invoice(rng, ("seller_legal_id", "seller_vat"), count=1)
    other = replace(by, seller=by.seller.stranger(rng, by.seller.country), order=order_number(rng))
    lines = [line(each["description"], each["quantity"], each["unit_price_minor"]) for each in first.get("lines", [])]
    lines = lines or goods(rng, by.seller.country, 1)
    return first, other.listing(0, some_day(rng), lines, invoice_number=first["invoice_number"])


def two_debtors(rng: Random) -> Pair:
    """The same goods to two debtors on one day."""
    by, day = trade(rng), some_day(rng)
    lines = goods(rng, by.seller.country)
    other = replace(by, debtor=by.debtor.stranger(rng), order=order_number(rng))
    return by.listing(0, day, lines), other.listing(rng.choice([1, 1, 2]), day, lines)


def next_number(rng: Random) -> Pair:
    """Two numbers in a row on one day, for other goods."""
    by, day = trade(rng), some_day(rng)
    other = replace(by, order=order_number(rng))
    return (by.listing(0, day, goods(rng, by.seller.country)),
            other.listing(1, day, goods(rng, by.seller.country)))  # fmt: skip


def one_digit(rng: Random) -> Pair:
    """Numbers of one series that differ in one digit, for other goods on other days."""
    by, day = trade(rng), some_day(rng)
    other, steps = replace(by, order=order_number(rng)), rng.choice([10, 20, 100, 300])
    return (by.listing(0, day, goods(rng, by.seller.country)),
            other.listing(steps, day + timedelta(steps // 3 + 1), goods(rng, by.seller.country)))  # fmt: skip


def standard_price(rng: Random) -> Pair:
    """A standard item sold twice on one day, under two orders, or on two delivery notes when orders go unsaid."""
    by, day = trade(rng), some_day(rng)
    lines = goods(rng, by.seller.country, rng.choice([1, 1, 2]))
    notes = [rng.randrange(10_000, 99_999) for _ in range(2)]
    other, told = replace(by, order=order_number(rng)), "purchase_order" in by.absent
    return (by.listing(0, day, lines, notes=f"Delivery note {notes[0]}" if told else None),
            other.listing(rng.choice([1, 1, 2, 3]), day, lines,
                          notes=f"Delivery note {notes[1]}" if told else None))  # fmt: skip


def branches(rng: Random) -> Pair:
    """The same goods to two branches of one debtor, which has one legal id."""
    by, day = trade(rng), some_day(rng)
    lines = goods(rng, by.seller.country, rng.choice([1, 2, 3]))
    stores = rng.sample(range(2, 400), 2)
    other = replace(by, order=order_number(rng))
    return tuple(  # type: ignore[return-value]
        one.listing(n, day, lines, debtor_name=f"{by.debtor.name}, store {store}", notes=f"Delivered to store {store}")
        for n, (one, store) in enumerate(zip((by, other), stores, strict=True))
    )


def close_amounts(rng: Random) -> Pair:
    """Other goods, almost the same sum, within the week."""
    by, day = trade(rng), some_day(rng)
    first = by.listing(0, day, goods(rng, by.seller.country))
    net = first["amount_due_minor"] * 10_000 // (10_000 + by.vat_bps)
    what = line(goods(rng, by.seller.country, 1)[0]["description"], 1, net * rng.randrange(9_960, 10_041) // 10_000)
    other = replace(by, order=order_number(rng))
    return first, other.listing(rng.randrange(1, 9), day + timedelta(rng.randrange(1, 7)), [what])


def credit_note(rng: Random) -> Pair:
    """An invoice, and a credit note for something else; credit notes have a series of their own."""
    by, first = invoice(rng, ("document_type",))
    own = [f"CN-{first['invoice_number']}", f"CN{rng.randrange(100, 9_999)}", f"GS-{rng.randrange(10, 99)}"]
    return first, of_another(rng, by, rng.choice(own)) | {"document_type": "381"}


def namesakes(rng: Random) -> Pair:
    """Two sellers of one name and two legal ids, numbering alike."""
    by, first = invoice(rng, ("seller_legal_id",))
    return first, of_another(rng, by, first["invoice_number"], seller=by.seller.namesake(rng))


def namesake_debtors(rng: Random) -> Pair:
    """Two debtors of one name and two legal ids, invoiced in turn."""
    by, day = trade(rng, ("debtor_legal_id",)), some_day(rng)
    other = replace(by, debtor=by.debtor.namesake(rng), order=order_number(rng))
    return (by.listing(0, day, goods(rng, by.seller.country)),
            other.listing(1, day, goods(rng, by.seller.country)))  # fmt: skip


def vat_group(rng: Random) -> Pair:
    """Two companies of a group that share a VAT id, each with its own legal id and series; the numbers meet."""
    by, first = invoice(rng, ("seller_legal_id", "seller_vat"))
    sister = replace(by.seller.sister(rng), vat=by.seller.vat)
    return first, of_another(rng, by, first["invoice_number"], seller=sister)


def sister_debtors(rng: Random) -> Pair:
    """Two companies of one group, each buying its own goods on one day."""
    by, day = trade(rng), some_day(rng)
    other = replace(by, debtor=by.debtor.sister(rng), order=order_number(rng))
    return (by.listing(0, day, goods(rng, by.seller.country)),
            other.listing(1, day, goods(rng, by.seller.country)))  # fmt: skip


def same_list_other_quantities(rng: Random) -> Pair:
    """The same articles at the same prices the same week, in other quantities, under another order."""
    by, day = trade(rng, ("purchase_order",)), some_day(rng)
    lines = goods(rng, by.seller.country, rng.choice([2, 3, 4]))
    others = [line(each["description"], each["quantity"] + rng.randrange(3, 40), each["unit_price_minor"])
              for each in lines]  # fmt: skip
    other = replace(by, order=order_number(rng))
    return by.listing(0, day, lines), other.listing(rng.randrange(1, 9), day + timedelta(rng.randrange(7)), others)


def same_words(rng: Random) -> Pair:
    """Long notes in common, and nothing else."""
    by, day = trade(rng), some_day(rng)
    words = "Errors and omissions excepted. Interest is charged on late payment. Title passes when paid in full. " * 2
    other = replace(by, order=order_number(rng))
    return (by.listing(0, day, goods(rng, by.seller.country), notes=words),
            other.listing(30, day + timedelta(rng.randrange(8, 90)), goods(rng, by.seller.country),
                          notes=words))  # fmt: skip


def strangers(rng: Random) -> Pair:
    """Two invoices that have nothing to do with each other."""
    return invoice(rng)[1], invoice(rng)[1]


def same_number_of_two_strangers(rng: Random) -> Pair:
    """Two invoices that have only a number in common, and their parties only by name."""
    lack = ("seller_legal_id", "debtor_legal_id", "seller_vat", "debtor_vat")
    first, second = invoice(rng, lack=lack)[1], invoice(rng, lack=lack)[1]
    while first["seller_name"] == second["seller_name"]:
        second = invoice(rng, lack=lack)[1]
    return first, second | {"invoice_number": first["invoice_number"]}


def moved_bank(rng: Random) -> Pair:
    """A seller that changed its bank between two invoices."""
    by, first = invoice(rng, ("payee_iban",))
    second = of_another(rng, by, seller=by.seller.banking_elsewhere(rng))
    edits.other_file(rng, second)
    return first, second


KINDS: dict[str, Make] = {
    f"honest_{make.__name__}": make
    for make in (
        number_of_two_sellers, number_and_amount_of_two_sellers, two_debtors, next_number, one_digit, standard_price,
        branches, close_amounts, credit_note, namesakes, namesake_debtors, vat_group, sister_debtors,
        same_list_other_quantities, same_words, strangers, same_number_of_two_strangers, moved_bank,
    )
}  # fmt: skip
