"""Complete a tagged balance sheet for rating, and judge whether it balances. Pure.

The identity: fixed assets + current assets + prepayments and unpaid capital outside them
= creditors within and after one year + provisions + accruals outside creditors + pension liability + net assets.
Filers tag subtotals unevenly, so a missing line is worked out from the others, and is named in `derived`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from marketplace.rating.filing import Year

ZERO = Decimal(0)
# Rounding of each printed line, and a thousandth of the sheet, break nothing. A sheet told in thousands is rounded to
# them: one whose every figure is a multiple, and that has so many figures that chance does not make it so.
TOLERANCE = Decimal("0.001")
TOLERANCE_LEAST = Decimal(2)
THOUSAND, FIGURES_TELLING = 1_000, 6
MICRO, SMALL, FULL = "micro", "small", "full"
# What the ratios are made of.
FIGURES = ("total_assets", "current_assets", "current_liabilities", "equity", "retained", "debtors", "stocks", "liquid",
           "turnover", "operating_profit", "profit")  # fmt: skip


@dataclass(frozen=True)
class Sheet:
    """A whole balance sheet, with the flows of a year of twelve months where they were filed.

    `rest` is assets less liabilities less net assets. A rest below zero means that liabilities and net assets exceed
    assets. When the sheet is broken, `equity` is the lower of the stated and the implied: the careful reading.
    """

    total_assets: Decimal
    current_assets: Decimal
    current_liabilities: Decimal
    equity: Decimal
    retained: Decimal | None
    debtors: Decimal | None
    stocks: Decimal | None
    turnover: Decimal | None
    operating_profit: Decimal | None
    profit: Decimal | None
    derived: tuple[str, ...]
    rest: Decimal
    broken: bool

    @property
    def total_liabilities(self) -> Decimal:
        """Everything owed, of any term."""
        return self.total_assets - self.equity


def complete(year: Year) -> Sheet | None:
    """Return the whole balance sheet, or None when too little was tagged (no net assets, or no assets at all).

    Subtotals are believed unless the sheet balances only without them: they too lose their signs.
    """
    believed = _complete(year, subtotals=True)
    if believed is not None and believed.broken:
        bare = _complete(year, subtotals=False)
        return bare if bare is not None and not bare.broken and believed.derived else believed
    return believed


def figures_of(sheet: Sheet, cash: Decimal | None) -> dict[str, Decimal | None]:
    """Return the FIGURES of a sheet, None where not known. Cash that is not told is what debtors and stocks leave."""
    if cash is None and sheet.debtors is not None and sheet.stocks is not None:
        cash = sheet.current_assets - sheet.debtors - sheet.stocks
    return {name: cash if name == "liquid" else getattr(sheet, name) for name in FIGURES}


def level_of(now: Sheet, then: Sheet | None) -> str:
    """Return the level of a filing of these sheets: what it tells of the company."""
    if now.profit is not None and now.turnover is not None:
        return FULL
    kind = SMALL if now.retained is not None or now.debtors is not None else MICRO
    return kind if then is None else f"{kind}-prior"


def _complete(year: Year, *, subtotals: bool) -> Sheet | None:
    lines, derived = _subtotals(year, subtotals)
    net = lines["net_assets"]
    if net is None or all(lines[name] is None for name in ("fixed_assets", "current_assets")):
        return None
    # What is owed is tagged as often below zero as above.
    others = sum((abs(_or_zero(year.get(name))) for name in ("provisions", "accruals", "pension")), ZERO)
    extra = sum((_or_zero(year.get(name)) for name in ("prepayments", "unpaid_capital")), ZERO)
    _solve(lines, derived, net + others - extra)
    fixed, current, within, after = (
        _or_zero(lines[name])
        for name in ("fixed_assets", "current_assets", "creditors_within_one_year", "creditors_after_one_year")
    )
    total = fixed + current + extra
    implied = total - within - after - others
    rest = implied - net
    broken = abs(rest) > max(TOLERANCE_LEAST, TOLERANCE * abs(total)) and abs(rest) > TOLERANCE_LEAST * _unit(year)
    flows = _flows(year)
    return Sheet(
        total_assets=total,
        current_assets=current + _or_zero(year.get("prepayments")),
        current_liabilities=within + abs(_or_zero(year.get("accruals"))),
        equity=min(net, implied) if broken else net,
        retained=_retained(year, net, implied, broken),
        debtors=year.get("debtors") if year.get("debtors") is not None else year.get("debtors_wide"),
        stocks=_stocks(year, current),
        turnover=flows["turnover"],
        operating_profit=flows["operating_profit"],
        profit=flows["profit"],
        derived=tuple(derived),
        rest=rest,
        broken=broken,
    )


def _unit(year: Year) -> int:
    amounts = {abs(value) for name, value in year.values.items() if name != "employees" and value}
    told = len(amounts) >= FIGURES_TELLING and all(amount % THOUSAND == 0 for amount in amounts)
    return THOUSAND if told else 1


def _or_zero(value: Decimal | None) -> Decimal:
    return ZERO if value is None else value


def _subtotals(year: Year, believed: bool) -> tuple[dict[str, Decimal | None], list[str]]:
    """Fill a missing line from the subtotals that UK balance sheets print between the lines."""
    derived: list[str] = []
    lines = {name: year.get(name) for name in ("fixed_assets", "current_assets", "net_assets")}
    # A filer who tags creditors as negative means the same creditors.
    for name, wide in (("creditors_within_one_year", "creditors_within_wide"),
                       ("creditors_after_one_year", "creditors_after_wide")):  # fmt: skip
        value = year.get(name) if year.get(name) is not None else year.get(wide)
        lines[name] = None if value is None else abs(value)
    net_current, less_current = year.get("net_current"), year.get("less_current")

    def fill(name: str, value: Decimal | None) -> None:
        if lines[name] is None and value is not None and value >= 0:
            lines[name] = value
            derived.append(name)

    current, within = lines["current_assets"], lines["creditors_within_one_year"]
    if net_current is not None and believed:
        extra = _or_zero(year.get("prepayments"))
        fill("creditors_within_one_year", None if current is None else current + extra - net_current)
        fill("current_assets", None if within is None else within - extra + net_current)
        fill("fixed_assets", None if less_current is None else less_current - net_current)
    return lines, derived


def _solve(lines: dict[str, Decimal | None], derived: list[str], owed_and_owned: Decimal) -> None:
    """Work out what is still missing from the identity; of several missing lines the likeliest zeros come first."""
    order = ("creditors_after_one_year", "fixed_assets", "creditors_within_one_year", "current_assets")
    missing = [name for name in order if lines[name] is None]
    for name in missing[:-1]:
        lines[name] = ZERO
    if not missing:
        return
    last = missing[-1]
    assets = _or_zero(lines["fixed_assets"]) + _or_zero(lines["current_assets"])
    creditors = _or_zero(lines["creditors_within_one_year"]) + _or_zero(lines["creditors_after_one_year"])
    rest = assets - creditors - owed_and_owned
    value = rest if last.startswith("creditors") else -rest
    lines[last] = max(ZERO, value)
    if lines[last]:
        derived.append(last)


def _retained(year: Year, net: Decimal, implied: Decimal, broken: bool) -> Decimal | None:
    retained = year.get("pl_reserve")
    if retained is None or not broken or implied >= net:
        return retained
    return retained - (net - implied)


def _stocks(year: Year, current: Decimal) -> Decimal | None:
    """Return the stocks; where none are tagged but debtors and cash make up all current assets there are none."""
    if year.get("stocks") is not None:
        return year.get("stocks")
    debtors = year.get("debtors") if year.get("debtors") is not None else year.get("debtors_wide")
    cash = year.get("cash")
    if debtors is None or cash is None or current - debtors - cash > TOLERANCE_LEAST:
        return None
    return ZERO


def _flows(year: Year) -> Mapping[str, Decimal | None]:
    """Return the year's flows, brought to twelve months when the period was between three and eighteen."""
    months = year.months
    if months is None or not 3 <= months <= 19:
        return {"turnover": None, "operating_profit": None, "profit": None}
    share = Decimal(12) / Decimal(months)
    return {
        name: None if (value := year.get(name)) is None else value * share
        for name in ("turnover", "operating_profit", "profit")
    }
