"""The registry as peers meet it: who may ask, who comes first, what survives, what is refused in words."""

import http.client
import json
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from config.settings import CONFIG
from marketplace.exchange.client import Registry, RegistryMistrusted, RegistryRefuses, RegistrySilent
from marketplace.exchange.rules import Answer, Operation
from marketplace.exchange.signing import Credentials, request_signature
from tests.exchange.conftest import RegistryProcess

Registries = Callable[[str], RegistryProcess]
REGISTER, RENEW, FINANCE, RELEASE, QUERY = (
    Operation.REGISTER, Operation.RENEW, Operation.FINANCE, Operation.RELEASE, Operation.QUERY
)  # fmt: skip
FREE, MINE, SOLD = Answer(False, "none", False), Answer(True, "registered", True), Answer(True, "financed", True)
TAKEN, TAKEN_AND_SOLD = Answer(True, "registered", False), Answer(True, "financed", False)


def claim() -> bytes:
    return os.urandom(32)


def send(
    registry: Registry, body: bytes, *, operation: str = "query", seconds: int | None = None,
    nonce: bytes | None = None,
    key_id: str | None = None, signed: bytes | None = None, header: str | None = None,
) -> tuple[int, dict[str, Any], int]:  # fmt: skip
    """Send a request by hand; return the code, what is said, and how long it is."""
    seconds = int(time.time()) if seconds is None else seconds
    nonce, key_id, path = nonce or os.urandom(16), key_id or registry.key_id, f"/v1/{operation}"
    signature = signed or request_signature(registry.secret, "POST", path, key_id, seconds, nonce, body)
    given = Credentials(key_id, seconds, nonce, signature).header() if header is None else header
    connection = http.client.HTTPConnection(urlsplit(registry.url).netloc, timeout=60)
    connection.request("POST", path, body, {"Authorization": given})
    answer = connection.getresponse()
    raw = answer.read()
    connection.close()
    return answer.status, json.loads(raw or b"{}"), len(raw)


def body(*claims: bytes, **more: Any) -> bytes:
    return json.dumps({"v": 1, "mode": "hmac", "claims": [one.hex() for one in claims], **more}).encode()


@pytest.fixture
def registry(registries: Registries) -> RegistryProcess:
    return registries("hmac")


def test_the_life_of_a_claim(registry: RegistryProcess) -> None:
    north, south, one = registry.peer("north"), registry.peer("south"), claim()
    assert north.ask(QUERY, [one]) == [FREE]
    assert north.ask(REGISTER, [one]) == [MINE] == north.ask(REGISTER, [one]) == north.ask(RENEW, [one])
    assert south.ask(REGISTER, [one]) == [TAKEN] == south.ask(QUERY, [one])
    # Nothing that another peer asks for changes it.
    assert south.ask(FINANCE, [one]) == [TAKEN] == south.ask(RENEW, [one])
    assert south.ask(RELEASE, [one], ["error"]) == [TAKEN]
    assert north.ask(FINANCE, [one]) == [SOLD] == north.ask(FINANCE, [one])
    assert south.ask(REGISTER, [one]) == [TAKEN_AND_SOLD]
    registry.clock(timedelta(days=400))  # a financed claim has no lease to lapse
    assert south.ask(REGISTER, [one]) == [TAKEN_AND_SOLD]
    assert north.ask(RELEASE, [one], ["repaid"]) == [FREE]
    assert south.ask(REGISTER, [one]) == [MINE]
    assert north.ask(FINANCE, [one]) == [TAKEN]
    rows = registry.sql("SELECT state, reason FROM registry_claim WHERE claim = %s ORDER BY registered_at", one)
    assert rows == [("released", "repaid"), ("registered", None)]


def test_a_lease_that_is_over_gives_way(registry: RegistryProcess) -> None:
    north, south, one, two = registry.peer("north"), registry.peer("south"), claim(), claim()
    assert north.ask(REGISTER, [one, two]) == [MINE, MINE]
    registry.clock(timedelta(days=13))
    assert north.ask(RENEW, [two]) == [MINE]
    registry.clock(timedelta(days=2))
    assert south.ask(QUERY, [one, two]) == [FREE, TAKEN]
    assert north.ask(RENEW, [one]) == [FREE] == north.ask(FINANCE, [one])  # too late: it has to be registered again
    assert south.ask(REGISTER, [one, two]) == [MINE, TAKEN]
    assert north.ask(REGISTER, [one]) == [TAKEN]
    assert ("released", "lapsed") in registry.sql("SELECT state, reason FROM registry_claim WHERE claim = %s", one)


def test_every_answer_has_one_size(registry: RegistryProcess) -> None:
    north, south = registry.peer("north"), registry.peer("south")
    known, free = claim(), claim()
    north.ask(REGISTER, [known])
    north.ask(FINANCE, [known])
    sizes = {
        send(who, body(one), operation=operation)[2]
        for who in (north, south) for one in (known, free) for operation in ("query", "register", "renew", "finance")
    }  # fmt: skip
    assert sizes == {128 + 64}
    code, told, _ = send(south, body(known))
    assert (code, set(told), set(told["answers"][0])) == (200, {"v", "answers"}, {"known", "state", "yours"})


def test_of_two_peers_exactly_one_comes_first(registry: RegistryProcess) -> None:
    """Forty claims, two peers, eight threads each, every claim asked for by all of them at the same time."""
    peers = {name: registry.peer(name) for name in ("north", "south")}
    wanted = [claim() for _ in range(40)]
    said: dict[str, list[tuple[bytes, Answer]]] = {name: [] for name in peers}
    gate = threading.Barrier(16)

    def run(name: str, turn: int) -> None:
        order = wanted[turn * 5 :] + wanted[: turn * 5]
        gate.wait()
        for at in range(0, len(order), 4):
            batch = order[at : at + 4][:: 1 if turn % 2 else -1]
            said[name] += zip(batch, peers[name].ask(REGISTER, batch), strict=True)

    threads = [threading.Thread(target=run, args=(name, turn)) for name in peers for turn in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    owners: dict[bytes, set[str]] = {one: set() for one in wanted}
    for name, answers in said.items():
        assert len(answers) == 8 * len(wanted)
        for one, answer in answers:
            if answer.yours:
                owners[one].add(name)
    assert Counter(len(names) for names in owners.values()) == {1: len(wanted)}
    live = registry.sql("SELECT count(*), count(DISTINCT claim) FROM registry_claim WHERE state <> 'released'")
    assert live == [(40, 40)]


def test_a_killed_registry_has_lost_nothing(registry: RegistryProcess) -> None:
    north, south = registry.peer("north"), registry.peer("south")
    done: list[bytes] = []
    stopped = threading.Event()

    def register() -> None:
        while not stopped.is_set():
            one = claim()
            try:
                if north.ask(REGISTER, [one]) == [MINE]:
                    done.append(one)
            except (RegistrySilent, RegistryRefuses):
                return

    writers = [threading.Thread(target=register) for _ in range(4)]
    for writer in writers:
        writer.start()
    until = time.monotonic() + 60
    while len(done) < 20 and time.monotonic() < until:
        time.sleep(0.01)
    registry.kill()
    stopped.set()
    for writer in writers:
        writer.join()
    with pytest.raises(RegistrySilent, match="unreachable"):
        south.ask(QUERY, [claim()])
    registry.start()
    assert done
    for at in range(0, len(done), 100):
        assert set(south.ask(QUERY, done[at : at + 100])) == {TAKEN}


def test_what_is_not_signed_rightly_is_refused_alike(registry: RegistryProcess) -> None:
    north, one = registry.peer("north"), claim()
    other = registry.peer("south")
    good = body(one)
    stranger = replace(north, secret=b"not the secret")
    refusals = [
        send(north, good, header=""),
        send(north, good, header="Bearer nothing"),
        send(north, good, header="Duebill1 " + "x" * 5_000),
        send(stranger, good),
        send(north, good, key_id="k-000000000000"),
        send(north, good, key_id=other.key_id),
        send(north, good, signed=bytes(32)),
        send(north, body(claim()), signed=request_signature(
            north.secret, "POST", "/v1/query", north.key_id, int(time.time()), bytes(16), good)),
    ]  # fmt: skip
    assert {json.dumps(refusal) for refusal in refusals} == {json.dumps((401, {"error": "unsigned"}, 128))}
    with pytest.raises(RegistryRefuses, match="unsigned"):
        stranger.ask(QUERY, [one])


def test_a_request_is_answered_once_and_in_its_time(registry: RegistryProcess) -> None:
    north, one, nonce = registry.peer("north"), claim(), os.urandom(16)
    now = int(time.time())
    assert send(north, body(one), operation="register", nonce=nonce, seconds=now)[0] == 200
    assert send(north, body(one), operation="register", nonce=nonce, seconds=now)[:2] == (409, {"error": "replayed"})
    # The same signature for another operation is no signature at all.
    assert send(north, body(one), operation="query", nonce=nonce, seconds=now, signed=request_signature(
        north.secret, "POST", "/v1/register", north.key_id, now, nonce, body(one)))[0] == 401  # fmt: skip
    for late in (now - 200, now + 200):
        assert send(north, body(one), seconds=late)[:2] == (401, {"error": "expired"})
    told = registry.sql("SELECT convert_from(body, 'UTF8')::jsonb -> 'after' ->> 'refused' FROM event "
                        "WHERE verb = 'answer_peer' ORDER BY line")  # fmt: skip
    assert [row[0] for row in told] == [None, "replayed", "expired", "expired"]


CROOKED = [
    (b"", "bad_v"),
    (b"[]", "bad_v"),
    (b"\xff", "bad_v"),
    (b"[" * 60_000, "bad_v"),
    (b'{"v":2}', "bad_v"),
    (b'{"v":1,"mode":"oblivious","claims":[]}', "bad_mode"),
    (b'{"v":1,"mode":"hmac"}', "bad_claims"),
    (b'{"v":1,"mode":"hmac","claims":[]}', "bad_claims"),
    (b'{"v":1,"mode":"hmac","claims":["zz"]}', "bad_claims"),
    (b'{"v":1,"mode":"hmac","claims":[{}]}', "bad_claims"),
    (b'{"v":1,"mode":"hmac","claims":"' + b"a" * 64 + b'"}', "bad_claims"),
    (json.dumps({"v": 1, "mode": "hmac", "claims": ["ab" * 32] * 2}).encode(), "bad_claims"),
    (json.dumps({"v": 1, "mode": "hmac", "claims": ["ab" * 31 + "é1"]}).encode(), "bad_claims"),
    (json.dumps({"v": 1, "mode": "hmac", "claims": ["ab" * 31 + " a"]}).encode(), "bad_claims"),
    (json.dumps({"v": 1, "mode": "hmac", "claims": [f"{n:064x}" for n in range(101)]}).encode(), "bad_claims"),
]


def test_crooked_bodies_are_refused_in_words(registry: RegistryProcess) -> None:
    north = registry.peer("north")
    for raw, error in CROOKED:
        code, told, size = send(north, raw)
        assert (code, told["error"], size) == (400, error, 512), raw[:60]
        assert told["words"].endswith(".")


def test_a_body_too_large_and_an_operation_unknown(registry: RegistryProcess) -> None:
    north = registry.peer("north")
    assert send(north, b"x" * 70_000)[0] == 413
    assert send(north, body(claim()), operation="delete")[:2] == (404, {"error": "unknown_operation"})
    assert send(north, body(claim()), operation="evaluate")[1]["error"] == "bad_elements"
    release = send(north, body(claim(), reasons=["because"]), operation="release")
    assert release[1]["error"] == "bad_reasons"
    assert send(north, body(claim()), operation="release")[1]["error"] == "bad_reasons"


def test_a_revoked_key_asks_nothing_more_and_a_further_one_does(registry: RegistryProcess) -> None:
    (told,), one = registry.command("peer", "add", "north"), claim()
    old = Registry(registry.url, told["key_id"], told["secret"].encode())
    assert old.ask(REGISTER, [one]) == [MINE]
    new = registry.peer("north")
    assert new.ask(QUERY, [one]) == [MINE]  # the peer's, whichever key it signs with
    assert registry.command("peer", "revoke", old.key_id)[0]["key_id"] == old.key_id
    with pytest.raises(RegistryRefuses, match="unsigned"):
        old.ask(QUERY, [one])
    assert new.ask(FINANCE, [one]) == [SOLD]
    assert "revoked" in registry.command("peer", "revoke", old.key_id)
    listed = registry.command("peer", "list")
    assert [(row["name"], bool(row["revoked_at"]), row["financed"]) for row in listed] == [
        ("north", True, 1), ("north", False, 1)]  # fmt: skip
    assert not any("secret" in row for row in listed)


def test_a_peer_asks_only_so_often(registry: RegistryProcess, tmp_path: Path) -> None:
    """Counted a minute and an hour, so with few enough that a busy machine does not need longer than that."""
    registry.stop()
    registry.policy = tmp_path / "policy.toml"
    words = re.sub(r"requests_per_minute_max = \d+", "requests_per_minute_max = 10",
                   (CONFIG / "policy.toml").read_text(encoding="utf-8"))  # fmt: skip
    registry.policy.write_text(re.sub(r"claims_per_hour_max = [\d_]+", "claims_per_hour_max = 500", words))
    registry.start()
    north, south = registry.peer("north"), registry.peer("south")
    with pytest.raises(RegistryRefuses, match="too_many_claims"):
        for _ in range(6):
            north.ask(QUERY, [claim() for _ in range(100)])
    assert south.ask(QUERY, [claim()]) == [FREE]
    with pytest.raises(RegistryRefuses, match="too_many_requests"):
        for _ in range(21):  # more than two minutes allow, should the one end in between
            south.ask(RENEW, [claim()])


def test_the_registry_stays_in_its_mode(registry: RegistryProcess) -> None:
    registry.stop()
    registry.mode = "oblivious"
    with pytest.raises(AssertionError, match="other_mode"):
        registry.start()


def test_an_answer_that_the_registry_did_not_sign_is_not_believed(registry: RegistryProcess) -> None:
    north = registry.peer("north")
    with pytest.raises(RegistryMistrusted, match="other_mode"):
        replace(north, mode="oblivious", public_key=bytes(32)).about()
    with pytest.raises(RegistrySilent, match=r"no_registry|nonsense"):
        replace(north, url=north.url + "/elsewhere").about()


# -- what the database refuses, whatever the code believes -------------------------------------------------------------


REFUSED = [
    (
        "INSERT INTO registry_claim (id, claim, peer_id, leased_until) SELECT gen_random_uuid(), claim, peer_id, now() "
        "FROM registry_claim"
    ),
    "UPDATE registry_claim SET claim = decode(repeat('00', 32), 'hex')",
    "UPDATE registry_claim SET peer_id = gen_random_uuid()",
    "UPDATE registry_claim SET state = 'financed', leased_until = NULL",
    "UPDATE registry_claim SET state = 'released', leased_until = NULL, released_at = now()",
    "UPDATE registry_claim SET leased_until = NULL",
    "DELETE FROM registry_claim",
    "UPDATE registry_peer SET name = 'other'",
    "UPDATE registry_key SET peer_id = gen_random_uuid()",
    "UPDATE registry_book SET mode = 'oblivious'",
    "INSERT INTO registry_book (mode, one) VALUES ('hmac', false)",
    "INSERT INTO registry_nonce SELECT * FROM registry_nonce",
]


def test_the_database_refuses(registry: RegistryProcess) -> None:
    registry.peer("north").ask(REGISTER, [claim()])
    for statement in REFUSED:
        with pytest.raises(psycopg.errors.IntegrityError):
            registry.sql(statement)


def test_a_claim_is_not_released_without_an_event(registry: RegistryProcess) -> None:
    registry.peer("north").ask(REGISTER, [claim()])
    with pytest.raises(psycopg.errors.IntegrityError, match="audit event"):
        registry.sql("UPDATE registry_claim SET state = 'released', leased_until = NULL, released_at = now(), "
                     "reason = 'error'")  # fmt: skip
