"""The demonstration's own folder: invoices in three forms, twins that must be refused, accounts of every company."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

from marketplace.demo.accounts_spec import Strength
from marketplace.demo.companies import Company, debtors, sellers
from marketplace.demo.documents import Syntax, accounts, accounts_spec, filename, invoice, invoice_spec
from marketplace.demo.invoice_specs import InvoiceSpec, LineSpec, cosmetic_numbers, credit_note_for
from marketplace.demo.story import Paper

SYNTAXES: tuple[Syntax, ...] = ("ubl", "cii", "facturx")
STRENGTHS: tuple[Strength, ...] = ("strong", "middling", "strong", "middling", "weak", "strong")
FILE_BYTES_MAX = 60_000_000
TENORS = (45, 60, 75, 38, 90)
SIZES_MINOR = (1_850_000, 4_200_000, 960_000, 12_400_000, 3_150_000, 7_800_000)


def own_invoices(days: Sequence[date], first: int = 0) -> list[tuple[InvoiceSpec, Paper]]:
    """Return one honest invoice for each day: sellers, debtors, forms, sizes and tenors take turns.

    `first` is the number of the first one, for whoever has asked for others before.
    """
    made = []
    houses, buyers = sellers(), debtors()
    for index, day in enumerate(days, first):
        spec = invoice_spec(
            houses[index % len(houses)], buyers[index % len(buyers)], day, seed=index,
            days=TENORS[index % len(TENORS)], about_minor=SIZES_MINOR[index % len(SIZES_MINOR)],
        )  # fmt: skip
        made.append((spec, written(spec, SYNTAXES[index % len(SYNTAXES)])))
    return made


def twins(spec: InvoiceSpec) -> list[Paper]:
    """Return the same debt again, as people try it: another form, another way to write the number, a penny more."""
    line = spec.lines[0]
    dearer = (LineSpec(line.name, line.quantity, line.price_minor + 1, line.unit, line.vat_category, line.vat_percent),)
    return [
        written(spec, "cii", "again-in-cii"),
        written(replace(spec, number=cosmetic_numbers(spec.number)[3]), "ubl", "again-renumbered"),
        written(replace(spec, lines=dearer + spec.lines[1:]), "facturx", "again-a-penny-more"),
    ]


def disguised(spec: InvoiceSpec, day: date) -> list[Paper]:
    """Return a debt that is listed already, a day later in other words under another number: to be compared."""
    lines = tuple(replace(line, name=f"{line.name}, per delivery schedule") for line in spec.lines)
    again = replace(spec, number=f"{spec.number}-R", lines=lines, issued_on=day, due_on=day + timedelta(days=60))
    return [written(again, "ubl", "again-in-other-words")]


def refused(spec: InvoiceSpec, day: date) -> list[Paper]:
    """Return documents that are no receivable to sell: a credit note, an invoice that pays another company."""
    financier = replace(spec.seller, name="Quickcash Factors Ltd", legal_id="07654321")
    sold = replace(spec, number=f"{spec.number}-S", issued_on=day, due_on=day + timedelta(days=60), payee=financier)
    return [
        written(credit_note_for(spec, f"{spec.number}-CN", day), "ubl", "credit-note"),
        written(sold, "cii", "already-assigned"),
    ]


def accounts_of(company: Company, before: date) -> Paper:
    """Return the last accounts that a company filed before a day; how strong it is follows from its name."""
    strength = STRENGTHS[sum(map(ord, company.name)) % len(STRENGTHS)]
    large = company in debtors()
    period_end = date(before.year - 1, 12, 31) if before.month > 4 else date(before.year - 2, 12, 31)
    spec = accounts_spec(
        company, period_end, strength, seed=len(company.name), total_assets=180_000_000 if large else 2_400_000,
        standard="FRS-102",
    )  # fmt: skip
    return Paper(f"{spec.company_number}-{period_end:%Y%m%d}.html", accounts(spec))


def accounts_by_name(before: date) -> dict[str, Paper]:
    """Return the last accounts of every company of the demonstration, by its name."""
    return {company.name: accounts_of(company, before) for company in [*sellers(), *debtors()]}


def written(spec: InvoiceSpec, syntax: Syntax, label: str = "") -> Paper:
    """Return an invoice as a file."""
    name = filename(spec, syntax)
    return Paper(f"{label}-{name}" if label else name, invoice(spec, syntax))


def folder(path: Path) -> Iterator[Paper]:
    """Yield the files below a folder (or the one file) in order of their names; hidden files are left out."""
    files = sorted(found for found in path.rglob("*") if found.is_file()) if path.is_dir() else [path]
    for file in files:
        if not file.name.startswith(".") and file.stat().st_size <= FILE_BYTES_MAX:
            yield Paper(str(file.relative_to(path)) if path.is_dir() else file.name, file.read_bytes())
