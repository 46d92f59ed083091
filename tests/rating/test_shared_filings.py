"""Thirty-one real filings: every figure that two independent readers agree on, to the penny; and nothing they lack."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from marketplace.commands.filings import command
from marketplace.rating.figures import read_filing
from marketplace.rating.filing import REPORTED, Filing, Year
from marketplace.rating.numbers import plain
from marketplace.rating.sheet import complete


@pytest.fixture(scope="module")
def expected(shared: Path) -> dict[str, Any]:
    files: dict[str, Any] = json.loads((shared / "filings" / "expected.json").read_text())["files"]
    return files


@pytest.fixture(scope="module")
def read(shared: Path, expected: dict[str, Any]) -> dict[str, Filing]:
    return {name: read_filing((shared / "filings" / name).read_bytes(), name) for name in expected}


def figure(year: Year | None, name: str) -> str | None:
    value = year.get(name) if year else None
    return None if value is None else plain(value)


def test_every_agreed_figure_of_both_years_is_read(expected: dict[str, Any], read: dict[str, Filing]) -> None:
    wrong = []
    for name, said in expected.items():
        filing = read[name]
        for part, year in (("current", filing.current), ("prior", filing.prior)):
            for what in REPORTED:
                if said["null_reason"].get(f"{part}.{what}") == "readers disagree":
                    continue
                # Malformed on purpose: neither reader could read it, and this one does not guess either.
                if figure(year, what) != said[part][what]:
                    wrong.append((name, part, what, figure(year, what), said[part][what]))
    assert not wrong


def test_every_company_number_and_balance_date_is_read(expected: dict[str, Any], read: dict[str, Filing]) -> None:
    for name, said in expected.items():
        filing = read[name]
        assert filing.company_number == said["company_number"], name
        assert filing.period_end.isoformat() == said["period_end"], name
        assert (filing.prior_period_end.isoformat() if filing.prior_period_end else None) == said["prior_period_end"], (
            name
        )


def test_a_lost_sign_and_absurd_employees_are_flagged_and_only_they(read: dict[str, Filing]) -> None:
    flagged = {name: {fault.rule for fault in filing.faults} for name, filing in read.items() if filing.faults}
    assert flagged.pop("account_1.html") == {"balance_identity"}
    assert flagged.pop("Prod223_3384_09355500_20221231.html") == {"employees"}
    # Three copies of one sheet with a malformed format; the year before bears the lost sign too.
    assert set(flagged) == {"account_errors.html", "account_errors_date.html", "account_errors_nonnumeric.html"}
    assert all(rules == {"format", "balance_identity"} for rules in flagged.values())


def test_with_all_lines_every_real_sheet_balances_but_that_one(read: dict[str, Filing]) -> None:
    sheets = {name: complete(filing.current) for name, filing in read.items()}
    broken = {name for name, sheet in sheets.items() if sheet and sheet.broken}
    assert broken == {"account_1.html"}
    lost_sign = sheets["account_1.html"]
    assert lost_sign is not None
    assert lost_sign.equity == -3810, "the careful reading of the two"
    assert [name for name, sheet in sheets.items() if sheet is None] == ["account_1.xml"]


def test_the_command_prints_a_line_a_file_and_refuses_none(shared: Path, expected: dict[str, Any]) -> None:
    done = CliRunner().invoke(command, ["read", str(shared / "filings"), "--json"])
    assert done.exit_code == 0, done.output
    lines = {Path(line["file"]).name: line for line in map(json.loads, done.stdout.splitlines())}
    assert set(expected) <= set(lines)
    assert lines["Prod223_2911_04184222_20200229.html"]["current"]["pl_reserve"] == "-7052932"
    assert lines["xxe_file.html"]["period_end"] is None
    assert lines["xxe_file.html"]["faults"][0]["rule"] == "doctype"
