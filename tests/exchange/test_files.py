"""Files of claims: two markets without a network, and files that nobody should have made."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from config.settings import Exchange
from marketplace.audit.keys import SignerKey
from marketplace.exchange.actions import exported, import_claims, trust_issuer
from marketplace.exchange.claims import key_mark
from marketplace.exchange.claims_file import CONTEXT, Entry, issuer_of, read_file, write_file
from marketplace.exchange.schemas import ImportClaims, TrustIssuer
from marketplace.kernel.errors import InvalidInput, MarketplaceError, RuleBroken
from marketplace.receivables import actions
from marketplace.receivables.relisting import relist_receivable
from marketplace.receivables.relisting_schemas import RelistReceivable
from marketplace.receivables.schemas import WithdrawReceivable
from tests.conftest import HOUSE
from tests.exchange.conftest import CONSORTIUM, Market, exchange_of

Markets = Callable[[str, Exchange], Market]
NORTH, MALLORY = SignerKey("north", b"n" * 32), SignerKey("north", b"m" * 32)
MARK = key_mark(CONSORTIUM)
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
ENTRIES = [Entry(bytes([n]) * 32, "registered") for n in (1, 2)] + [Entry(b"\3" * 32, "released", "repaid")]


@pytest.fixture
def markets_apart(markets: Markets) -> tuple[Market, Market]:
    """Two markets of one consortium that share nothing else; the second takes the first one's files."""
    north, south = (markets(name, exchange_of()) for name in ("north", "south"))
    south.perform(trust_issuer, TrustIssuer(NORTH.verifier.text()), "operator_olga")
    return north, south


def written(market: Market, at: datetime | None = None) -> bytes:
    entries = market.ask(exported)
    return write_file(NORTH, MARK, at or datetime.now(UTC), entries)


def test_a_file_tells_another_market_what_it_may_not_sell(markets_apart: tuple[Market, Market]) -> None:
    north, south = markets_apart
    first, before = north.lists(north.paper()), south.lists(south.paper())
    north.work()
    south.work()
    assert south.stops(before) == []
    raw = written(north)
    assert north.paper().number.encode() not in raw
    done = south.perform(import_claims, ImportClaims(raw, "north"), "operator_olga")
    assert (done["claims"], done["held"]) == (2, 1)
    assert south.stops(before) == ["registered_elsewhere"]
    assert south.state(before) == "held_for_review"
    again = south.perform(import_claims, ImportClaims(raw), "operator_olga")
    assert (again["file_id"], again["changed"], again["held"]) == (done["file_id"], 0, 0)

    later = north.lists(north.paper(number="TPC-7"))
    north.work()
    south.perform(import_claims, ImportClaims(written(north)), "operator_olga")
    after = south.lists(south.paper(number="TPC-7"))
    south.work()
    assert south.stops(after) == ["registered_elsewhere"]  # a listing is compared with files that came before it

    for one in (first, later):
        north.perform(actions.withdraw_receivable, WithdrawReceivable(one, "seller"), "seller_alice")
    newest = written(north)
    assert b'"reason":"withdrawn"' in newest
    south.perform(import_claims, ImportClaims(newest), "operator_olga")
    assert south.stops(before) == south.stops(after) == []
    with pytest.raises(RuleBroken, match="older_file"):
        south.perform(import_claims, ImportClaims(written(north, NOON - timedelta(days=900))), "operator_olga")


def test_what_comes_back_is_compared_with_what_was_said_while_it_was_away(markets_apart: tuple[Market, Market]) -> None:
    """Listed, withdrawn, sold at another market, listed again: the file came while nobody here was asking."""
    north, south = markets_apart
    ours = south.lists(south.paper())
    south.work()
    south.perform(actions.withdraw_receivable, WithdrawReceivable(ours, "seller"), "seller_alice")
    north.lists(north.paper())
    north.work()
    south.perform(import_claims, ImportClaims(written(north)), "operator_olga")
    south.perform(relist_receivable, RelistReceivable(ours), "seller_alice")
    assert south.stops(ours) == ["claims_unchecked"]
    south.work()
    assert south.stops(ours) == ["registered_elsewhere"]
    assert south.state(ours) == "held_for_review"


def test_whose_file_it_is(markets_apart: tuple[Market, Market]) -> None:
    _, south = markets_apart
    good = write_file(NORTH, MARK, NOON, ENTRIES)
    refused = {
        "bad_signature": write_file(MALLORY, MARK, NOON, ENTRIES),
        "unknown_issuer": write_file(SignerKey("east", b"e" * 32), MARK, NOON, ENTRIES),
        "other_consortium": write_file(NORTH, key_mark(b"another key" * 4), NOON, ENTRIES),
        "bad_file": write_file(NORTH, MARK, datetime.now(UTC) + timedelta(days=3), ENTRIES),
    }
    for code, raw in refused.items():
        with pytest.raises(InvalidInput, match=code):
            south.perform(import_claims, ImportClaims(raw), "operator_olga")
    with pytest.raises(InvalidInput, match="unknown_issuer"):
        south.perform(import_claims, ImportClaims(good, "east"), "operator_olga")
    south.perform(import_claims, ImportClaims(good), "operator_olga")
    south.perform(trust_issuer, TrustIssuer(NORTH.verifier.text(), revoke=True), "operator_olga")
    with pytest.raises(InvalidInput, match="unknown_issuer"):
        south.perform(import_claims, ImportClaims(good), "operator_olga")
    with pytest.raises(MarketplaceError, match="not_permitted"):
        south.perform(import_claims, ImportClaims(good), "stranger_mallory")


def signed(body: bytes) -> bytes:
    """Sign a body that the writer would never write."""
    signature = Ed25519PrivateKey.from_private_bytes(NORTH.seed).sign(CONTEXT + body)
    last = {"key": NORTH.verifier.key_id, "signature": base64.b64encode(signature).decode()}
    return body + json.dumps(last).encode() + b"\n"


def lines(*told: Any, **head: Any) -> bytes:
    top = {"duebill_claims": 1, "issuer": "north", "key_mark": MARK, "made_at": "2026-11-22T12:00:00.000000Z",
           "count": len(told)} | head  # fmt: skip
    return b"".join((one if isinstance(one, bytes) else json.dumps(one).encode()) + b"\n" for one in (top, *told))


CLAIM = {"claim": "01" * 32, "state": "registered"}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n\n",
        b"not json\n",
        b"[" * 500,
        b'{"duebill_claims":1}\n',
        signed(lines(duebill_claims=2)),
        signed(lines(count=5)),
        signed(lines(made_at="yesterday")),
        signed(lines(made_at=5)),
        signed(lines(issuer="north\x00")),
        signed(lines(CLAIM, CLAIM)),
        signed(lines({"claim": "02" * 32, "state": "registered"}, CLAIM)),
        signed(lines(CLAIM | {"state": "sold"})),
        signed(lines(CLAIM | {"state": ["registered"]})),
        signed(lines(CLAIM | {"claim": "0" * 63})),
        signed(lines(CLAIM | {"claim": 5})),
        signed(lines(CLAIM | {"reason": "repaid"})),
        signed(lines(CLAIM | {"state": "released"})),
        signed(lines(CLAIM | {"state": "released", "reason": {}})),
        signed(lines(CLAIM | {"owner": "north"})),
        signed(lines(b"{" + b" " * 5_000 + b"}")),
        signed(lines(b'{"a":' * 300)),
        signed(lines(b"\xff\xfe")),
    ],
    ids=range(23),
)
def test_hostile_files_are_refused_in_words(raw: bytes) -> None:
    with pytest.raises(InvalidInput) as refusal:
        issuer_of(raw)
        read_file(raw, NORTH.verifier, MARK)
    assert refusal.value.code in {"bad_file", "bad_signature"}
    assert "%(" not in refusal.value.said()


@settings(max_examples=150)
@given(data=st.data())
def test_no_changed_byte_is_accepted(data: st.DataObject) -> None:
    raw = bytearray(write_file(NORTH, MARK, NOON, ENTRIES))
    at = data.draw(st.integers(0, len(raw) - 2))
    raw[at] ^= data.draw(st.integers(1, 255))
    try:
        read = read_file(bytes(raw), NORTH.verifier, MARK)
    except InvalidInput:
        return
    assert read == read_file(write_file(NORTH, MARK, NOON, ENTRIES), NORTH.verifier, MARK)


def test_a_file_comes_back_as_it_was_written() -> None:
    read = read_file(write_file(NORTH, MARK, NOON, ENTRIES[::-1]), NORTH.verifier, MARK)
    assert (read.issuer, read.made_at, list(read.entries)) == ("north", NOON, ENTRIES)
    assert read_file(write_file(NORTH, MARK, NOON, []), NORTH.verifier, MARK).entries == ()


def test_the_command_line_carries_it_from_one_market_to_another(
    markets_apart: tuple[Market, Market], tmp_path: Path
) -> None:
    north, south = markets_apart
    north.lists(north.paper())
    held = south.lists(south.paper())
    north.work()
    south.work()

    def run(market: Market, *arguments: str) -> tuple[int, str]:
        name = "north" if market is north else "south"
        told = {"PATH": os.environ["PATH"], "DUEBILL_HOME": str(tmp_path / name), "EXCHANGE_KEY": CONSORTIUM.decode(),
                "DATABASE_URL": market.app.config["SQLALCHEMY_DATABASE_URI"], "PYTHONPATH": str(HOUSE)}  # fmt: skip
        command = [sys.executable, "-m", "marketplace", "claims", *arguments, "--json"]
        done = subprocess.run(command, cwd=HOUSE, env=told, capture_output=True, check=False)
        return done.returncode, (done.stdout or done.stderr).decode()

    assert run(north, "export", "--out", str(tmp_path / "a"))[0] == 1  # no key was made yet
    code, said = run(north, "key", "--name", "north-market")
    assert code == 0
    verifier = json.loads(said)["verifier_key"]
    code, said = run(north, "export", "--out", str(tmp_path / "claims"))
    assert (code, json.loads(said)["claims"]) == (0, 2)
    code, said = run(south, "import", str(tmp_path / "claims"))
    assert code == 2
    assert said.startswith("unknown_issuer: ")
    assert run(south, "trust", verifier)[0] == 0
    code, said = run(south, "import", str(tmp_path / "claims"), "--from", "north-market")
    assert (code, json.loads(said)["held"]) == (0, 1)
    assert south.stops(held) == ["registered_elsewhere"]
    told = json.loads(run(south, "state")[1])
    assert (told["exchanged"], told["registry"], told["unasked"]) == (True, None, 2)


REFUSED = [
    "UPDATE outside_claim SET as_of = as_of - interval '1 day'",
    "UPDATE outside_claim SET claim = decode(repeat('00', 32), 'hex')",
    "DELETE FROM outside_claim",
    "UPDATE claims_file SET claims = 0",
    "INSERT INTO claims_file SELECT gen_random_uuid(), issuer, sha256, made_at, 0, 0, 0 FROM claims_file",
    "UPDATE exchange_answer SET known = false, state = 'none'",
    "DELETE FROM exchange_answer",
    "UPDATE exchange_claim SET claim = decode(repeat('00', 32), 'hex')",
    (
        "INSERT INTO exchange_claim (id, receivable_id, claim, key_mark) "
        "SELECT gen_random_uuid(), receivable_id, claim, '' FROM exchange_claim"
    ),
    "UPDATE exchange_claim SET state = 'registered'",
    "UPDATE exchange_watch SET wanted = 'released'",
    "UPDATE exchange_issuer SET name = 'other'",
    "INSERT INTO exchange_registry (one) VALUES (false)",
    "DELETE FROM exchange_registry",
]


def test_the_database_refuses(markets_apart: tuple[Market, Market]) -> None:
    north, south = markets_apart
    north.lists(north.paper())
    south.lists(south.paper())
    north.work()
    south.work()
    south.perform(import_claims, ImportClaims(written(north)), "operator_olga")
    for statement in REFUSED:
        with pytest.raises(psycopg.errors.IntegrityError):
            south.sql_as_owner(statement, resting=False)
    with pytest.raises(psycopg.errors.IntegrityError, match="audit event"):
        south.sql_as_owner("UPDATE exchange_claim SET asked_at = now()", resting=False)


def test_the_wish_follows_the_receivable(markets_apart: tuple[Market, Market]) -> None:
    north, _ = markets_apart
    first = north.lists(north.paper())
    wish = "SELECT wanted, reason FROM exchange_watch WHERE receivable_id = :id"
    assert [tuple(row) for row in north.sql(wish, id=first)] == [("registered", None)]
    north.perform(actions.withdraw_receivable, WithdrawReceivable(first, "seller"), "seller_alice")
    assert [tuple(row) for row in north.sql(wish, id=first)] == [("released", "withdrawn")]
