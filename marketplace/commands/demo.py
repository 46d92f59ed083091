"""`bin/market demo`: a whole market life on a throw-away stage, in under a minute."""

import sys
from pathlib import Path

import click

from marketplace.commands.output import as_json_option, emit, progress

FOLDER = click.Path(exists=True, path_type=Path)
ROWS = (
    ("listed", "receivables listed"),
    ("refused", "documents refused"),
    ("duplicates_refused", "second sales refused"),
    ("confirmed", "confirmed by their debtor"),
    ("rated", "rated"),
    ("lots", "lots opened"),
    ("bids", "bids"),
    ("awarded", "lots awarded"),
    ("overdue", "ever overdue"),
    ("defaulted", "ever defaulted"),
)
SUMS = (
    ("funded_minor", "advanced by investors"),
    ("collected_minor", "paid by debtors"),
    ("recovered_minor", "of it recovered after default"),
    ("paid_to_investors_minor", "paid to investors"),
    ("paid_to_sellers_minor", "paid to sellers' banks"),
    ("fees_minor", "platform fees"),
)


@click.command("demo")
@click.option("--invoices", type=FOLDER, help="A folder of e-invoices (UBL, CII, Factur-X); by default our own.")
@click.option("--filings", type=FOLDER, help="A folder of filed accounts (iXBRL), given to the parties in file order.")
@as_json_option
def command(invoices: Path | None, filings: Path | None, as_json: bool) -> None:
    """List, confirm, rate, auction, settle, collect, default, recover, and prove it: at simulated dates.

    Runs in a database of its own that is thrown away. Exits 1 when an invariant is broken or the audit log does not
    verify.
    """
    from marketplace.demo.play import play

    found = play(invoices, filings, progress)
    if as_json:
        emit([found], True, [])
    else:
        _tell(found)
    if not found["audit"]["verified"] or not all(check["ok"] for check in found["invariants"]):
        sys.exit(1)


def _tell(found: dict) -> None:  # type: ignore[type-arg]
    """Print the tally for people: sums in minor units over all currencies, the advance by currency too."""
    records = [{"what": words, "count": f"{found[name]:,}"} for name, words in ROWS]
    records += [{"what": words, "count": f"{found[name]:,} minor units"} for name, words in SUMS]
    records += [
        {"what": f"advanced in {code}", "count": f"{minor:,} minor units"}
        for code, minor in found["funded_by_currency"].items()
    ]
    records += [{"what": f"refused: {reason}", "count": str(times)} for reason, times in found["reasons"].items()]
    records += [{"what": check["name"], "count": "holds" if check["ok"] else "BROKEN"} for check in found["invariants"]]
    audit = found["audit"]
    words = "verified offline" if audit["verified"] else f"NOT VERIFIED: {audit.get('wrong', '')}"
    records.append({"what": f"audit log of {audit['events']:,} events", "count": words})
    records.append({"what": "seconds", "count": str(found["seconds"])})
    emit(records, False, ["what", "count"])
