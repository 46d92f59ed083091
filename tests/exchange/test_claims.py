"""Claims themselves: what two markets compute alike, what keeps them apart, what a key is good for."""

import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import read_policy
from marketplace.exchange.claims import CLAIMS_MAX, claim, claims, identifiers, key_mark
from marketplace.exchange.rules import Answer, Operation, next_at, next_operation, silence, state_after
from marketplace.exchange.signing import (
    Credentials,
    answer_signature,
    is_signed,
    read_credentials,
    request_signature,
    secret_of,
)
from marketplace.kernel.policy import parse
from marketplace.receivables.matching.fingerprint import identity

KEY = b"k" * 43
ALICE = identity("07100001", "GB123456789", "Thornfield Castings Ltd", "GB")
BY_VAT = identity(None, "GB 123 4567 89", "Thornfield Castings Limited", "GB")
BY_NUMBER = identity("7100001", None, "THORNFIELD CASTINGS", "GB")
KESTREL = identity("07714421", None, "Kestrel Aerospace UK Ltd", "GB")


def test_a_claim_is_an_hmac_over_lengths_and_fields() -> None:
    """Written out once more, so that another implementation can be held to it."""
    fields = ["L:GB:7100001", "L:GB:7714421", "TPC20418", "invoice", "GBP"]
    message = b"duebill/claim/1" + b"".join(len(f.encode()).to_bytes(4, "big") + f.encode() for f in fields)
    made = claim(KEY, "L:GB:7100001", "L:GB:7714421", "TPC-20418", "380", "gbp")
    assert made == hmac.new(KEY, message, hashlib.sha256).digest()
    assert made.hex() == "b13d8b42f176bdc5b21b83b84614916d1e0e12b66253c50781cb46efac8d50e4"


def test_two_markets_meet_whatever_they_know_a_party_by() -> None:
    def of(*sellers: object) -> set[bytes]:
        return set(claims(KEY, sellers, [KESTREL], "TPC-20418", "380", "GBP"))  # type: ignore[arg-type]

    assert identifiers([ALICE]) == ["L:GB:7100001", "V:GB123456789"]
    assert len(of(ALICE)) == 2
    assert of(ALICE) & of(BY_VAT)
    assert of(ALICE) & of(BY_NUMBER)
    assert not of(BY_VAT) & of(BY_NUMBER)
    assert identifiers([identity(None, None, "Nameless & Sons", "GB")]) == ["N:GB:NAMELESS AND SONS"]


@pytest.mark.parametrize("number", ["TPC 20418", "tpc/20418", "INV-TPC-20418", "ＴＰＣ-20418", "ТРС-20418"])
def test_one_number_written_otherwise_is_one_claim(number: str) -> None:
    assert claims(KEY, [ALICE], [KESTREL], number, "380", "GBP") == claims(
        KEY, [ALICE], [KESTREL], "TPC-20418", "380", "GBP"
    )


@pytest.mark.parametrize(
    "change",
    [{"number": "TPC-20419"}, {"currency": "EUR"}, {"document_type": "381"}, {"key": b"q" * 43}],
    ids=["number", "currency", "class", "key"],
)
def test_what_makes_another_claim(change: dict[str, object]) -> None:
    given = {"key": KEY, "number": "TPC-20418", "document_type": "380", "currency": "GBP"}

    def of(**values: object) -> list[bytes]:
        return claims(values["key"], [ALICE], [KESTREL], values["number"], values["document_type"], values["currency"])  # type: ignore[arg-type]

    assert not set(of(**given)) & set(of(**(given | change)))


@given(st.lists(st.text(max_size=12), min_size=5, max_size=5), st.lists(st.text(max_size=12), min_size=5, max_size=5))
def test_fields_never_run_into_one_another(one: list[str], other: list[str]) -> None:
    alike = claim(KEY, *one) == claim(KEY, *other)  # type: ignore[call-arg]
    if one[:2] != other[:2]:
        assert not alike


def test_a_crowd_of_identities_makes_no_flood() -> None:
    many = [identity(str(n), None, None, "GB") for n in range(1, 40)]
    assert len(claims(KEY, many, many, "1", "380", "GBP")) == CLAIMS_MAX


def test_a_key_mark_tells_keys_apart_and_is_no_claim() -> None:
    assert key_mark(KEY) == key_mark(KEY) != key_mark(b"q" * 43)
    assert len(key_mark(KEY)) == 16


def test_signatures_bind_every_part() -> None:
    secret = secret_of(b"master", "k-1").encode()
    signature = request_signature(secret, "POST", "/v1/query", "k-1", 1_700_000_000, bytes(16), b"{}")
    given = Credentials("k-1", 1_700_000_000, bytes(16), signature)
    assert read_credentials(given.header()) == given
    assert is_signed(secret, "POST", "/v1/query", given, b"{}")
    assert not is_signed(secret, "GET", "/v1/query", given, b"{}")
    assert not is_signed(secret, "POST", "/v1/register", given, b"{}")
    assert not is_signed(secret, "POST", "/v1/query", given, b"{ }")
    for other in (
        Credentials("k-2", given.seconds, given.nonce, signature),
        Credentials("k-1", given.seconds + 1, given.nonce, signature),
        Credentials("k-1", given.seconds, b"\1" * 16, signature),
    ):
        assert not is_signed(secret, "POST", "/v1/query", other, b"{}")
    assert secret_of(b"master", "k-1") != secret_of(b"master", "k-2") != secret_of(b"other", "k-2")
    assert answer_signature(secret, bytes(16), 200, b"{}") != answer_signature(secret, bytes(16), 400, b"{}")


@given(st.text(max_size=200))
def test_no_header_breaks_the_reader(header: str) -> None:
    found = read_credentials(header)
    assert found is None or found.header() == header


NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SOON, FAR = NOW + timedelta(days=2), NOW + timedelta(days=12)
NUMBERS = parse(read_policy()).exchange


@pytest.mark.parametrize(
    ("wanted", "state", "until", "expected"),
    [
        ("registered", "unasked", None, Operation.REGISTER),
        ("registered", "elsewhere", None, Operation.REGISTER),
        ("registered", "released", None, Operation.REGISTER),
        ("registered", "registered", FAR, None),
        ("registered", "registered", SOON, Operation.RENEW),
        ("financed", "registered", FAR, Operation.FINANCE),
        ("financed", "financed", None, None),
        ("financed", "unasked", None, Operation.REGISTER),
        ("released", "registered", FAR, Operation.RELEASE),
        ("released", "financed", None, Operation.RELEASE),
        ("released", "elsewhere", None, None),
        ("released", "unasked", None, None),
    ],
)
def test_what_is_asked_next(wanted: str, state: str, until: datetime, expected: Operation | None) -> None:
    assert next_operation(wanted, state, until, NOW, NUMBERS) == expected


@pytest.mark.parametrize(
    ("operation", "answer", "expected"),
    [
        ("register", Answer(True, "registered", True), "registered"),
        ("register", Answer(True, "registered", False), "elsewhere"),
        ("finance", Answer(True, "financed", True), "financed"),
        ("renew", Answer(False, "none", False), "unasked"),
        ("release", Answer(False, "none", False), "released"),
        ("release", Answer(True, "registered", False), "released"),
    ],
)
def test_what_an_answer_means(operation: str, answer: Answer, expected: str) -> None:
    assert state_after(operation, answer) == expected


def test_when_to_look_again() -> None:
    hours = timedelta(hours=NUMBERS.ask_again_hours)
    assert next_at("registered", [("elsewhere", None)], NOW, NUMBERS) == NOW + hours
    assert next_at("financed", [("registered", FAR)], NOW, NUMBERS) == NOW
    days = timedelta(days=NUMBERS.renew_days)
    assert next_at("registered", [("registered", FAR)], NOW, NUMBERS) == FAR - days
    assert next_at("financed", [("financed", None)], NOW, NUMBERS) is None
    assert next_at("released", [("elsewhere", None), ("released", None)], NOW, NUMBERS) is None


def test_silence_grows_to_a_quarter_of_an_hour() -> None:
    waits = [silence(n).total_seconds() for n in (1, 2, 3, 50)]
    assert waits == [5, 10, 20, 900]
