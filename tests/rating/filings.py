"""Accounts written for tests: a small iXBRL balance sheet of two years, with whatever a test wants wrong in it."""

from datetime import date

HEAD = (
    '<html xmlns="http://www.w3.org/1999/xhtml" xmlns:ix="http://www.xbrl.org/2013/inlineXBRL" '
    'xmlns:xbrli="http://www.xbrl.org/2003/instance" xmlns:xbrldi="http://xbrl.org/2006/xbrldi" '
    'xmlns:core="http://xbrl.frc.org.uk/fr/2023-01-01/core" xmlns:bus="http://xbrl.frc.org.uk/cd/2023-01-01/business">'
)
WITHIN, AFTER = "WithinOneYear", "AfterOneYear"
# A sound small company: balanced, solvent, a little better than the year before.
SOUND = {
    "FixedAssets": (120_000, 118_000),
    "CurrentAssets": (260_000, 231_000),
    "Debtors": (150_000, 141_000),
    "TotalInventories": (40_000, 42_000),
    "CashBankOnHand": (70_000, 48_000),
    "Creditors:WithinOneYear": (96_000, 101_000),
    "Creditors:AfterOneYear": (44_000, 52_000),
    "NetAssetsLiabilities": (240_000, 196_000),
    "Equity:RetainedEarningsAccumulatedLosses": (239_900, 195_900),
}
# The same company in trouble: liabilities exceed assets, cash is gone, losses pile up.
WEAK = {
    "FixedAssets": (60_000, 90_000),
    "CurrentAssets": (90_000, 150_000),
    "Debtors": (80_000, 110_000),
    "TotalInventories": (9_000, 20_000),
    "CashBankOnHand": (1_000, 20_000),
    "Creditors:WithinOneYear": (210_000, 170_000),
    "Creditors:AfterOneYear": (50_000, 50_000),
    "NetAssetsLiabilities": (-110_000, 20_000),
    "Equity:RetainedEarningsAccumulatedLosses": (-110_100, 19_900),
}


def years(end: date) -> tuple[date, date]:
    """Return the balance sheet date and the one of the year before."""
    return end, end.replace(year=end.year - 1, day=min(end.day, 28))


def context(name: str, end: date, member: str = "") -> str:
    """Return a context: an instant, with a maturity or a class of equity where a member is named."""
    axis = "EquityClassesDimension" if member.startswith("Retained") else "MaturitiesOrExpirationPeriodsDimension"
    split = (
        f'<xbrli:segment><xbrldi:explicitMember dimension="core:{axis}">core:{member}</xbrldi:explicitMember>'
        "</xbrli:segment>"
        if member
        else ""
    )
    return (
        f'<xbrli:context id="{name}"><xbrli:entity><xbrli:identifier scheme="http://www.companieshouse.gov.uk/">x'
        f"</xbrli:identifier>{split}</xbrli:entity><xbrli:period><xbrli:instant>{end}</xbrli:instant></xbrli:period>"
        "</xbrli:context>"
    )


def number(name: str, where: str, value: int | str, **attributes: str) -> str:
    """Return one tagged figure as filers write it: thousands commas, the sign apart."""
    if isinstance(value, int):
        attributes = {"format": "ixt:numdotdecimal", **({"sign": "-"} if value < 0 else {})} | attributes
        value = f"{abs(value):,}"
    said = "".join(f' {key}="{text}"' for key, text in attributes.items())
    place = f'name="core:{name}" contextRef="{where}" unitRef="GBP" decimals="0"'
    return f"<ix:nonFraction {place}{said}>{value}</ix:nonFraction>"


def document(*parts: str, company_number: str | None = "07100001") -> bytes:
    """Return a document of these parts, with the company's number where it has one."""
    tag = '<ix:nonNumeric name="bus:UKCompaniesHouseRegisteredNumber" contextRef="c0">{}</ix:nonNumeric>'
    body = (tag.format(company_number) if company_number else "") + "".join(parts)
    return f"{HEAD}<body>{body}</body></html>".encode()


def accounts(
    end: date,
    figures: dict[str, tuple[int, int]] | None = None,
    company_number: str | None = "07100001",
    name: str = "Thornfield Castings Ltd",
    with_prior: bool = True,
) -> bytes:
    """Return a set of accounts of two years (or one) in iXBRL."""
    parts = [
        context("c0", end),
        f'<ix:nonNumeric name="bus:EntityCurrentLegalOrRegisteredName" contextRef="c0">{name}</ix:nonNumeric>',
    ]
    for place, day in enumerate(years(end)[: 2 if with_prior else 1]):
        for member in (WITHIN, AFTER, "RetainedEarningsAccumulatedLosses"):
            parts.append(context(f"{member}{place}", day, member))
        if place:
            parts.append(context("c1", day))
        for key, values in (figures or SOUND).items():
            tag, _, member = key.partition(":")
            parts.append(number(tag, f"{member}{place}" if member else f"c{place}", values[place]))
    return document(*parts, company_number=company_number)
