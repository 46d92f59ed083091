"""Listings as sellers file them: numbered, dated, summed, and with the gaps that real documents have."""

from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import sha256
from random import Random
from typing import Any

from tests.receivables.matching.pairs.companies import CURRENCY, VAT_BPS, Company, company
from tests.receivables.matching.pairs.goods import Line, goods

Listing = dict[str, Any]
SERIES = {
    "GB": ("INV-{n:05d}", "INV{n:06d}", "SI{n:06d}", "{n}", "{code}-{n:04d}", "{y}-{n:04d}", "TF/{yy}/{n:04d}"),
    "DE": ("RE-{y}-{n:04d}", "RG{y}{n:05d}", "{y}{n:05d}", "{n}/{y}", "AR{n:06d}", "RE{n:05d}"),
    "FR": ("FA-{y}-{n:04d}", "F{yy}{n:05d}", "FAC{n:06d}", "{y}-{m:02d}-{n:03d}", "FA{n:05d}"),
    "NL": ("{y}{n:04d}", "VF-{n:06d}", "{yy}{n:05d}", "F{y}-{n:04d}", "NL{n:07d}"),
    "HK": ("HK{yy}{n:05d}", "INV/{y}/{n:04d}", "{code}{n:05d}", "{n:06d}"),
    "IT": ("{n}/{y}", "FT {n}/{yy}", "{n}/A", "FPR {n}/{yy}", "{y}/{n:05d}"),
    "ES": ("A/{y}/{n}", "FV{yy}-{n:05d}", "{y}A{n:04d}", "F-{n:05d}"),
}
# How often a whole run of documents says nothing about something, in percent.
ABSENT = {
    "seller_legal_id": 4, "seller_vat": 12, "debtor_legal_id": 10, "debtor_vat": 22, "document_type": 5,
    "prepaid_minor": 20, "purchase_order": 35, "contract": 75, "payee_name": 80, "payee_iban": 25, "lines": 12,
    "document_sha256": 20, "notes": 55, "total_minor": 4, "due_date": 3,
}  # fmt: skip
IDS = ("seller_legal_id", "debtor_legal_id")


@dataclass(frozen=True)
class Series:
    """A seller's way of numbering."""

    template: str
    code: str
    start: int

    def number(self, n: int, on: date) -> str:
        """The number of the n-th document after the start, issued on a day."""
        return self.template.format(n=self.start + n, y=on.year, yy=f"{on.year % 100:02d}", m=on.month, code=self.code)


@dataclass(frozen=True)
class Trade:
    """A seller who supplies a debtor, and what is the same on all its documents."""

    seller: Company
    debtor: Company
    series: Series
    currency: str
    vat_bps: int
    terms_days: int
    absent: frozenset[str]
    order: str
    contract: str

    def listing(self, n: int, issued: date, lines: list[Line], **other: Any) -> Listing:
        """File the n-th document of the series; `other` names fields that say something else than usual.

        Fields given in `other` are there even if the seller usually leaves them out.
        """
        net = sum(line["amount_minor"] for line in lines)
        total = net + (net * self.vat_bps + 5_000) // 10_000
        prepaid = other.pop("prepaid_minor", 0)
        usual: Listing = {
            **named("seller", self.seller), **named("debtor", self.debtor),
            "invoice_number": self.series.number(n, issued), "document_type": "380",
            "issue_date": issued.isoformat(), "due_date": (issued + timedelta(self.terms_days)).isoformat(),
            "currency": self.currency, "total_minor": total, "prepaid_minor": prepaid,
            "amount_due_minor": total - prepaid, "purchase_order": self.order, "contract": self.contract,
            "payee_name": self.seller.name, "payee_iban": self.seller.iban, "lines": [dict(line) for line in lines],
            "document_sha256": fingerprint(n, issued, net, self.seller.legal_id, self.debtor.legal_id),
            "notes": f"Payable within {self.terms_days} days. Goods remain ours until paid.",
        }  # fmt: skip
        kept = {name: value for name, value in usual.items() if name not in self.absent and value not in ("", [])}
        return kept | {name: value for name, value in other.items() if value is not None}


def named(role: str, party: Company) -> Listing:
    """The three fields that name a party in a role."""
    return {f"{role}_name": party.name, f"{role}_legal_id": party.legal_id, f"{role}_vat": party.vat}


def fingerprint(*of: object) -> str:
    """A made-up SHA-256 that differs with what it is of."""
    return sha256(repr(of).encode()).hexdigest()


def trade(rng: Random, keep: tuple[str, ...] = (), seller: Company | None = None, debtor: Company | None = None,
          lack: tuple[str, ...] = (), template: str = "") -> Trade:  # fmt: skip
    """Let a seller supply a debtor. `keep` names what the documents do say, `lack` what they do not."""
    seller = seller or company(rng)
    debtor = debtor or company(rng, seller.country if rng.random() < 0.85 else "")
    absent = {name for name, percent in ABSENT.items() if rng.randrange(100) < percent}
    return Trade(
        seller, debtor, series(rng, seller.country, template),
        CURRENCY.get(seller.country, "EUR") if rng.random() < 0.93 else "USD",
        VAT_BPS[seller.country] if seller.country == debtor.country else 0,
        rng.choice([30, 30, 30, 45, 60, 60, 90]), frozenset(absent - set(keep) | set(lack)),
        order_number(rng), rng.choice([f"FW-{rng.randrange(100, 9999)}", f"C{rng.randrange(10_000, 99_999)}"]),
    )  # fmt: skip


def series(rng: Random, country: str, template: str = "") -> Series:
    """A way of numbering usual in a country, begun somewhere."""
    code = "".join(rng.choice("ABCDEHKLMPRTX") for _ in range(3))
    return Series(template or rng.choice(SERIES[country]), code, rng.choice([rng.randrange(11, 900),
                  rng.randrange(900, 9_000)]))  # fmt: skip


def order_number(rng: Random) -> str:
    """A debtor's purchase order."""
    return rng.choice([f"PO-{rng.randrange(10_000, 999_999)}", f"45{rng.randrange(10**7, 10**8)}",
                       f"B{rng.randrange(1_000, 99_999)}/{rng.randrange(10, 99)}"])  # fmt: skip


def some_day(rng: Random) -> date:
    """A working day of the years 2024 to 2026."""
    day = date(2024, 1, 8) + timedelta(rng.randrange(1_000))
    return day - timedelta(max(0, day.weekday() - 4))


def invoice(rng: Random, keep: tuple[str, ...] = (), lack: tuple[str, ...] = (), count: int = 0,
            even: bool = False, template: str = "") -> tuple[Trade, Listing]:  # fmt: skip
    """One ordinary invoice for goods, and the trade that it belongs to."""
    by = trade(rng, keep, lack=lack, template=template)
    lines = goods(rng, by.seller.country, count, even)
    prepaid = sum(each["amount_minor"] for each in lines) // 5 if rng.random() < 0.1 else 0
    return by, by.listing(0, some_day(rng), lines, prepaid_minor=prepaid)


def copied(listing: Listing) -> Listing:
    """The listing again, to be changed without touching the first."""
    return {key: [dict(line) for line in value] if key == "lines" else value for key, value in listing.items()}


def later(listing: Listing, days: int, field: str = "") -> None:
    """Move the dates of a listing, or one of them, by some days."""
    for name in (field,) if field else ("issue_date", "due_date"):
        if name in listing:
            listing[name] = (date.fromisoformat(listing[name]) + timedelta(days)).isoformat()
