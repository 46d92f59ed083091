"""Write accounts as inline XBRL, shaped as British companies file them: FRS 102 (small) or FRS 105 (micro).

Source: Inline XBRL 1.0; FRC taxonomy suite 2024; Companies House filing conventions (creditors by maturity,
reserves as Equity with a class, negatives by sign="-").
"""

from datetime import date, timedelta
from html import escape

from marketplace.demo.accounts_spec import AccountsSpec, Balance

SPACES = {
    "": "http://www.w3.org/1999/xhtml",
    "ix": "http://www.xbrl.org/2008/inlineXBRL",
    "ixt": "http://www.xbrl.org/inlineXBRL/transformation/2011-07-31",
    "link": "http://www.xbrl.org/2003/linkbase",
    "xlink": "http://www.w3.org/1999/xlink",
    "xbrli": "http://www.xbrl.org/2003/instance",
    "xbrldi": "http://xbrl.org/2006/xbrldi",
    "iso4217": "http://www.xbrl.org/2003/iso4217",
    "bus": "http://xbrl.frc.org.uk/cd/2024-01-01/business",
    "core": "http://xbrl.frc.org.uk/fr/2024-01-01/core",
    "direp": "http://xbrl.frc.org.uk/reports/2024-01-01/direp",
}
MATURITY, CLASSES = "core:MaturitiesOrExpirationPeriodsDimension", "core:EquityClassesDimension"
STYLE = (
    "body{font-family:Georgia,serif;font-size:11pt;max-width:46em;margin:3em auto}"
    "table{width:100%;border-collapse:collapse}td{padding:3px 6px}td.n{text-align:right}"
    "tr.sum td.n{border-top:1px solid #333;font-weight:bold}h1{font-size:15pt}h2{font-size:12pt}"
)
# (label, concept, suffix of the context, attribute of Balance, shown as a deduction, closes a sum)
Row = tuple[str, str, str, str, bool, bool]
# From what is owed soon down to the net assets both frameworks say the same.
DOWN_TO_NET_ASSETS: tuple[Row, ...] = (
    ("Creditors: amounts falling due within one year", "core:Creditors", "_within", "creditors_within", True, False),
    ("Net current assets", "core:NetCurrentAssetsLiabilities", "", "net_current", False, True),
    ("Total assets less current liabilities", "core:TotalAssetsLessCurrentLiabilities", "", "less_current", False,
     True),
    ("Creditors: amounts falling due after more than one year", "core:Creditors", "_after", "creditors_after", True,
     False),
    ("Provisions for liabilities", "core:ProvisionsForLiabilitiesBalanceSheetSubtotal", "", "provisions", True, False),
    ("Net assets", "core:NetAssetsLiabilities", "", "net_assets", False, True),
)  # fmt: skip
FRS_102: tuple[Row, ...] = (
    ("Tangible assets", "core:FixedAssets", "", "fixed_assets", False, True),
    ("Stocks", "core:TotalInventories", "", "stocks", False, False),
    ("Debtors", "core:Debtors", "", "debtors", False, False),
    ("Cash at bank and in hand", "core:CashBankOnHand", "", "cash", False, False),
    ("Current assets", "core:CurrentAssets", "", "current_assets", False, True),
    *DOWN_TO_NET_ASSETS,
    ("Called up share capital", "core:Equity", "_capital", "share_capital", False, False),
    ("Profit and loss account", "core:Equity", "_retained", "retained", False, False),
    ("Shareholders' funds", "core:Equity", "", "net_assets", False, True),
)
FRS_105: tuple[Row, ...] = (
    ("Fixed assets", "core:FixedAssets", "", "fixed_assets", False, False),
    ("Current assets", "core:CurrentAssets", "", "current_assets", False, False),
    *DOWN_TO_NET_ASSETS,
    ("Capital and reserves", "core:Equity", "", "net_assets", False, True),
)
MEMBERS = {
    "_within": (MATURITY, "core:WithinOneYear"),
    "_after": (MATURITY, "core:AfterOneYear"),
    "_capital": (CLASSES, "core:ShareCapital"),
    "_retained": (CLASSES, "core:RetainedEarningsAccumulatedLosses"),
}


def ixbrl(spec: AccountsSpec) -> bytes:
    """Return the accounts as an XHTML document with inline XBRL. Same spec, same bytes."""
    spaces = " ".join(f'xmlns{":" if prefix else ""}{prefix}="{address}"' for prefix, address in SPACES.items())
    title = f"{spec.name} - {'Micro-entity' if spec.standard == 'FRS-105' else 'Filleted'} accounts"
    page = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<html {spaces}>\n<head><title>{escape(title)}</title>'
        f'<style type="text/css">{STYLE}</style></head>\n<body>\n{_header(spec)}\n{_sheet(spec)}\n</body>\n</html>\n'
    )
    return page.encode()


def _header(spec: AccountsSpec) -> str:
    day = spec.period_end
    facts = {
        "bus:EntityCurrentLegalOrRegisteredName": ("this_year", spec.name),
        "bus:UKCompaniesHouseRegisteredNumber": ("this_year", spec.company_number),
        "bus:StartDateForPeriodCoveredByReport": ("this_end", str(spec.prior_end + timedelta(days=1))),
        "bus:EndDateForPeriodCoveredByReport": ("this_end", str(day)),
        "bus:BalanceSheetDate": ("this_end", str(day)),
        "bus:EntityDormantTruefalse": ("this_year", "false"),
        "bus:NameProductionSoftware": ("this_year", "Duebill demonstration"),
    }
    hidden = "".join(
        f'<ix:nonNumeric name="{name}" contextRef="{context}">{escape(text)}</ix:nonNumeric>'
        for name, (context, text) in facts.items()
    )
    schema = f"https://xbrl.frc.org.uk/{spec.standard}/2024-01-01/{spec.standard}-2024-01-01.xsd"
    units = '<xbrli:unit id="GBP"><xbrli:measure>iso4217:GBP</xbrli:measure></xbrli:unit>'
    units += '<xbrli:unit id="pure"><xbrli:measure>xbrli:pure</xbrli:measure></xbrli:unit>'
    return (
        f'<div style="display:none"><ix:header><ix:hidden>{hidden}</ix:hidden><ix:references>'
        f'<link:schemaRef xlink:type="simple" xlink:href="{schema}"/></ix:references>'
        f"<ix:resources>{_contexts(spec)}{units}</ix:resources></ix:header></div>"
    )


def _contexts(spec: AccountsSpec) -> str:
    years = [("this", spec.period_end)] + ([("last", spec.prior_end)] if spec.prior else [])
    said = []
    for prefix, end in years:
        start = date(end.year - 1, end.month, end.day if (end.month, end.day) != (2, 29) else 28) + timedelta(days=1)
        duration = f"<xbrli:startDate>{start}</xbrli:startDate><xbrli:endDate>{end}</xbrli:endDate>"
        instant = f"<xbrli:instant>{end}</xbrli:instant>"
        said.append(_context(spec, f"{prefix}_year", duration))
        said.append(_context(spec, f"{prefix}_end", instant))
        said += [_context(spec, f"{prefix}_end{suffix}", instant, member) for suffix, member in MEMBERS.items()]
    return "".join(said)


def _context(spec: AccountsSpec, name: str, period: str, member: tuple[str, str] | None = None) -> str:
    segment = ""
    if member:
        explicit = f'<xbrldi:explicitMember dimension="{member[0]}">{member[1]}</xbrldi:explicitMember>'
        segment = f"<xbrli:segment>{explicit}</xbrli:segment>"
    scheme = "http://www.companieshouse.gov.uk/"
    identifier = f'<xbrli:identifier scheme="{scheme}">{spec.company_number}</xbrli:identifier>'
    return (
        f'<xbrli:context id="{name}"><xbrli:entity>{identifier}{segment}</xbrli:entity>'
        f"<xbrli:period>{period}</xbrli:period></xbrli:context>"
    )


def _sheet(spec: AccountsSpec) -> str:
    rows = FRS_105 if spec.standard == "FRS-105" else FRS_102
    unit = "£000" if spec.in_thousands else "£"
    years = [("this", spec.current)] + ([("last", spec.prior)] if spec.prior else [])
    ends = "".join(f"<td class='n'>{spec.period_end.year - back}<br/>{unit}</td>" for back in range(len(years)))
    body = "".join(_row(spec, row, years) for row in rows)
    people = "".join(
        f'<td class="n"><ix:nonFraction name="core:AverageNumberEmployeesDuringPeriod" contextRef="{prefix}_year" '
        f'unitRef="pure" decimals="0" format="ixt:numdotdecimal">{balance.employees:,}</ix:nonFraction></td>'
        for prefix, balance in years
    )
    return (
        f"<h1>{escape(spec.name)}</h1><p>Registered number {escape(spec.company_number)} (England and Wales)</p>"
        f"<h2>Balance sheet as at {spec.period_end:%d %B %Y}</h2><table><tr><td></td>{ends}</tr>{body}</table>"
        f"<h2>Employees</h2><table><tr><td>Average number of employees</td>{people}</tr></table>"
        f"<p>These accounts are made up for a demonstration. The company does not exist.</p>"
    )


def _row(spec: AccountsSpec, row: Row, years: list[tuple[str, Balance]]) -> str:
    label, concept, suffix, attribute, deducted, closes = row
    cells = []
    for prefix, balance in years:
        value = int(getattr(balance, attribute))
        fact = _fact(concept, f"{prefix}_end{suffix}", value, spec.in_thousands)
        cells.append(
            f'<td class="n">{"(" if deducted or value < 0 else ""}{fact}{")" if deducted or value < 0 else ""}</td>'
        )
    return f"<tr{' class=' + chr(34) + 'sum' + chr(34) if closes else ''}><td>{escape(label)}</td>{''.join(cells)}</tr>"


def _fact(concept: str, context: str, value: int, in_thousands: bool) -> str:
    sign = ' sign="-"' if value < 0 else ""
    scale, decimals = (' scale="3"', "-3") if in_thousands else ("", "0")
    shown = f"{abs(value) // 1000 if in_thousands else abs(value):,}"
    return (
        f'<ix:nonFraction name="{concept}" contextRef="{context}" unitRef="GBP" decimals="{decimals}"{scale}{sign} '
        f'format="ixt:numdotdecimal">{shown}</ix:nonFraction>'
    )
