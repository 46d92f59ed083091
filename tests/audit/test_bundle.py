"""A regulator proves the log from one file; nothing altered, left out, moved or added later passes."""

import csv
import hashlib
import io
import json
import os
import random
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import Engine, text

from marketplace.audit import verify
from marketplace.audit.bundle import BundleFile, BundleOrder, export_bundle, verify_bundle
from marketplace.audit.checkpoint import SignerPlace, checkpoint_text, rotate_key, sign_once
from marketplace.audit.keys import SignerKey, generate_key, read_key, sign_note
from marketplace.audit.merkle import Frontier, leaf_hash
from marketplace.audit.sequencer import sequence_events
from marketplace.kernel.errors import InvalidInput, NotFound, RuleBroken
from marketplace.ledger.rules import chart
from tests.audit import market

# More of them: DUEBILL_MUTATIONS=30000.
FLIPS = int(os.environ.get("DUEBILL_MUTATIONS", "3000"))
EDITS = FLIPS // 10


@dataclass
class Log:
    """A signed log, and what exports it."""

    worker: Engine
    signer: Engine
    place: SignerPlace
    folder: Path

    @property
    def key(self) -> str:
        return read_key(self.place.key_file).verifier.text()

    def sign(self) -> None:
        while sequence_events(1_000, self.worker):
            pass
        sign_once(self.place, self.signer)

    def export(self, **wanted: object) -> BundleFile:
        return export_bundle(self.worker, self.folder / "bundle.zip", BundleOrder(**wanted))  # type: ignore[arg-type]


@pytest.fixture
def log(
    app: Flask,
    worker: Engine,
    signer: Engine,
    place: SignerPlace,
    tmp_path: Path,
    superuser: Callable[..., None],
) -> Log:
    made = Log(worker, signer, place, tmp_path)
    with app.app_context():
        market.build(superuser)
    made.sign()
    return made


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as bundle:
        return {name: bundle.read(name) for name in bundle.namelist()}


def rebuilt(path: Path, parts: dict[str, bytes], *, manifest: bool = True) -> Path:
    """Write a bundle again, as a forger with the source would: with a sound manifest and a sound seal."""
    forged = path.with_name("forged.zip")
    if manifest:
        parts = {name: body for name, body in parts.items() if name != "MANIFEST"}
        told = "".join(f"{hashlib.sha256(body).hexdigest()}  {name}\n" for name, body in parts.items())
        parts["MANIFEST"] = told.encode()
    with zipfile.ZipFile(forged, "w") as bundle:
        for name, body in parts.items():
            bundle.writestr(name, body)
        bundle.comment = verify.SEAL + b"0" * 64
    raw = forged.read_bytes()[: -len(verify.SEAL) - 64]
    forged.write_bytes(raw + verify.SEAL + hashlib.sha256(raw).hexdigest().encode())
    return forged


def wrong(path: Path, key: str, previous: str | None = None) -> str:
    report = verify_bundle(path, key, previous)
    assert report["ok"] is False, "a forged bundle was accepted"
    return str(report["wrong"])


def edited(parts: dict[str, bytes], name: str, pattern: str, put: str) -> dict[str, bytes]:
    """Change the first place in a member that matches."""
    body, count = re.subn(pattern.encode(), put.encode(), parts[name], count=1)
    assert count == 1, f"{pattern} is not in {name}"
    return parts | {name: body}


def refold(parts: dict[str, bytes], key: SignerKey) -> dict[str, bytes]:
    """Hash and sign the events of a bundle anew, as one who holds the signing key could."""
    frontier, leaves = Frontier(), []
    for line in parts["events.jsonl"].splitlines():
        leaves.append(leaf_hash(line[line.index(b'"event":') + 8 : -1]))
        frontier.append(leaves[-1])
    about = json.loads(parts["bundle.json"])
    about |= {"size": frontier.size, "last_seq": frontier.size, "root": frontier.root().hex(), "previous": None}
    note = sign_note(checkpoint_text(key.name, frontier.size, frontier.root()), [key])
    point = json.dumps({"size": frontier.size, "note": note}) + "\n"
    return parts | {
        "leaves.bin": b"".join(leaves),
        "bundle.json": json.dumps(about).encode(),
        "checkpoints.jsonl": point.encode(),
    }


# -- what is sound passes -----------------------------------------------------------------------------------------


def test_a_sound_bundle_verifies_and_says_what_it_looked_at(log: Log) -> None:
    made = log.export()
    report = verify_bundle(made.path, log.key)
    assert report["ok"], report
    looked_at = {check["name"]: check["looked_at"] for check in report["checks"]}
    assert looked_at["ledger"] == 4
    assert looked_at["title"] == 8
    assert looked_at["awards"] == 1
    assert looked_at["bodies"] == made.size == made.events
    assert made.file_hash == hashlib.sha256(made.path.read_bytes()).hexdigest()


def test_the_verifier_in_the_bundle_runs_alone(log: Log, tmp_path: Path) -> None:
    made = log.export()
    alone = tmp_path / "elsewhere"
    alone.mkdir()
    (alone / "verify.py").write_bytes(members(made.path)["verify.py"])
    (alone / "key").write_text(log.key)
    command = [sys.executable, "-I", "verify.py", str(made.path), "--key", "key"]
    done = subprocess.run(command, cwd=alone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Whole and consistent" in done.stdout
    spoiled = tmp_path / "spoiled.zip"
    spoiled.write_bytes(made.path.read_bytes()[:-1])
    done = subprocess.run([*command[:3], str(spoiled), *command[4:], "--json"], cwd=alone, capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.returncode == 1
    assert json.loads(done.stdout)["ok"] is False


def test_the_verifiers_chart_is_the_markets(log: Log) -> None:
    markets = {code: (kind.pool, kind.side, kind.guarded) for code, kind in chart().items()}
    assert markets == verify.CHART


def test_csv_and_json_lines_say_the_same_and_are_safe_to_open(log: Log) -> None:
    parts = members(log.export().path)
    rows = [json.loads(line) for line in parts["packs/journal/posting.jsonl"].splitlines()]
    sheet = list(csv.DictReader(io.StringIO(parts["packs/journal/posting.csv"].decode())))
    assert [row["minor"] for row in sheet] == [str(row["minor"]) for row in rows]
    assert verify.cell("=cmd()") == "'=cmd()"


def test_an_earlier_checkpoint_is_extended(log: Log, worker: Engine, write: Callable[[int], None]) -> None:
    with worker.connect() as connection:
        kept = connection.execute(text("SELECT size, note FROM checkpoint")).one()
    write(7)
    log.sign()
    made = log.export(previous_size=kept.size)
    report = verify_bundle(made.path, log.key, kept.note)
    assert report["ok"], report
    assert "consistency" in {check["name"] for check in report["checks"]}


def test_a_bundle_of_a_period_carries_every_leaf_and_an_opening_state(
    log: Log, superuser: Callable[..., None], app: Flask
) -> None:
    whole = verify_bundle(log.export().path, log.key)
    superuser("UPDATE event SET at = at - interval '1 day'")
    with app.app_context():
        market.build(superuser)
    log.sign()
    made = log.export(from_at=datetime.now(UTC) - timedelta(hours=1))
    assert made.events < made.size
    report = verify_bundle(made.path, log.key)
    assert report["ok"], report
    parts = members(made.path)
    assert len(parts["leaves.bin"]) == 32 * made.size
    assert json.loads(parts["bundle.json"])["opening_state"] == whole["closing_state"]
    assert any("opening state" in words for words in report["not_proved"])


def test_a_rotation_keeps_the_old_key_and_the_new_one_good(
    log: Log, signer: Engine, write: Callable[[int], None], tmp_path: Path
) -> None:
    old = log.key
    rotate_key(log.place, signer, generate_key(tmp_path / "new", "duebill.test/audit"))
    write(3)
    log.sign()
    made = log.export()
    assert verify_bundle(made.path, old)["ok"]
    assert verify_bundle(made.path, log.key)["ok"]


def test_nothing_signed_nothing_to_export(app: Flask, worker: Engine, tmp_path: Path) -> None:
    with pytest.raises(RuleBroken, match="nothing_signed"):
        export_bundle(worker, tmp_path / "b.zip", BundleOrder())


def test_an_impossible_order_is_refused(log: Log) -> None:
    with pytest.raises(InvalidInput, match="empty_period"):
        log.export(from_at=datetime(2100, 1, 1, tzinfo=UTC))
    with pytest.raises(NotFound, match="no_such_checkpoint"):
        log.export(previous_size=10_000)


# -- what is not sound is named -----------------------------------------------------------------------------------


def test_no_flipped_bit_no_cut_and_no_swap_of_bytes_passes(log: Log) -> None:
    made = log.export()
    raw = made.path.read_bytes()
    chance = random.Random(1)
    forged = made.path.with_name("forged.zip")
    for number in range(FLIPS):
        spoiled = bytearray(raw)
        at = chance.randrange(len(raw))
        if number % 3 == 0:
            spoiled[at] ^= 1 << chance.randrange(8)
        elif number % 3 == 1:
            del spoiled[at : at + chance.choice((1, 50, len(raw)))]
        else:
            other = chance.randrange(len(raw))
            spoiled[at], spoiled[other] = spoiled[other], spoiled[at]
        if bytes(spoiled) != raw:
            forged.write_bytes(spoiled)
            assert wrong(forged, log.key)


def test_no_edit_of_a_line_passes_even_with_a_sound_manifest_and_seal(log: Log) -> None:
    made = log.export()
    parts = members(made.path)
    chance = random.Random(2)
    names = [name for name in parts if parts[name].strip() and not name.startswith(("README", "verify", "MANIFEST"))]
    proved = [name for name in names if not name.startswith("packs") or name.rpartition(".")[0] in verify.PROVED]
    tried = 0
    while tried < EDITS:
        name = chance.choice(proved)
        lines = parts[name].splitlines(keepends=True) if name != "leaves.bin" else _slices(parts[name])
        spoiled = list(lines)
        at = chance.randrange(len(lines))
        match chance.randrange(4):
            case 0:
                del spoiled[at]
            case 1:
                spoiled.insert(at, chance.choice(lines))
            case 2:
                other = chance.randrange(len(lines))
                spoiled[at], spoiled[other] = spoiled[other], spoiled[at]
            case _:
                body = bytearray(spoiled[at])
                body[chance.randrange(len(body))] ^= 1 << chance.randrange(7)
                spoiled[at] = bytes(body)
        if b"".join(spoiled) == parts[name] or name == "bundle.json":
            continue
        tried += 1
        forged = rebuilt(made.path, parts | {name: b"".join(spoiled)})
        assert wrong(forged, log.key), name


def _slices(raw: bytes) -> list[bytes]:
    return [raw[i : i + 32] for i in range(0, len(raw), 32)]


FORGERIES = [
    ("an altered body", "events.jsonl", '"minor":500000', '"minor":500001', "event .* does not hash to its leaf"),
    ("a gap", "events.jsonl", r'\{"seq":3,[^\n]*\n', "", "event 3 is missing or out of place"),
    ("a false row", "packs/journal/posting.jsonl", '"minor":500000', '"minor":900000', "CSV and JSON lines differ"),
    ("a lost file", "MANIFEST", r"[^\n]*events.jsonl\n", "", "MANIFEST does not list"),
    ("a false file", "MANIFEST", r"\w{64}  README", "0" * 64 + "  README", "README.txt is not the file"),
    ("a false count", "bundle.json", r'"place_hold":\d+', '"place_hold":9', "counts by verb"),
    ("another log", "bundle.json", "duebill.test/audit", "duebill.test/other", "not a checkpoint of"),
    ("another root", "bundle.json", '"root":"....', '"root":"0000', "another root"),
    ("a rotation from nowhere", "keys.jsonl", '"rotation":null', '"rotation":"x"', "without a rotation"),
    ("another period", "bundle.json", r'"last_seq":\d+', '"last_seq":5', "beyond the period"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "member", "pattern", "put", "words"), FORGERIES, ids=[f[0] for f in FORGERIES])
def test_each_forgery_is_named(log: Log, name: str, member: str, pattern: str, put: str, words: str) -> None:
    made = log.export()
    parts = edited(members(made.path), member, pattern, put)
    assert re.search(words, wrong(rebuilt(made.path, parts, manifest=member != "MANIFEST"), log.key))


def test_a_row_false_in_both_forms_is_named(log: Log) -> None:
    made = log.export()
    parts = edited(members(made.path), "packs/title/holding.jsonl", '"beyond_unit":500000', '"beyond_unit":400000')
    parts = edited(parts, "packs/title/holding.csv", ",500000,", ",400000,")
    assert "beyond_unit of event" in wrong(rebuilt(made.path, parts), log.key)


def test_a_fork_signed_by_another_key_is_named(log: Log) -> None:
    made = log.export()
    parts = members(made.path)
    forger = SignerKey("duebill.test/audit", b"\5" * 32)
    told = json.dumps({"verifier_key": forger.verifier.text(), "rotation": None}) + "\n"
    forged = rebuilt(made.path, refold(parts | {"keys.jsonl": told.encode()}, forger))
    assert "the key you gave" in wrong(forged, log.key)


def test_a_fork_signed_by_the_stolen_key_is_named_by_the_checkpoint_that_was_kept(log: Log, worker: Engine) -> None:
    with worker.connect() as connection:
        kept = connection.execute(text("SELECT note FROM checkpoint")).scalar_one()
    made = log.export()
    parts = edited(members(made.path), "events.jsonl", '"reason":"case 1"', '"reason":"case 2"')
    forged = rebuilt(made.path, refold(parts, read_key(log.place.key_file)))
    assert "your checkpoint" in wrong(forged, log.key, kept)


def test_a_log_that_went_back_is_named(log: Log, worker: Engine, write: Callable[[int], None]) -> None:
    early = log.export().path.read_bytes()
    write(2)
    log.sign()
    with worker.connect() as connection:
        kept = connection.execute(text("SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1")).scalar_one()
    path = log.folder / "early.zip"
    path.write_bytes(early)
    assert "the bundle was built before it, or the log went backwards" in wrong(path, log.key, kept)
    for no_checkpoint in ("", "one line", "duebill\nmany\n", f"{log.key}\n"):
        assert wrong(path, log.key, no_checkpoint) == "what --previous names is no checkpoint"


# The signer himself lies: everything is hashed and signed anew, and only the replay can tell.
LIES = [
    ("money from nowhere", r'"minor":500000,("organisation_id":null)', r'"minor":500001,\1', "does not balance"),
    ("a client account overdrawn", r'"minor":200000,"subject_id"', '"minor":900000,"subject_id"', "dips to"),
    ("an unknown account", '"code":"provider_lender"', '"code":"petty_cash"', "no account petty_cash"),
    ("a hold from nowhere", r'"holds_posted":\["........', '"holds_posted":["00000000', "is not open"),
    ("title given twice", r',0,500000\]\]', ",0,600000]]", "sum to 600000, not to 500000"),
    ("units of another's", '"first_unit":100000', '"first_unit":400000', "by one who does not hold them"),
    ("more units than are said to go", '"units":50000', '"units":60000', "other units of .* moved"),
    ("a sale of what was sold", '"cause":"buy_back"', '"cause":"award"', "is sold twice"),
    ("another award", '"stop_out_bps":700', '"stop_out_bps":650', "stop_out_bps"),
    ("a bid that was not placed so", r'"rate_bps":650,"replaces|"rate_bps":650,"seq"', '"rate_bps":640,"seq"', "bid"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "pattern", "put", "words"), LIES, ids=[lie[0] for lie in LIES])
def test_a_lie_in_the_log_itself_is_named_by_the_replay(
    log: Log, name: str, pattern: str, put: str, words: str
) -> None:
    made = log.export()
    parts = edited(members(made.path), "events.jsonl", pattern, put)
    forged = rebuilt(made.path, refold(parts, read_key(log.place.key_file)))
    assert re.search(words, wrong(forged, log.key))


def test_a_table_edited_behind_the_logs_back_is_named(log: Log, superuser: Callable[..., None]) -> None:
    superuser("UPDATE posting SET minor = minor * 2")
    assert "the event says" in wrong(log.export().path, log.key)


def test_an_entry_without_an_event_is_named(log: Log, superuser: Callable[..., None]) -> None:
    superuser("INSERT INTO entry (id, kind, subject_kind, subject_id, business_on) "
              "VALUES (gen_random_uuid(), 'x', 'x', gen_random_uuid(), current_date)")  # fmt: skip
    superuser("INSERT INTO posting SELECT (SELECT id FROM entry WHERE kind = 'x'), id, currency, pool, side, 5 "
              "FROM account LIMIT 1")  # fmt: skip
    assert "has no event" in wrong(log.export().path, log.key)


def test_a_lost_holding_is_named(log: Log, superuser: Callable[..., None]) -> None:
    superuser("DELETE FROM holding WHERE id = (SELECT id FROM holding LIMIT 1)")
    assert re.search("lacks a row|missing or added|the event says", wrong(log.export().path, log.key))
