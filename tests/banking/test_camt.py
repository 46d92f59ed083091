"""Reading the bank's files: every version, every direction, and everything that is wrong with one is named."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.banking.camt import creditor_reference, read_camt, receivable_ref
from marketplace.kernel.errors import InvalidInput
from marketplace.receivables.debtor.notice_text import creditor_reference as written
from tests.banking.files import IBAN, balance, camt, entry, part

RF = written("DB-26-0001").replace(" ", "")


@pytest.mark.parametrize("version", ["02", "08", "13"])
@pytest.mark.parametrize("kind", ["camt.053", "camt.054"])
def test_an_entry_is_read_in_every_version(kind: str, version: str) -> None:
    raw = camt(entry("A1", "1234.5", rf=written("DB-26-0001")), kind=kind, version=version)
    if version == "02":
        raw = raw.replace(b"<Sts><Cd>BOOK</Cd></Sts>", b"<Sts>BOOK</Sts>")
    message = read_camt(raw)
    (one,) = message.movements
    assert (message.kind, message.message_id) == (kind, "M-1")
    assert (one.iban, one.key, one.currency, one.minor, one.incoming, one.reversal, one.booked_on, one.reference) == (
        IBAN, "A1", "GBP", 123_450, True, False, date(2026, 11, 20), RF,
    )  # fmt: skip


def test_a_batch_is_its_transactions_and_pending_entries_wait() -> None:
    batch = entry("B", "30.00", parts=part("10.00", RF) + part("20.00", "RF18539007547034"))
    message = read_camt(camt(batch, entry("P", "5.00", state="PDNG")))
    assert [(one.key, one.minor) for one in message.movements] == [("B/1", 1_000), ("B/2", 2_000)]
    assert message.pending == 1


def test_balances_are_read_and_must_add_up() -> None:
    sound = balance("OPBD", "10.00", into=False) + balance("CLBD", "15.00")
    message = read_camt(camt(entry("A", "30.00"), entry("B", "5.00", into=False), balances=sound))
    assert [(one.minor, one.currency) for one in message.closing] == [(1_500, "GBP")]


def test_a_returned_payment_is_a_reversal() -> None:
    returned = entry("R", "5.00", into=False).replace("<RmtInf>", "<RtrInf><Rsn><Cd>AC04</Cd></Rsn></RtrInf><RmtInf>")
    assert read_camt(camt(returned)).movements[0].reversal
    assert read_camt(camt(entry("R", "5.00", into=False, reversal=True))).movements[0].reversal


@pytest.mark.parametrize("text", [f"Invoice 7, {written('DB-26-0001')} thanks", f"ref {RF.lower()}", f"{RF}. Regards"])
def test_a_reference_is_found_in_free_text(text: str) -> None:
    assert read_camt(camt(entry("A", "1.00", text=text))).movements[0].reference == RF


WRONG = {
    "not_a_bank_file": b"<Document xmlns='urn:iso:std:iso:20022:tech:xsd:pain.001.001.09'/>",
    "not_well_formed": b"<Document",
    "empty": b" \n",
    "forbidden_doctype": b"<!DOCTYPE Document [<!ENTITY a 'b'>]><Document>&a;</Document>",
    "too_deep": b"<a>" * 100 + b"</a>" * 100,
    "missing": camt(entry("A", "1.00")).replace(b"<MsgId>M-1</MsgId>", b""),
    "no_reference": camt(entry("", "1.00")),
    "does_not_add_up": camt(entry("A", "1.00"), balances=balance("OPBD", "0.00") + balance("CLBD", "1.01")),
    "reference_twice": camt(entry("A", "1.00"), entry("A", "2.00")),
    "too_many_entries": camt(*(entry(f"K{n}", "1.00") for n in range(5_001))),
}


@pytest.mark.parametrize("code", WRONG)
def test_what_is_wrong_with_a_file_is_named(code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_camt(WRONG[code])
    assert refused.value.code == code
    assert refused.value.problems[0].field == "document"


BAD = {
    "three decimals": camt(entry("A", "1.001")),
    "below zero": camt(entry("A", "-1.00")),
    "nothing": camt(entry("A", "0.00")),
    "no amount": camt(entry("A", "")),
    "not a number": camt(entry("A", "NaN")),
    "arabic digits": camt(entry("A", "١.00")),
    "huge": camt(entry("A", "1" * 14)),
    "unknown currency": camt(entry("A", "1.00", currency="XXX")),
    "another currency than the account's": camt(entry("A", "1.00", currency="EUR"), currency="GBP"),
    "direction": camt(entry("A", "1.00")).replace(b"CRDT", b"BOTH"),
    "state": camt(entry("A", "1.00", state="MAYB")),
    "reversal": camt(entry("A", "1.00", reversal=True)).replace(b"true", b"perhaps"),
    "day": camt(entry("A", "1.00", on="2026-02-30")),
    "no day": camt(entry("A", "1.00")).replace(b"BookgDt", b"Other"),
    "a number without a day": camt(entry("", "1.00", number="7")).replace(b"BookgDt", b"ValDt"),
    "iban": camt(entry("A", "1.00"), iban="GB33BUKB20201555555556"),
    "long id": camt(entry("A", "1.00"), message="M" * 36),
    "a batch that does not add up": camt(entry("A", "3.00", parts=part("1.00", RF) + part("1.00", RF))),
    "a batch in two currencies": camt(entry("A", "2.00", parts=part("1.00", RF) + part("1.00", RF, "EUR"))),
    "a batch without amounts": camt(entry("A", "2.00", parts="<TxDtls/><TxDtls/>")),
    "no report": camt().replace(b"<Stmt>", b"<Other>").replace(b"</Stmt>", b"</Other>"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_value_is_refused(what: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_camt(BAD[what])
    assert refused.value.code in ("bad_value", "missing", "does_not_add_up")


@given(st.integers(2000, 2099), st.integers(1, 99_999_999))
def test_what_a_notice_prints_finds_its_receivable_again(year: int, number: int) -> None:
    ref = f"DB-{year % 100:02d}-{number:04d}"
    assert receivable_ref(creditor_reference(written(ref))) == ref


def test_a_slip_of_the_finger_is_no_reference() -> None:
    assert creditor_reference("RF18 5390 0754 7034") == "RF18539007547034"  # Source: ISO 11649, the usual example
    for at in range(4, len(RF)):
        slipped = RF[:at] + ("1" if RF[at] != "1" else "2") + RF[at + 1 :]
        assert creditor_reference(slipped) is None
    assert creditor_reference("RF" + "١" * 6) is None
    assert receivable_ref("RF18539007547034") is None


@given(st.integers(0, 4_000), st.integers(0, 255))
def test_a_mutated_file_is_read_or_refused_and_nothing_else(at: int, byte: int) -> None:
    raw = bytearray(camt(entry("A", "30.00", rf=RF), entry("B", "5.00", into=False), balances=balance("CLBD", "25.00")))
    raw[at % len(raw)] = byte
    try:
        read_camt(bytes(raw))
    except InvalidInput as error:
        assert error.problems  # noqa: PT017
