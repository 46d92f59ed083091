"""Honest invoices that recur: the same seller, debtor and amount, week after week or part after part."""

from dataclasses import replace
from datetime import date, timedelta
from random import Random

from tests.receivables.matching.pairs.exact import Make, Pair
from tests.receivables.matching.pairs.goods import Line, goods, line, month, service
from tests.receivables.matching.pairs.listings import Listing, order_number, some_day, trade


def first_of_month(rng: Random) -> date:
    """A first or last working day of a month, where monthly invoices are issued."""
    return date(rng.choice([2024, 2025, 2026]), rng.randrange(1, 13), rng.choice([1, 1, 1, 5, 28]))


def month_on(day: date, months: int = 1) -> date:
    """The same day some months later."""
    count = day.year * 12 + day.month - 1 + months
    return date(count // 12, count % 12 + 1, day.day)


def said(each: Line, words: str) -> Line:
    """A line that says a little more."""
    return each | {"description": f"{each['description']}, {words}"}


def monthly(rng: Random, worded: bool = True, template: str = "", months: int = 1, gap: int = 0) -> Pair:
    """Two months of one service; `worded` ones name the month. `gap` invoices to others came between, at most."""
    by = trade(rng, template=template)
    if rng.random() < 0.4:
        by = replace(by, absent=by.absent - {"contract"})
    once, day = service(rng, by.seller.country), first_of_month(rng)
    count = 1 if rng.random() < 0.5 else rng.randrange(1, 3 + gap)

    def of(n: int, on: date) -> Listing:
        words = f"{month(by.seller.country, on.month)} {on.year}"
        return by.listing(n, on, [said(once, words)] if worded else [once])

    return of(0, day), of(count, month_on(day, months))


def month_in_number(rng: Random) -> Pair:
    """The month is part of the number: 2025-03-KLM, 2025-04-KLM."""
    return monthly(rng, template=rng.choice(["{y}-{m:02d}-{code}", "{code}{y}{m:02d}", "{m:02d}/{y}/{code}"]))


def indexed(rng: Random) -> Pair:
    """The same subscription a year later, a few percent dearer."""
    by, day = trade(rng), first_of_month(rng)
    once = service(rng, by.seller.country)
    dearer = line(once["description"], 1, once["unit_price_minor"] * rng.randrange(1_015, 1_080) // 1_000)
    return by.listing(0, day, [once]), by.listing(rng.randrange(8, 300), month_on(day, 12), [dearer])


def metered(rng: Random) -> Pair:
    """Two months of what is read off a meter: another quantity at the same price."""
    by, day = trade(rng), first_of_month(rng)
    price, words = rng.randrange(8, 60), rng.choice(["Electricity, kWh", "Gas, kWh", "Copies, black", "Data, GB"])
    read = [line(words, rng.randrange(20_000, 90_000), price) for _ in range(2)]
    return by.listing(0, day, [read[0]]), by.listing(1, month_on(day), [read[1]])


def weekly_delivery(rng: Random) -> Pair:
    """The same goods every week under one standing order; most say which week."""
    by, day = trade(rng), some_day(rng)
    lines, worded = goods(rng, by.seller.country, rng.choice([1, 2])), rng.random() < 0.8
    by = replace(by, order=f"{by.order} blanket" if rng.random() < 0.4 else by.order)

    def of(n: int, on: date) -> Listing:
        week = f"week {on.isocalendar().week}"
        return by.listing(n, on, [said(each, week) for each in lines] if worded else lines)

    return of(0, day), of(rng.choice([1, 1, 2, 5]), day + timedelta(7 * rng.choice([1, 1, 1, 2])))


def timesheets(rng: Random) -> Pair:
    """An agency's weekly timesheets: the same people, mostly the same hours."""
    by, day = trade(rng), some_day(rng)
    people = [f"Worker {rng.randrange(100, 999)}" for _ in range(rng.randrange(1, 6))]
    rates = [rng.randrange(18_00, 46_00) for _ in people]

    def of(n: int, on: date) -> Listing:
        hours = [40 if rng.random() < 0.8 else 37.5 for _ in people]
        ended = f"w/e {(on - timedelta(on.weekday() + 3)):%d.%m.%Y}"
        return by.listing(n, on, [line(f"{who}, {ended}", spent, rate)
                                  for who, spent, rate in zip(people, hours, rates, strict=True)])  # fmt: skip

    return of(0, day), of(rng.choice([1, 4, 11]), day + timedelta(7))


def instalments(rng: Random) -> Pair:
    """Two instalments of one order, each saying which it is."""
    by, day, of = trade(rng, ("purchase_order",)), some_day(rng), rng.choice([2, 3, 4, 6])
    words = rng.choice(["Instalment", "Rate", "Échéance", "Termijn", "Plazo"])
    price = rng.randrange(3_000_00, 90_000_00)
    first = rng.randrange(1, of)
    what = goods(rng, by.seller.country, 1)[0]["description"]

    def part(which: int, on: date) -> Listing:
        said_so = f"{words} {which}/{of}"
        return by.listing(which, on, [line(f"{what}, {said_so}", 1, price)], notes=rng.choice([None, said_so]))

    return part(first, day), part(first + 1, day + timedelta(rng.choice([0, 14, 30, 30, 61, 91])))


def partial_deliveries(rng: Random) -> Pair:
    """Two deliveries of one order, with other goods in each."""
    by, day = trade(rng, ("purchase_order", "lines")), some_day(rng)
    lines = goods(rng, by.seller.country, 6)
    cut = rng.randrange(1, 6)
    later = by.listing(rng.choice([1, 3, 9]), day + timedelta(rng.randrange(1, 30)), lines[cut:])
    return by.listing(0, day, lines[:cut]), later


def progress(rng: Random) -> Pair:
    """Two interim claims under one building contract."""
    by, day = trade(rng, ("contract",)), some_day(rng)
    stages = [line(f"Works to {month(by.seller.country, 1 + at)}, valuation {at}", 1,
                   rng.randrange(9_000_00, 95_000_00)) for at in (3, 4)]  # fmt: skip
    kind = rng.choice(["380", "875", "326"])
    return (by.listing(0, day, stages[:1], document_type=kind),
            by.listing(2, day + timedelta(31), stages[1:], document_type=kind))  # fmt: skip


def deposit_and_balance(rng: Random) -> Pair:
    """A deposit invoice, and the invoice of the balance that takes it off."""
    by, day = trade(rng, ("purchase_order", "prepaid_minor", "lines")), some_day(rng)
    lines = goods(rng, by.seller.country)
    net = sum(each["amount_minor"] for each in lines)
    share = rng.choice([20, 25, 30, 40])
    deposit = line(f"Deposit {share} % on order {by.order}", 1, net * share // 100)
    first = by.listing(0, day, [deposit], document_type=rng.choice(["386", "380"]))
    paid = first["amount_due_minor"]
    return first, by.listing(rng.randrange(5, 80), day + timedelta(rng.randrange(20, 90)), lines, prepaid_minor=paid)


def ordered_again(rng: Random) -> Pair:
    """The same goods at the same price about a month later, under a new order."""
    by, day = trade(rng), some_day(rng)
    lines = goods(rng, by.seller.country)
    again = replace(by, order=order_number(rng))
    return by.listing(0, day, lines), again.listing(rng.randrange(3, 60), day + timedelta(rng.randrange(24, 60)), lines)


def year_series(rng: Random) -> Pair:
    """The same number of two years' series: 2025-17 and 2026-17."""
    by = trade(rng, template=rng.choice(["{y}-{n}", "{n}/{y}", "RE-{y}-{n:04d}", "{yy}/{n:04d}", "FT {n}/{yy}"]))
    lines, day = goods(rng, by.seller.country), some_day(rng)
    new = lines if rng.random() < 0.2 else goods(rng, by.seller.country)
    other = replace(by, order=order_number(rng))
    return by.listing(0, day, lines), other.listing(0, day + timedelta(365 + rng.randrange(-12, 13)), new)


KINDS: dict[str, Make] = {
    "honest_monthly": monthly,
    "honest_monthly_unworded": lambda rng: monthly(rng, worded=False),
    "honest_monthly_far_numbers": lambda rng: monthly(rng, gap=200),
    "honest_month_in_number": month_in_number,
    "honest_quarterly_rent": lambda rng: monthly(rng, months=3, gap=30),
    "honest_indexed": indexed,
    "honest_metered": metered,
    "honest_weekly_delivery": weekly_delivery,
    "honest_timesheets": timesheets,
    "honest_instalments": instalments,
    "honest_partial_deliveries": partial_deliveries,
    "honest_progress_claims": progress,
    "honest_deposit_and_balance": deposit_and_balance,
    "honest_ordered_again": ordered_again,
    "honest_year_series": year_series,
}
