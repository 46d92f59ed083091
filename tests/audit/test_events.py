"""Events of many subjects at once: the same bytes as if each had been written alone."""

from datetime import UTC, datetime
from unittest.mock import patch
from uuid import UUID

import psycopg
import pytest
from flask import Flask
from sqlalchemy.orm import Session

from marketplace.audit.events import JSON_INSTANT, JSON_TEXT, NUL, _alike, event_row, form, write_events
from marketplace.db import db, driver
from marketplace.kernel.actors import Actor, Role
from marketplace.kernel.canonical import canonical_bytes
from marketplace.kernel.errors import InvalidInput
from marketplace.kernel.ids import new_id

AT = datetime(2026, 10, 2, 14, 32, 7, 120_000, tzinfo=UTC)
GIVEN = {"verb": "close_lots", "actor": Actor.system("test"), "subject_kind": "lot", "policy_version": "1"}


@pytest.mark.parametrize("told", ["open", 'a "word"', "\x00", 'x"\x00"', '"id":"'])
def test_events_that_differ_in_nothing_but_their_subject_have_the_bytes_of_events_written_alone(told: str) -> None:
    changes = {"before": {"state": told}, "after": {"state": "closed_failed", "at": AT, "seq": 7}, "reason": None}
    subjects: list[tuple[UUID, dict[str, object]]] = [(new_id(), changes) for _ in range(5)]
    rows = _alike(AT, subjects, **GIVEN)
    assert [row["subject_id"] for row in rows] == [subject for subject, _ in subjects]
    assert len({row["id"] for row in rows}) == len(rows)
    for row in rows:
        alone = event_row(AT, subject_id=row["subject_id"], changes=changes, **GIVEN)
        assert alone.keys() == row.keys()
        facts = {name: part for name, part in row.items() if name != "body"}
        stated = {name: part for name, part in changes.items() if part is not None}
        assert row["body"] == canonical_bytes(facts | stated | {"policy_version": "1", "format": 1})
        assert row["body"] == alone["body"].replace(str(alone["id"]).encode(), str(row["id"]).encode())


@pytest.mark.parametrize("policy_version", ["1", "100 %b", "of 'two' words {}"])
def test_a_form_that_the_database_fills_in_has_the_bytes_of_an_event_written_alone(
    app: Flask, policy_version: str
) -> None:
    actor = Actor(Role.INVESTOR, new_id(), new_id())
    after = {"lot_id": new_id(), "minor": 2**53 - 1, "rate": 7, "none": None, "subject_id": new_id()}
    alone = event_row(AT, verb="place_bid", actor=actor, subject_kind="bid", subject_id=new_id(),
                      changes={"after": after}, policy_version=policy_version)  # fmt: skip
    ids = {name: part for name, part in alone.items() if isinstance(part, UUID)}
    ids |= {f"after.{name}": part for name, part in after.items() if isinstance(part, UUID)}
    values = {name: JSON_TEXT.format(f"'{one}'") for name, one in ids.items()}
    values |= {"at": JSON_INSTANT.format(f"'{AT.isoformat()}'::timestamptz"), "on_behalf_of": "'null'",
               "after.minor": "9007199254740991::bigint", "after.rate": "7", "after.none": "'null'"}  # fmt: skip
    body = form("place_bid", "investor", "bid", tuple(after), policy_version).filled(values)
    with app.app_context(), driver(db.engine) as connection:
        assert psycopg.RawCursor(connection).execute(f"SELECT {body}").fetchone() == (alone["body"],)


def test_a_text_that_no_pack_could_tell_is_not_written() -> None:
    unused: Session = None  # type: ignore[assignment]  # refused before anything is sent
    for told in ("\x00", "a\x00b", "\\\x00"):
        subjects = [(new_id(), {"reason": told})]
        with patch("marketplace.audit.events.market_now", return_value=AT), pytest.raises(InvalidInput):
            write_events(unused, subjects=subjects, **GIVEN)
    assert not NUL.search(canonical_bytes({"reason": "\\u0000 as somebody types it"}))
