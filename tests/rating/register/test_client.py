"""The client of the companies register, against a stand-in with real sockets."""

import time
from collections.abc import Iterator
from datetime import date

import pytest

from marketplace.rating.register import answers
from marketplace.rating.register.answers import Nonsense
from marketplace.rating.register.client import (
    ANSWER_MAX,
    CompaniesRegister,
    RegisterBusy,
    RegisterRefuses,
    RegisterSilent,
)
from tests.rating.register import stand_in as made
from tests.rating.register.stand_in import DOCUMENT, KEY, StandIn, serving

ALICE = "07100001"


@pytest.fixture
def house() -> Iterator[StandIn]:
    with serving() as running:
        yield running


def client(house: StandIn, key: str = KEY, wait: int = 0) -> CompaniesRegister:
    return CompaniesRegister(key, house.url, house.url, lambda: wait)


def test_a_company_is_read_with_its_newest_accounts_charges_and_cases(house: StandIn) -> None:
    house.knows(
        ALICE,
        made.profile(ALICE, company_status="liquidation", has_charges=True, has_insolvency_history=True),
        made.accounts_item("2023-12-31", "older-document-1"),
        made.accounts_item("2024-12-31"),
        made.accounts_item("2025-12-31", "no-accounts-at-all", kind="AA01"),
    )
    house.pages[f"/company/{ALICE}/charges"] = made.charge_list(5, 3)
    house.pages[f"/company/{ALICE}/insolvency"] = made.insolvency()
    answer = client(house).look_up(ALICE)
    assert answer.profile is not None
    assert (answer.profile.name, answer.profile.state) == ("THORNFIELD CASTINGS LTD", "liquidation")
    assert answer.profile.accounts_due_on == date(2026, 9, 30)
    assert answer.accounts is not None
    assert (answer.accounts.made_up_to, answer.accounts.document_id) == (date(2024, 12, 31), DOCUMENT)
    assert (answer.charges.total, answer.charges.outstanding) == (5, 2)
    assert [(case.kind, case.began_on) for case in answer.cases] == [
        ("creditors-voluntary-liquidation", date(2026, 1, 19))
    ]
    assert answer.insolvent
    assert "Practitioner" not in repr(answer)
    assert house.asked == [f"/company/{ALICE}", f"/company/{ALICE}/filing-history", f"/company/{ALICE}/charges",
                           f"/company/{ALICE}/insolvency"]  # fmt: skip
    assert house.queries[1] == {"category": ["accounts"], "items_per_page": ["100"]}


def test_what_the_profile_denies_is_not_asked(house: StandIn) -> None:
    house.knows(ALICE)
    answer = client(house).look_up(ALICE)
    assert (answer.accounts, answer.charges.total, answer.cases, answer.insolvent) == (None, 0, (), False)
    assert len(house.asked) == 2


def test_a_number_that_nobody_has_is_an_answer_too(house: StandIn) -> None:
    assert client(house).look_up("09999999").profile is None


def test_a_document_is_fetched_from_the_store_without_the_key(house: StandIn) -> None:
    house.holds(b"<html>accounts</html>")
    assert client(house).document(DOCUMENT) == b"<html>accounts</html>"
    assert house.asked[-1] == "/docs/signed"


@pytest.mark.parametrize("kinds", [("application/pdf",), ("text/csv",)])
def test_a_picture_of_accounts_is_none(house: StandIn, kinds: tuple[str, ...]) -> None:
    house.holds(b"%PDF", *kinds)
    assert client(house).document(DOCUMENT) is None
    assert client(house).document("a-document-that-is-not-there") is None


@pytest.mark.parametrize("store", ["http://169.254.169.254/latest", "file:///etc/passwd", "https://evil.example/x", ""])
def test_a_document_is_not_fetched_from_anywhere_else(house: StandIn, store: str) -> None:
    house.holds(b"x")
    house.store = store or "https://amazonaws.com.evil.example/x"
    with pytest.raises(RegisterSilent) as caught:
        client(house).document(DOCUMENT)
    assert caught.value.code == "strange_store"


def test_a_wrong_key_is_said_to_be_refused_and_never_shown(house: StandIn) -> None:
    with pytest.raises(RegisterRefuses) as caught:
        client(house, "a-wrong-key").look_up(ALICE)
    assert "REGISTRY_API_KEY" in caught.value.said()
    assert "a-wrong-key" not in repr(client(house, "a-wrong-key")) + str(caught.value)


def test_a_429_says_for_how_long(house: StandIn) -> None:
    house.limit, house.reset_at = 0, str(int(time.time()) + 120)
    with pytest.raises(RegisterBusy) as caught:
        client(house).look_up(ALICE)
    assert 100 < caught.value.seconds <= 120
    for reset in ("", "soon", "99999999999", "1"):
        house.reset_at = reset
        with pytest.raises(RegisterBusy) as caught:
            client(house).look_up(ALICE)
        assert 1 <= caught.value.seconds <= 900


def test_without_leave_nothing_is_sent(house: StandIn) -> None:
    with pytest.raises(RegisterBusy) as caught:
        client(house, wait=7).look_up(ALICE)
    assert caught.value.seconds == 7
    assert house.asked == []


@pytest.mark.parametrize(
    ("told", "code"),
    [
        (b"not json", "nonsense"),
        (b"[1]", "nonsense"),
        (b"\xff\xfe", "nonsense"),
        (b"[" * 100_000, "nonsense"),
        (b" " * (ANSWER_MAX + 1), "nonsense"),
        ({"company_name": "X"}, "nonsense"),
        (made.profile(ALICE, company_status=7), "nonsense"),
        (made.profile(ALICE, date_of_creation="soon"), "nonsense"),
        (made.profile(ALICE, accounts=[]), "nonsense"),
    ],
)
def test_an_answer_that_is_not_of_the_published_form_is_not_believed(house: StandIn, told: object, code: str) -> None:
    house.pages[f"/company/{ALICE}"] = told
    with pytest.raises(RegisterSilent) as caught:
        client(house).look_up(ALICE)
    assert caught.value.code == code


def test_an_error_and_a_closed_door_are_silence(house: StandIn) -> None:
    house.code = 503
    with pytest.raises(RegisterSilent) as caught:
        client(house).look_up(ALICE)
    assert caught.value.code == "failing"
    nobody = CompaniesRegister(KEY, "http://127.0.0.1:9", "http://127.0.0.1:9", lambda: 0)
    with pytest.raises(RegisterSilent) as caught:
        nobody.look_up(ALICE)
    assert caught.value.code == "unreachable"


def test_members_never_seen_before_and_missing_ones_are_no_trouble() -> None:
    bare = {"company_name": "X LTD", "company_number": "12345678", "company_status": "a-state-of-2031", "news": {}}
    read = answers.profile(bare)
    assert (read.state, read.accounts_overdue, read.accounts_due_on) == ("a-state-of-2031", False, None)
    assert answers.newest_accounts({"items": [{}, 7, {"type": "AA"}]}) is None
    with pytest.raises(Nonsense):
        answers.charges({"total_count": 1, "satisfied_count": 2})
