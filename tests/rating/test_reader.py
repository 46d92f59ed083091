"""The reader of company accounts: what it understands, and what it will not have."""

import resource
import subprocess
import sys
import time
from contextlib import suppress
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.kernel.errors import InvalidInput
from marketplace.rating.figures import normal_company_number, read_filing
from marketplace.rating.filing import Filing
from marketplace.rating.numbers import Unreadable, plain, read_number
from tests.rating.filings import SOUND, accounts, context, document, number

END = date(2025, 12, 31)
C0 = context("c0", END)


def rules(filing: Filing) -> set[str]:
    return {fault.rule for fault in filing.faults}


def refusal(content: bytes) -> str:
    with pytest.raises(InvalidInput) as caught:
        read_filing(content, "accounts.html")
    return caught.value.problems[0].rule


def one(figure: str) -> Filing:
    return read_filing(document(C0, number("NetAssetsLiabilities", "c0", 1), figure), "accounts.html")


@pytest.mark.parametrize(
    ("text", "form", "scale", "sign", "value"),
    [
        ("7,052,932", "ixt:numdotdecimal", None, "-", "-7052932"),
        ("1,234.56", "ixt:num-dot-decimal", None, None, "1234.56"),
        ("1.234,56", "ixt:numcommadecimal", None, None, "1234.56"),
        ("1,234.56", "ixt:numcommadot", None, None, "1234.56"),  # the registry of 2010 named it so
        ("1 234,5", "ixt:numspacecomma", None, None, "1234.5"),
        ("12", "ixt2:numdotdecimal", "3", None, "12000"),
        ("37", "ixt:numdotdecimal", "-2", None, "0.37"),
        ("-", "ixt2:zerodash", None, None, "0"),
        ("–", "ixt:fixed-zero", None, None, "0"),
        ("", "ixt:fixed-zero", None, None, "0"),
        ("-5", None, None, None, "-5"),
        ("  2 909 ", "ixt:numdotdecimal", "", "", "2909"),
        ("0", "ixt:numdotdecimal", None, "-", "0"),
    ],
)
def test_numbers_are_read_by_their_format(
    text: str, form: str | None, scale: str | None, sign: str | None, value: str
) -> None:
    assert plain(read_number(text, form, scale, sign)) == value


@pytest.mark.parametrize(
    ("text", "form", "scale", "sign", "rule"),
    [
        ("2,909", "ixt2:numdotdecimalblahblah", None, None, "format"),
        ("100", "ixt:numdotdecimal", "999999999", None, "scale"),
        ("100", "ixt:numdotdecimal", "10", None, "scale"),
        ("100", "ixt:numdotdecimal", "-99999", None, "scale"),
        ("1e9", None, None, None, "number"),
        ("NaN", None, None, None, "number"),
        ("n/a", "ixt:numdotdecimal", None, None, "number"),
        ("٣", "ixt:numdotdecimal", None, None, "number"),
        ("5", "ixt:numdotdecimal", None, "minus", "sign"),
        ("9" * 17, "ixt:numdotdecimal", None, None, "range"),
        ("9" * 500, "ixt:numdotdecimal", None, None, "number"),
    ],
)
def test_what_is_no_number_is_left_out_by_rule(
    text: str, form: str | None, scale: str | None, sign: str | None, rule: str
) -> None:
    with pytest.raises(Unreadable) as caught:
        read_number(text, form, scale, sign)
    assert caught.value.rule == rule


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=2), st.integers(0, 3))
def test_a_number_written_with_commas_scale_and_sign_reads_back(value: Decimal, scale: int) -> None:
    text = f"{abs(value):,.2f}"
    read = read_number(text, "ixt:numdotdecimal", str(scale), "-" if value < 0 else None)
    assert read == value * 10**scale


@given(st.text(max_size=60), st.sampled_from([None, "ixt:numdotdecimal", "ixt:numcommadecimal", "ixt:zerodash", "x"]),
       st.text(max_size=8), st.sampled_from([None, "", "-", "+"]))  # fmt: skip
def test_no_text_breaks_the_reading_of_numbers(text: str, form: str | None, scale: str, sign: str | None) -> None:
    with suppress(Unreadable):
        assert read_number(text, form, scale, sign).is_finite()


def test_both_years_are_read_by_their_contexts() -> None:
    filing = read_filing(accounts(END), "accounts.html")
    assert filing.company_number == "07100001"
    assert filing.company_name == "Thornfield Castings Ltd"
    assert (filing.period_end, filing.prior_period_end) == (END, date(2024, 12, 28))
    assert filing.current.get("creditors_within_one_year") == 96_000
    assert filing.current.get("creditors_after_one_year") == 44_000
    assert filing.prior is not None
    assert filing.prior.get("pl_reserve") == 195_900
    assert not filing.faults
    assert Filing.from_json(filing.to_json()) == filing


def test_an_absent_figure_is_never_zero() -> None:
    filing = one("")
    assert filing.current.get("fixed_assets") is None
    assert filing.prior is None


def test_a_figure_in_an_unknown_vocabulary_does_not_count() -> None:
    odd = number("CurrentAssets", "c0", 5).replace("core:", "mine:")
    filing = one(odd)
    assert filing.current.get("current_assets") is None
    assert "taxonomy" in rules(filing)


def test_a_prefix_bound_twice_is_looked_up_where_it_stands() -> None:
    inner = f'<p xmlns:core="http://evil.example/core">{number("CurrentAssets", "c0", 5)}</p>'
    filing = one(inner + number("FixedAssets", "c0", 7))
    assert filing.current.get("current_assets") is None
    assert filing.current.get("fixed_assets") == 7


def test_contradicting_figures_are_left_out_and_said() -> None:
    filing = one(number("CurrentAssets", "c0", 500) + number("CurrentAssets", "c0", 700))
    assert filing.current.get("current_assets") is None
    assert "contradiction" in rules(filing)


def test_a_rounded_repetition_is_no_contradiction() -> None:
    rounded = number("CurrentAssets", "c0", 512_000).replace('decimals="0"', 'decimals="-3"')
    filing = one(number("CurrentAssets", "c0", 512_345) + rounded)
    assert filing.current.get("current_assets") == 512_345
    assert "contradiction" not in rules(filing)


def test_a_group_s_own_figures_are_those_without_a_dimension() -> None:
    member = '<xbrldi:explicitMember dimension="bus:GroupCompanyDataDimension">bus:Consolidated</xbrldi:explicitMember>'
    group = context("g", END).replace("</xbrli:entity>", f"<xbrli:segment>{member}</xbrli:segment></xbrli:entity>")
    filing = one(group + number("CurrentAssets", "g", 900) + number("CurrentAssets", "c0", 100))
    assert filing.current.get("current_assets") == 100


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"NetAssetsLiabilities": (-240_000, 196_000)}, "balance_identity"),
        ({"CurrentAssets": (26_000, 231_000)}, "balance_identity"),
    ],
)
def test_a_sheet_that_does_not_balance_is_flagged(change: dict[str, tuple[int, int]], rule: str) -> None:
    assert rule in rules(read_filing(accounts(END, SOUND | change), "accounts.html"))


def test_a_sheet_in_thousands_may_be_rounded_line_by_line() -> None:
    rounded = {name: tuple(value // 1_000 * 1_000 for value in values) for name, values in SOUND.items()}
    off_by = rounded | {"NetAssetsLiabilities": (242_000, 194_000)}
    assert "balance_identity" not in rules(read_filing(accounts(END, off_by), "accounts.html"))
    wrong = rounded | {"NetAssetsLiabilities": (243_000, 196_000)}
    assert "balance_identity" in rules(read_filing(accounts(END, wrong), "accounts.html"))


def test_a_broken_context_takes_only_its_own_figures_along() -> None:
    bad = context("bad", END).replace("2025-12-31", "31 December 2025")
    filing = one(bad + number("CurrentAssets", "bad", 5) + number("FixedAssets", "nowhere", 5))
    assert filing.current.get("current_assets") is None
    assert {"context_date", "no_context"} <= rules(filing)


@pytest.mark.parametrize(
    ("text", "number"),
    [("390616", "00390616"), ("SC312961", "SC312961"), ("ni 68129", "NI068129"), ("OC438238", "OC438238"),
     ("R0000012", "R0000012"), ("123456789", None), ("Thornfield", None), ("", None)],
)  # fmt: skip
def test_company_numbers_have_eight_characters(text: str, number: str | None) -> None:
    assert normal_company_number(text) == number


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"  ", "empty"),
        (b"%PDF-1.7 ...", "kind"),
        (b"PK\x03\x04....", "kind"),
        (b"x" * (16 * 2**20 + 1), "size"),
        ("<html/>".encode("utf-16"), "encoding"),
        (b'<?xml version="1.0" encoding="utf-7"?><html/>', "encoding"),
        (b"<html><p></html>", "malformed"),
        (b"<html>" + b"<p>" * 5_000 + b"</p>" * 5_000 + b"</html>", "depth"),
        (b"<p>" * 300_000, "size"),
        (b"<p " + b" ".join(b'a%d="1"' % i for i in range(400_000)) + b"/>", "size"),
        (b"<p " + b" ".join(b'xmlns:a%d="1"' % i for i in range(11_000)) + b"/>", "size"),
        (b'<!DOCTYPE html [<!ENTITY a "b">]><html>&a;</html>', "doctype"),
        (b'<!DOCTYPE html [<!ENTITY % a SYSTEM "http://x.invalid/a">%a;]><html/>', "doctype"),
        (b'<!-- <!DOCTYPE p> --><!DOCTYPE p [<!ENTITY x SYSTEM "file:///etc/passwd">]><p>&x;</p>', "doctype"),
        (b"<html><body>A page, but no accounts</body></html>", "no_balance_sheet"),
        (b'<Invoice xmlns="urn:oasis:names:specification:ubl:schema:xsd:Invoice-2"/>', "no_balance_sheet"),
    ],
)  # fmt: skip
def test_what_is_no_set_of_accounts_is_refused_by_rule(content: bytes, rule: str) -> None:
    assert refusal(content) == rule


def test_a_plain_document_type_is_harmless_and_nothing_outside_is_read() -> None:
    include = '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/passwd" parse="text"/>'
    name = '<ix:nonNumeric name="bus:EntityCurrentLegalOrRegisteredName" contextRef="c0">{}A</ix:nonNumeric>'
    content = document(C0, number("NetAssetsLiabilities", "c0", 1), name.format(include))
    filing = read_filing(b'<!DOCTYPE html SYSTEM "http://x.invalid/evil.dtd">' + content, "accounts.html")
    assert filing.company_name == "A"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "windows-1252", "iso-8859-15", "us-ascii"])
def test_western_encodings_are_read_without_a_table_from_outside(encoding: str) -> None:
    name = '<ix:nonNumeric name="bus:EntityCurrentLegalOrRegisteredName" contextRef="c0">{}</ix:nonNumeric>'
    said = "Cafe Ltd" if encoding == "us-ascii" else "Café € Ltd"
    text = document(C0, number("NetAssetsLiabilities", "c0", 1), name.format(said)).decode()
    head = "" if encoding == "utf-8-sig" else f'<?xml version="1.0" encoding="{encoding}"?>'
    assert read_filing((head + text).encode(encoding), "accounts.html").company_name == said


def test_a_byte_that_means_nothing_in_the_declared_encoding_is_refused() -> None:
    assert refusal(b'<?xml version="1.0" encoding="windows-1252"?><html>\x81</html>') == "encoding"


def test_many_figures_in_one_document_cost_little() -> None:
    many = document(C0, number("NetAssetsLiabilities", "c0", 1), number("CurrentAssets", "c0", 1) * 39_000)
    began = time.monotonic()
    read_filing(many, "accounts.html")
    assert time.monotonic() - began < 15, "a second or two on an idle machine"


MUTANTS = accounts(END)


@given(st.lists(st.tuples(st.integers(0, len(MUTANTS) - 1), st.binary(max_size=12)), min_size=1, max_size=6))
def test_no_mutated_accounts_break_the_reader(cuts: list[tuple[int, bytes]]) -> None:
    content = MUTANTS
    for place, bytes_ in cuts:
        content = content[:place] + bytes_ + content[place + len(bytes_) // 2 :]
    with suppress(InvalidInput):
        read_filing(content, "accounts.html")


HOSTILE = """
import sys, socket
from pathlib import Path
sys.path.insert(0, sys.argv[1])
def no(*_): raise SystemExit("the network was asked for")
socket.socket.connect = no
from marketplace.kernel.errors import InvalidInput
from marketplace.rating.figures import read_filing
try:
    filing = read_filing(Path(sys.argv[2]).read_bytes(), "hostile.html")
    assert "root:" not in str(filing)
except InvalidInput as refused:
    assert refused.problems
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def test_hostile_files_are_refused_or_harmless_within_two_seconds_and_200_mb(shared: Path) -> None:
    house = Path(__file__).resolve().parents[2]
    for file in sorted((shared / "filings" / "hostile").iterdir()):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, "-c", HOSTILE, str(house), str(file)], capture_output=True, text=True, timeout=240
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert done.returncode == 0, f"{file.name}: {done.stderr or done.stdout}"
        assert int(done.stdout) < 200 * 1024, file.name
        assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2, file.name
