"""Give the facts of accounts their meaning: the figures of two balance sheets, and what is wrong with them. Pure.

Only tagged facts count here, nothing is derived: `sheet.py` completes a balance sheet for rating and says how.
Names are those of the FRS 102 / 105 taxonomies since 2014 first, then those of UK GAAP 2009 and of 2004.
"""

import re
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from marketplace.kernel.words import N_
from marketplace.rating.filing import Filing, Year
from marketplace.rating.ixbrl import Dimensions, Fact, Facts, read_facts, refused
from marketplace.rating.numbers import plain
from marketplace.rating.sheet import complete

MATURITY = "MaturitiesOrExpirationPeriodsDimension"
CURRENCY = "FinancialInstrumentCurrentNon-currentDimension"
CLASSES = "EquityClassesDimension"
NONE: Dimensions = frozenset()
WITHIN = frozenset({(MATURITY, "WithinOneYear")})
CURRENT = frozenset({(CURRENCY, "CurrentFinancialInstruments")})
AFTER = frozenset({(MATURITY, "AfterOneYear")})
NON_CURRENT = frozenset({(CURRENCY, "Non-currentFinancialInstruments")})
RETAINED = frozenset({(CLASSES, "RetainedEarningsAccumulatedLosses")})

Key = tuple[str, Dimensions]


def _bare(*names: str) -> tuple[Key, ...]:
    return tuple((name, NONE) for name in names)


# What each figure may be called, best first. The first ten are what `bin/market filings read` gives.
INSTANTS: Mapping[str, tuple[Key, ...]] = {
    "fixed_assets": _bare("FixedAssets", "TotalFixedAssets", "NonCurrentAssets"),
    "current_assets": _bare("CurrentAssets", "CurrentAssetsTotal"),
    "debtors": _bare("Debtors", "DebtorsDueWithinOneYear"),
    "cash": _bare("CashBankOnHand", "CashBankInHand", "CashCashEquivalents"),
    "creditors_within_one_year": (("Creditors", WITHIN), ("Creditors", CURRENT),
                                  *_bare("CreditorsDueWithinOneYear", "CreditorsDueWithinOneYearTotal")),
    "creditors_after_one_year": (("Creditors", AFTER), ("Creditors", NON_CURRENT),
                                 *_bare("CreditorsDueAfterOneYear", "CreditorsDueAfterOneYearTotal",
                                        "CreditorsDueAfterMoreThanOneYear")),
    "net_assets": _bare("NetAssetsLiabilities", "NetAssetsLiabilitiesIncludingPensionAssetLiability",
                        "NetAssetsLiabilitiesExcludingPensionAssetLiability", "Equity", "ShareholderFunds"),
    "pl_reserve": (("Equity", RETAINED), *_bare("ProfitLossAccountReserve", "RetainedEarningsAccumulatedLosses")),
    # Not among the ten, but lines of the same sheet: the identity and the rating need them.
    "stocks": _bare("TotalInventories", "Stocks", "StocksInventory"),
    "debtors_wide": (("Debtors", CURRENT), ("Debtors", WITHIN), ("Debtors", WITHIN | CURRENT)),
    "creditors_within_wide": (("Creditors", WITHIN | CURRENT),),
    "creditors_after_wide": (("Creditors", AFTER | NON_CURRENT),),
    "net_current": _bare("NetCurrentAssetsLiabilities"),
    "less_current": _bare("TotalAssetsLessCurrentLiabilities"),
    "equity": _bare("Equity", "ShareholderFunds"),
    "provisions": _bare("ProvisionsForLiabilitiesBalanceSheetSubtotal", "ProvisionsForLiabilitiesCharges",
                        "ProvisionsForLiabilities"),
    "accruals": _bare("AccruedLiabilitiesNotExpressedWithinCreditorsSubtotal", "AccrualsDeferredIncome"),
    "prepayments": _bare("PrepaymentsAccruedIncomeNotExpressedWithinCurrentAssetSubtotal"),
    "unpaid_capital": _bare("CalledUpShareCapitalNotPaidNotExpressedAsCurrentAsset"),
    "pension": _bare("NetPensionLiability", "PensionLiability"),
}  # fmt: skip
DURATIONS: Mapping[str, tuple[Key, ...]] = {
    "employees": _bare("AverageNumberEmployeesDuringPeriod", "EmployeesTotal"),
    "turnover": _bare("TurnoverRevenue", "TurnoverGrossOperatingRevenue", "Revenue"),
    "operating_profit": _bare("OperatingProfitLoss"),
    "profit": _bare("ProfitLoss", "ProfitLossForPeriod", "ProfitLossOnOrdinaryActivitiesAfterTax"),
    "cost_of_sales": _bare("CostSales"),
    "depreciation": _bare("DepreciationAmortisationExpense", "DepreciationExpensePropertyPlantEquipment"),
}
WANTED = frozenset(key for table in (INSTANTS, DURATIONS) for keys in table.values() for key in keys)
# A balance date is believed when one of these stands under it.
ANCHORS = frozenset(name for figure in ("net_assets", "current_assets", "fixed_assets") for name, _ in INSTANTS[figure])
NUMBERS = ("UKCompaniesHouseRegisteredNumber", "CompaniesHouseRegisteredNumber")
DORMANT = ("EntityDormantTruefalse", "EntityDormant", "CompanyDormant")
ENDS = ("EndDateForPeriodCoveredByReport", "BalanceSheetDate")
NAMES = ("EntityCurrentLegalOrRegisteredName", "EntityCurrentLegalName")


def read_filing(content: bytes, filename: str) -> Filing:
    """Read company accounts: both years' figures, the company's number, and every fault in words.

    Figures of a group are those without a dimension, which the filer states for the company itself.

    Raises: InvalidInput("filing_refused") when the document is no readable set of accounts.
    """
    facts = read_facts(content)
    ends = _balance_dates(facts.numbers)
    if not ends:
        problems = {problem.rule for problem in facts.faults} - {"no_figures"}
        words = N_(
            "No balance sheet is tagged here: these are no iXBRL accounts, or no figure can be read (%(rules)s)."
        )
        raise refused("no_balance_sheet", words, rules=", ".join(sorted(problems)) or "–")
    _compare_dates(facts, ends[0])
    current = _year(facts, ends[0], flag=True)
    prior = _year(facts, ends[1], flag=False) if len(ends) > 1 else None
    number = _company_number(facts)
    if number is None:
        facts.fault("company_number", "absent", N_("The accounts do not state a company number."))
    _judge_employees(facts, current, prior)
    _judge_balance(facts, current, prior)
    name = next((facts.texts[key][0] for key in NAMES if facts.texts.get(key)), None)
    dormant = any(text.lower() in ("true", "yes") for key in DORMANT for text in facts.texts.get(key, ()))
    return Filing(filename, number, name, current, prior, dormant, tuple(facts.faults))


def read_as_json(content: bytes, filename: str) -> dict[str, Any]:
    """Read accounts and return them as JSON: what the limited process at the door runs.

    Raises: InvalidInput("filing_refused").
    """
    return read_filing(content, filename).to_json()


def _balance_dates(numbers: list[Fact]) -> list[date]:
    """Return the two newest dates under which a balance sheet stands, newest first."""
    found: dict[date, set[str]] = {}
    for fact in numbers:
        if fact.context.start is None and not fact.context.dimensions and fact.name in ANCHORS:
            found.setdefault(fact.context.end, set()).add(fact.name)
    ends = sorted(found, reverse=True)
    return ends[:2]


def _compare_dates(facts: Facts, end: date) -> None:
    for text in [facts.texts[key][0] for key in ENDS if facts.texts.get(key)]:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) and text != end.isoformat():
            facts.fault("period_end", "date_differs",
                        N_("The accounts say they end on %(said)s, but their newest balance sheet is of %(found)s."),
                        said=text, found=end.isoformat())  # fmt: skip
            return


def _year(facts: Facts, end: date, *, flag: bool) -> Year:
    values: dict[str, Decimal] = {}
    ending = [fact for fact in facts.numbers if fact.context.end == end]
    starts = {f.context.start for f in ending if f.context.start and end - f.context.start <= timedelta(days=580)}
    start = min(starts, default=None)
    wanted = [fact for fact in ending if (fact.name, fact.context.dimensions) in WANTED]
    at_end = _by_key(facts, [fact for fact in wanted if fact.context.start is None], flag)
    during = _by_key(facts, [fact for fact in wanted if start and fact.context.start == start], flag)
    for table, known in ((INSTANTS, at_end), (DURATIONS, during)):
        for figure, keys in table.items():
            for key in keys:
                if (value := known.get(key)) is not None:
                    values[figure] = value
                    break
    months = round((end - start).days / 30.44) if start else None
    return Year(end, months, values)


def _by_key(facts: Facts, numbers: list[Fact], flag: bool) -> dict[Key, Decimal | None]:
    """Return one value a name and dimensions; where facts contradict each other, None and a fault.

    A rounded repetition (decimals="-3" in a note) is no contradiction: the most exact stands.
    """
    found: dict[Key, list[Fact]] = {}
    for fact in numbers:
        found.setdefault((fact.name, fact.context.dimensions), []).append(fact)
    values: dict[Key, Decimal | None] = {}
    for key, same in found.items():
        exact = same[0] if len(same) == 1 else max(same, key=_places)
        values[key] = exact.value
        for fact in same:
            if fact.value != exact.value and abs(fact.value - exact.value) > Decimal(10) ** -_places(fact):
                values[key] = None
                if flag:
                    facts.fault(key[0], "contradiction",
                                N_("The accounts give two values, %(one)s and %(other)s; the figure was left out."),
                                one=plain(exact.value), other=plain(fact.value))  # fmt: skip
                break
    return values


def _places(fact: Fact) -> int:
    text = (fact.decimals or "").strip()
    return max(-9, min(4, int(text))) if re.fullmatch(r"[+-]?[0-9]{1,3}", text) else 4 if text == "INF" else 0


def _company_number(facts: Facts) -> str | None:
    stated = [normal_company_number(text) for key in NUMBERS for text in facts.texts.get(key, ())]
    schemed = [normal_company_number(text) for text, scheme in dict.fromkeys(facts.identifiers)
               if "companieshouse" in scheme.lower()]  # fmt: skip
    found = [number for number in stated + schemed if number]
    if len(set(found)) > 1:
        facts.fault("company_number", "differs", N_("The accounts name two company numbers, %(one)s and %(other)s."),
                    one=found[0], other=next(number for number in found if number != found[0]))  # fmt: skip
    return found[0] if found else None


def normal_company_number(text: str) -> str | None:
    """Return a UK company number with its eight characters (`390616` → `00390616`), or None when it is none."""
    matched = re.fullmatch(r"([A-Z]{2}|[A-Z][0-9])?([0-9]{1,8})", re.sub(r"\s", "", text).upper())
    if not matched or len(matched[0]) > 8:
        return None
    prefix = matched[1] or ""
    return prefix + matched[2].zfill(8 - len(prefix))


def _judge_employees(facts: Facts, current: Year, prior: Year | None) -> None:
    for year, where in ((current, "employees"), (prior, "prior.employees")):
        count = year.get("employees") if year else None
        if count is not None and (count < 0 or count != count.to_integral_value() or count > 3_000_000):
            words = N_("%(count)s employees cannot be; probably a mistake of scale. Read as filed.")
            facts.fault(where, "employees", words, count=plain(count))


def _judge_balance(facts: Facts, current: Year, prior: Year | None) -> None:
    for year, where in ((current, "net_assets"), (prior, "prior.net_assets")):
        sheet = complete(year) if year else None
        if sheet is None or not sheet.broken:
            continue
        words = N_("Assets less liabilities and net assets differ by %(rest)s: a sign or a line is probably missing.")
        facts.fault(where, "balance_identity", words, rest=plain(sheet.rest))
