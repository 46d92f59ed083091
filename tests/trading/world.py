"""People, money and rated receivables for the tests of trading, made through the rooms' own doors where there are any.

What stands before a sale (listing, confirmation, rating) is another room's story: here its rows are written as the
superuser, with triggers resting, exactly as that story leaves them.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb
from sqlalchemy import text

from marketplace.db import db, let_go
from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.kernel.actors import Actor, Role
from marketplace.kernel.ids import new_id
from marketplace.ledger import actions as ledger
from marketplace.ledger.rules import credit, debit
from tests.support import do

PEOPLE = {
    "alice": ("seller", "Penrose Castings Ltd"),
    "kestrel": ("debtor", "Kestrel Aerospace UK Ltd"),
    "bob": ("investor", "Fenwick Lane Capital LLP"),
    "carol": ("investor", "Aldwych Receivables LP"),
    "dave": ("investor", "Thornbury Trade Finance plc"),
    "mallory": ("investor", "Stranger Capital Ltd"),
    "olga": ("operator", "Duebill Operations Ltd"),
    "oscar": ("operator", "Duebill Operations (Second Desk) Ltd"),
}


# The same in all markets of a test process: one may be a copy of another.
IDS, USER_IDS = ({name: new_id() for name in PEOPLE} for _ in range(2))
KEPT_SECONDS = 300.0


@dataclass(frozen=True)
class Kept:
    """What a test process knows of a market that it keeps as a database."""

    result: UUID
    count: int
    hour: int
    until: float


KEPT: dict[tuple[str, str], Kept] = {}


class World:
    """One fresh market: `world.bob` is an actor, `world.id("bob")` his organisation."""

    def __init__(self, postgres: EmbeddedPostgres, database: str) -> None:
        self.postgres = postgres
        self.database = database
        self.ids = IDS
        self.actors = {
            name: Actor(Role(kind), USER_IDS[name], IDS[name]) for name, (kind, _) in PEOPLE.items() if kind != "debtor"
        }
        self.count = 0
        self.touched = False
        with self.superuser() as db:
            for name, (kind, legal_name) in PEOPLE.items():
                db.execute(
                    "INSERT INTO organisation (id, kind, legal_name, legal_id, country, sector) "
                    "VALUES (%s, %s, %s, %s, 'GB', %s)",
                    (
                        self.ids[name],
                        kind,
                        legal_name,
                        f"0{list(PEOPLE).index(name):07d}",
                        "Aerospace and defence",
                    ),
                )

            for name in ("olga", "oscar"):
                db.execute(
                    "INSERT INTO user_account (id, email, display_name, role, organisation_id) "
                    "VALUES (%s, %s, %s, 'operator', %s)",
                    (self.actors[name].user_id, f"{name}@duebill.example", name.capitalize(), self.ids[name]),
                )
        self.touched = False

    def __getattr__(self, name: str) -> Actor:
        try:
            return self.__dict__["actors"][name]
        except KeyError:
            raise AttributeError(name) from None

    def id(self, name: str) -> UUID:
        return self.ids[name]

    @contextmanager
    def superuser(self, resting: bool = True) -> Iterator[psycopg.Connection[Any]]:
        """A connection to the test's database that may write anything; with triggers resting unless asked not to."""
        self.touched = True
        with psycopg.connect(libpq(self.postgres.url(self.database))) as connection:
            if resting:
                connection.execute("SET session_replication_role = replica")
            yield connection

    def untouched(self) -> bool:
        """Whether nothing has happened in this market yet: no verb was performed, nothing was written past them."""
        db.session.rollback()
        return not self.touched and not db.session.execute(text("SELECT count(*) FROM event")).scalar_one()

    def made_once(self, name: str, make: Callable[[], UUID]) -> UUID:
        """Bring this untouched market to where `make` leaves it, and return what `make` returned.

        What `make` left is kept as a database, for the next market of this test process that goes there. It is made
        anew after some minutes, and when the hour strikes: so the copy is as of today, and as far from midnight.
        """
        kept = KEPT.get((self.database, name))
        copy, hour = f"{self.database}_{name}", datetime.now(UTC).hour
        if kept and kept.hour == hour and time.monotonic() < kept.until:
            self._leave()
            self.postgres.drop_database(self.database)
            self.postgres.create_database(self.database, template=copy, owner="duebill_owner")
            self.count, self.touched = kept.count, True
            return kept.result
        result = make()
        self._leave()
        self.postgres.drop_database(copy)
        self.postgres.create_database(copy, template=self.database, owner="duebill_owner")
        KEPT[self.database, name] = Kept(result, self.count, hour, time.monotonic() + KEPT_SECONDS)
        return result

    def _leave(self) -> None:
        """Close all connections of the application: nobody may be connected to what is copied."""
        db.session.remove()
        let_go()

    def somebody_waits(self, least: int = 1) -> None:
        """Return once so many transactions of this market wait for a lock; other markets live on the same server."""
        with self.superuser() as db:
            for _ in range(1_000):
                waiting = db.execute("SELECT count(*) FROM pg_stat_activity "
                                     "WHERE datname = current_database() AND wait_event_type = 'Lock'")  # fmt: skip
                if waiting.fetchall()[0][0] >= least:
                    return
                db.execute("SELECT pg_sleep(0.01)")
                db.commit()  # within one transaction nobody is seen who came to the server after the first look
        raise AssertionError("nobody waits")

    def move_clock(self, by: timedelta) -> None:
        """Move the market's clock, as a demonstration does."""
        with self.superuser() as db:
            db.execute("UPDATE clock_shift SET shift = shift + %s", (by,))

    def leave_the_evening(self) -> None:
        """Go on to the small hours where it is late: what takes an hour or two then falls on one business date."""
        with self.superuser() as db:
            db.execute("UPDATE clock_shift SET shift = shift + interval '4 hours' "
                       "WHERE extract(hour FROM market_now() AT TIME ZONE 'Europe/London') >= 20")  # fmt: skip

    def fund(self, name: str, minor: int, currency: str = "GBP") -> None:
        """Put money into an investor's cash, in the ledger's own way."""
        do(
            lambda tx: str(
                ledger.post_entry(
                    tx,
                    "fund",
                    "funding",
                    new_id(),
                    [
                        debit(ledger.account(tx, "provider_lender", None, currency), minor),
                        credit(ledger.account(tx, "investor_cash", self.ids[name], currency), minor),
                    ],
                )
            )
        )

    def receivable(self, *, face: int = 4_860_000, state: str = "rated", days: int = 50, **changes: Any) -> UUID:
        """Write a receivable as listing, confirmation and rating leave it, title included."""
        receivable_id, self.count = new_id(), self.count + 1
        row = {
            "id": receivable_id,
            "ref": f"DB-26-{self.count:04d}",
            "seller_id": self.ids["alice"],
            "debtor_id": self.ids["kestrel"],
            "number": f"INV-{self.count}",
            "document_type": "380",
            "currency": "GBP",
            "face_minor": face,
            "total_minor": face,
            "purchase_order": None,
            "facts": Jsonb({}),
            "evidence": "typed",
            "sector": "Precision castings",
            "deal_type": "advance",
            "recourse": "full",
            "price_rule": "uniform",
            "seller_default": "refuse",
            "reserve_bps": 850,
            "own_rate_bps": None,
            "min_share_bps": 8_000,
            "policy_version": "test",
            "state": state,
            "confirmed_by": "debtor",
            **changes,
        }
        with self.superuser() as db:
            db.execute(
                "INSERT INTO draft (id, seller_id, evidence, read, findings) VALUES (%s, %s, 'typed', '{}', '{}')",
                (receivable_id, row["seller_id"]),
            )
            columns = ", ".join(row)
            places = ", ".join(f"%({name})s" for name in row)
            db.execute(
                f"INSERT INTO receivable ({columns}, issued_on, due_on, expected_on, confirmed_at) "
                f"VALUES ({places}, market_now()::date - 20, market_now()::date + %(days)s - 2, "
                "market_now()::date + %(days)s, market_now())",
                {**row, "days": days + 1},
            )
            terms = "deal_type, recourse, price_rule, seller_default, reserve_bps, own_rate_bps, min_share_bps"
            db.execute(
                f"INSERT INTO listing_round (receivable_id, round, {terms}, policy_version) "
                f"SELECT id, 1, {terms}, policy_version FROM receivable WHERE id = %s ON CONFLICT DO NOTHING",
                (receivable_id,),
            )
            db.execute(
                "INSERT INTO title (receivable_id, key, face_minor, currency) VALUES (%s, %s, %s, %s)",
                (receivable_id, receivable_id.bytes * 2, face, row["currency"]),
            )
            db.execute(
                "INSERT INTO holding (id, receivable_id, owner_id, units, held_during, cause) "
                "VALUES (%s, %s, %s, int8range(0, %s), tstzrange(market_now(), NULL), 'register')",
                (new_id(), receivable_id, row["seller_id"], face),
            )
        return receivable_id

    def rate(self, receivable_id: UUID) -> None:
        """Write a rating as `rate_receivable` leaves it: debtor A-, seller none, indicative 7.35 %, advance 85 %."""
        filing, party = new_id(), new_id()
        with self.superuser() as db:
            db.execute(
                "INSERT INTO filing (id, organisation_id, filename, size_bytes, sha256, content, company_number, "
                "period_end, dormant, read, faults, filed_by_role) VALUES (%s, %s, 'accounts.html', 0, "
                "encode(sha256(''), 'hex'), '', '00000001', '2025-09-30', false, '{}', '[]', 'system')",
                (filing, self.ids["kestrel"]),
            )
            db.execute(
                "INSERT INTO party_rating (id, organisation_id, filing_id, level, ratios, prior_ppm, floor_ppm, "
                "pd_ppm, grade, challenger_ppm, reasons, missing, model_version, policy_version) "
                "VALUES (%s, %s, %s, 'small', "
                "'{}', 5200, 500, 3400, 'A-', 3000, %s, '[]', 'test', 'test')",
                (
                    party,
                    self.ids["kestrel"],
                    filing,
                    Jsonb([{"ratio": "equity", "words": "Equity is 46 % of assets.", "params": {}, "weight_ppm": -34}]),
                ),
            )
            db.execute(
                "INSERT INTO receivable_rating (id, receivable_id, debtor_rating_id, seller_id, tenor_days, "
                "pd_tenor_ppm, expected_loss_ppm, expected_loss_recourse_ppm, indicative_bps, advance_bps, inputs, "
                "model_version, policy_version) VALUES (%s, %s, %s, %s, 50, 470, 610, 610, 735, 8500, '{}', 'test', "
                "'test')",
                (new_id(), receivable_id, party, self.ids["alice"]),
            )

    def lot(self, *, minutes: int = 60, group_cap: int = 10_000, **changes: Any) -> UUID:
        """Write an open lot as `open_lot` leaves it: £41,310 sought on £48,600, steps of £100, reserve 8.50 %."""
        own = {key: changes.pop(key) for key in ("seller_default", "own_rate_bps", "price_rule") if key in changes}
        receivable_id = self.receivable(state="on_auction", **own)
        lot_id = new_id()
        row = {
            "id": lot_id,
            "receivable_id": receivable_id,
            "number": 1,
            "seller_id": self.ids["alice"],
            "debtor_id": self.ids["kestrel"],
            "deal_type": "advance",
            "recourse": "full",
            "currency": "GBP",
            "face_minor": 4_860_000,
            "advance_bps": 8_500,
            "target_minor": 4_131_000,
            "lot_size_minor": 10_000,
            "minimum_minor": 10_000,
            "reserve_bps": 850,
            "own_rate_bps": None,
            "indicative_bps": 735,
            "min_share_bps": 8_000,
            "group_cap_bps": group_cap,
            "fee_bps": 20,
            "late_bps": 0,
            "price_rule": "uniform",
            "seller_default": "refuse",
            "tenor_days": 50,
            "related_groups": sorted([self.ids["alice"], self.ids["kestrel"], self.ids["olga"]]),
            "debtor_grade": "A-",
            "seller_grade": "B+",
            "expected_loss_ppm": 610,
            "expected_loss_recourse_ppm": 350,
            "model_version": "test",
            "policy_version": "test",
            "state": "open",
            **own,
            **changes,
        }
        with self.superuser() as db:
            columns, places = ", ".join(row), ", ".join(f"%({name})s" for name in row)
            db.execute(
                f"INSERT INTO lot ({columns}, expected_on, opened_at, closes_at) VALUES ({places}, "
                "market_now()::date + 50, market_now() - interval '1 hour', "
                "market_now() + make_interval(mins => %(minutes)s))",
                {**row, "minutes": minutes},
            )
        return lot_id


def libpq(url: str) -> str:
    """Return an address as libpq reads it, from SQLAlchemy's."""
    return url.replace("postgresql+psycopg://", "postgresql://")
