"""The signer signs what it hashed itself, and never goes back."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from marketplace.audit.checkpoint import SignerPlace, read_state, rotate_key, sign_once
from marketplace.audit.keys import (
    SignerKey,
    VerifierKey,
    generate_key,
    open_note,
    parse_verifier_key,
    read_key,
    sign_note,
)  # fmt: skip
from marketplace.audit.sequencer import sequence_events
from marketplace.kernel.errors import Conflict, IntegrityBreach, InvalidInput, MarketplaceError

# The example of the C2SP signed-note text and of the reference implementation (Go's sumdb/note).
EXAMPLE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE = (
    "This is an example message.\n\n"
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)


@pytest.fixture
def placed(write: Callable[[int], None], worker: Engine) -> Callable[[int], None]:
    def some(count: int) -> None:
        write(count)
        sequence_events(1000, worker)

    return some


def test_the_published_example_of_a_note_opens() -> None:
    message, signed = open_note(EXAMPLE, [parse_verifier_key(EXAMPLE_KEY)])
    assert message == "This is an example message.\n"
    assert signed[0].key_id == "530d903a"


def test_a_note_signed_by_nobody_known_or_altered_is_refused() -> None:
    key = SignerKey("a.test", b"\1" * 32)
    note = sign_note("three words here\n", [key])
    with pytest.raises(IntegrityBreach):
        open_note(note, [VerifierKey("b.test", key.verifier.public)])
    with pytest.raises(IntegrityBreach):
        open_note(note.replace("three", "thr33"), [key.verifier])


def test_a_key_file_is_for_its_owner_only_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "key"
    key = generate_key(path, "duebill.test/audit")
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_key(path) == key
    with pytest.raises(Conflict):
        generate_key(path, "duebill.test/audit")
    os.chmod(path, 0o640)
    with pytest.raises(IntegrityBreach, match="key_exposed"):
        read_key(path)


def test_a_key_of_the_wrong_form_is_refused() -> None:
    for words in ("", "name", "name+00000000+AAAA", EXAMPLE_KEY.replace("530d", "530e"), EXAMPLE_KEY[:-2]):
        with pytest.raises(InvalidInput, match="bad_key"):
            parse_verifier_key(words)


def test_a_checkpoint_states_size_and_root_and_verifies(
    placed: Callable[[int], None], place: SignerPlace, signer: Engine
) -> None:
    placed(5)
    signed = sign_once(place, signer)
    assert signed is not None
    assert signed.size == 5
    message, _ = open_note(signed.note, [read_key(place.key_file).verifier])
    assert message.splitlines()[:2] == ["duebill.test/audit", "5"]
    with signer.connect() as connection:
        stored = connection.execute(text("SELECT note, key_id FROM checkpoint")).one()
    assert stored.note == signed.note
    assert (place.witnesses[0] / "000000000005.note").read_text() == signed.note
    assert read_state(place) == signed
    assert sign_once(place, signer) is None


def test_a_crash_between_keeping_and_publishing_is_mended(
    placed: Callable[[int], None], place: SignerPlace, signer: Engine, superuser: Callable[..., None]
) -> None:
    placed(3)
    sign_once(place, signer)
    superuser("DELETE FROM checkpoint")
    assert sign_once(place, signer) is None
    with signer.connect() as connection:
        assert connection.execute(text("SELECT size FROM checkpoint")).scalar_one() == 3


def refused(place: SignerPlace, signer: Engine, why: str) -> None:
    before = read_state(place)
    with pytest.raises(MarketplaceError, match=why):
        sign_once(place, signer)
    assert read_state(place) == before


def test_an_altered_event_is_never_signed(
    placed: Callable[[int], None], place: SignerPlace, signer: Engine, superuser: Callable[..., None]
) -> None:
    placed(5)
    superuser("UPDATE event SET body = body || ' ' WHERE id = (SELECT event_id FROM event_order WHERE seq = 3)")
    refused(place, signer, "leaf_differs")


def test_a_lost_tail_is_noticed(
    placed: Callable[[int], None], place: SignerPlace, signer: Engine, superuser: Callable[..., None]
) -> None:
    placed(5)
    sign_once(place, signer)
    superuser("DELETE FROM event_order WHERE seq = 4")
    refused(place, signer, "log_went_back")


def test_a_rewritten_past_is_noticed(
    placed: Callable[[int], None], place: SignerPlace, signer: Engine, superuser: Callable[..., None]
) -> None:
    placed(5)
    sign_once(place, signer)
    superuser("UPDATE event_order SET leaf_hash = sha256('other') WHERE seq = 4")
    placed(1)
    refused(place, signer, "history_rewritten")


def test_a_gap_in_the_order_is_noticed(
    placed: Callable[[int], None], place: SignerPlace, signer: Engine, superuser: Callable[..., None]
) -> None:
    placed(6)
    superuser("DELETE FROM event_order WHERE seq = 2")
    refused(place, signer, "order_not_dense")


def test_a_false_node_in_the_stored_tree_is_noticed(
    placed: Callable[[int], None], place: SignerPlace, signer: Engine, superuser: Callable[..., None]
) -> None:
    placed(4)
    sign_once(place, signer)
    placed(4)
    superuser("UPDATE tree_node SET hash = sha256('other') WHERE level = 2 AND index = 1")
    refused(place, signer, "not_consistent")


def test_two_roots_of_one_size_are_never_published(
    placed: Callable[[int], None], place: SignerPlace, signer: Engine, superuser: Callable[..., None]
) -> None:
    placed(2)
    sign_once(place, signer)
    superuser("UPDATE checkpoint SET root = sha256('other')")
    with pytest.raises(IntegrityBreach, match="two_roots"):
        sign_once(place, signer)


def test_a_rotation_is_signed_by_both_keys(
    placed: Callable[[int], None], place: SignerPlace, signer: Engine, tmp_path: Path
) -> None:
    placed(2)
    sign_once(place, signer)
    old = read_key(place.key_file)
    new = generate_key(tmp_path / "new", "duebill.test/audit")
    note = rotate_key(place, signer, new)
    message, signed = open_note(note, [old.verifier, new.verifier])
    assert {key.key_id for key in signed} == {old.verifier.key_id, new.verifier.key_id}
    assert message.splitlines()[1] == "2"
    placed(1)
    after = sign_once(place, signer)
    assert after is not None
    open_note(after.note, [new.verifier])
    with signer.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM signing_key WHERE rotation IS NOT NULL")).scalar() == 1


def test_the_state_file_is_plain(placed: Callable[[int], None], place: SignerPlace, signer: Engine) -> None:
    placed(1)
    sign_once(place, signer)
    assert set(json.loads(place.state_file.read_text())) == {"size", "root", "note"}
