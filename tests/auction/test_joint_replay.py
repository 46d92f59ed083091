"""A session's transcript can be computed again, whole or as one lot sees it, and a changed one is found out."""

import json

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from auction.errors import BookInvalid, TranscriptUnreadable
from auction.joint import Session
from auction.joint_replay import run_jointly
from auction.replay import canonical, replay, sha256
from marketplace.cli import market
from tests.auction.books import a_bid, a_book
from tests.auction.sessions import a_session, sessions


def two_lots() -> Session:
    """Ann bids 10 on each of two lots and has 12; Bob bids 10 on the second at a worse rate."""
    first = a_book({**a_bid("a1", 600, 10, seq=1), "investor": "ann"}, lot="one", face_minor=10, target_minor=10)
    ann, bob = {**a_bid("a2", 600, 10, seq=1), "investor": "ann"}, {**a_bid("b2", 650, 10, seq=2), "investor": "bob"}
    second = a_book(ann, bob, lot="two", face_minor=10, target_minor=10)
    return a_session([(first, "d1", "s1"), (second, "d1", "s2")], budgets={"ann": 12})


@given(sessions(min_fills=True), st.randoms(use_true_random=False))
def test_whatever_order_a_session_is_kept_in_its_transcript_is_the_same(session: Session, random: object) -> None:
    lots = list(session.lots)
    random.shuffle(lots)  # type: ignore[attr-defined]
    again = run_jointly("s", Session(tuple(lots), session.budgets, session.debtor_limits, session.seller_limits))
    outcome = run_jointly("s", session)
    assert canonical(again.transcript) == canonical(outcome.transcript)
    for transcript in (outcome.transcript, *outcome.lots.values()):
        assert replay(canonical({**transcript, "sha256": sha256(transcript)})).reproduces


def test_a_changed_fill_and_a_changed_budget_are_found_out() -> None:
    outcome = run_jointly("s", two_lots())
    told = json.loads(canonical(outcome.lots["two"]))
    assert told["result"]["awarded_minor"] == 10
    told["result"]["fills"][0]["cash_minor"] += 1
    assert replay(canonical(told)).difference == "result.fills[0].cash_minor: states 3, computed 2"
    told = json.loads(canonical(outcome.transcript))
    told["session"]["budgets"][0][1] = 20
    assert not replay(canonical(told)).reproduces


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda session: session.update(budgets=[["ann", -1]]), "session.budgets[0]"),
        (lambda session: session.update(budgets=[["ann", 1], ["ann", 2]]), "session.budgets[1]"),
        (lambda session: session["lots"][0].pop("debtor"), "session.lots[0]"),
        (lambda session: session["lots"][0]["book"].pop("face_minor"), "session.lots[0].face_minor"),
        (lambda session: session.pop("id"), "session.id"),
    ],
)
def test_a_session_that_cannot_be_read_names_its_faults(change: object, path: str) -> None:
    told = json.loads(canonical(run_jointly("s", two_lots()).transcript))
    change(told["session"])  # type: ignore[operator]
    with pytest.raises(BookInvalid) as refused:
        replay(canonical(told))
    assert path in [fault.path for fault in refused.value.faults]


def test_what_no_solver_proved_cannot_be_computed_again() -> None:
    told = json.loads(canonical(run_jointly("s", two_lots()).transcript))
    told["clearing"]["path"] = "greedy"
    with pytest.raises(TranscriptUnreadable, match="no solver"):
        replay(canonical(told))


def test_the_command_replays_it(tmp_path: object) -> None:
    file = tmp_path / "session.json"  # type: ignore[operator]
    file.write_bytes(canonical(run_jointly("s", two_lots()).transcript))
    done = CliRunner().invoke(market, ["auction", "replay", str(file), "--json"])
    assert (done.exit_code, json.loads(done.stdout)["reproduces"]) == (0, True)
