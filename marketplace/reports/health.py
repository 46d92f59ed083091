"""How the installation is: what a probe asks before it sends people here, and what is measured over time."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations" / "versions"
REVISION = re.compile(r'^revision = "(\w+)"', re.MULTILINE)
EARLIER = re.compile(r'^down_revision = "(\w+)"', re.MULTILINE)
SILENT_SECONDS_MAX = 60

BANK_UNEXPLAINED = (
    "SELECT currency, sum(unexplained_minor) FROM (SELECT DISTINCT ON (iban, currency) * FROM bank_reconciliation "
    "ORDER BY iban, currency, at DESC) AS last GROUP BY currency"
)
# name: (what it means, the labels, a statement that returns the labels and then the value)
GAUGES: dict[str, tuple[str, tuple[str, ...], str]] = {
    "duebill_clock_silent_seconds": (
        "Real seconds since whoever keeps time last said so.", (),
        "SELECT extract(epoch FROM clock_timestamp() - seen_at) FROM job_leader",
    ),
    "duebill_clock_election": ("Fencing token of the newest election.", (), "SELECT token FROM job_leader"),
    "duebill_job_last_run_seconds": (
        "Seconds since a job last began, by the market's clock.", ("job",),
        "SELECT job, extract(epoch FROM market_now() - started_at) FROM job_state WHERE started_at IS NOT NULL",
    ),
    "duebill_job_rows": ("Things a job has done, ever.", ("job",), "SELECT job, rows_ever FROM job_state"),
    "duebill_job_runs": ("Runs of a job, ever.", ("job",), "SELECT job, runs FROM job_state"),
    "duebill_job_failures": ("Failures of a job, ever.", ("job",), "SELECT job, failures FROM job_state"),
    "duebill_job_undone": (
        "Things a job could not do and has not done since.", ("job",),
        "SELECT job, (SELECT count(*) FROM job_failure f WHERE f.job = s.job AND cleared_at IS NULL) FROM job_state s",
    ),
    "duebill_calls_waiting": (
        "Calls to the payment provider by state.", ("state",),
        "SELECT state, count(*) FROM outgoing_call WHERE state IN ('pending', 'sent', 'unknown') GROUP BY state",
    ),
    "duebill_notices_waiting": (
        "Webhooks that were kept and not worked on.", (),
        "SELECT count(*) FROM incoming_event WHERE state = 'received'",
    ),
    "duebill_alerts_open": (
        "Things about payments that a person must look at.", ("kind",),
        "SELECT kind, count(*) FROM payment_alert WHERE closed_at IS NULL GROUP BY kind",
    ),
    "duebill_suspense_minor": (
        "Money that fits nowhere, in minor units.", ("currency",),
        "SELECT currency, posted_minor FROM account JOIN balance ON account_id = account.id WHERE code = 'suspense'",
    ),
    "duebill_unexplained_minor": (
        "What the last reconciliation could not explain, in minor units.", ("currency",),
        "SELECT DISTINCT ON (currency) currency, unexplained_minor FROM reconciliation ORDER BY currency, at DESC",
    ),
    "duebill_bank_unexplained_minor": (
        "What the last comparison with the bank's statements could not explain, in minor units.", ("currency",),
        BANK_UNEXPLAINED,
    ),
    "duebill_events_unsequenced": (
        "Audit events without a place in the log.", (),
        "SELECT count(*) FROM event LEFT JOIN event_order ON event_id = event.id WHERE event_id IS NULL",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Readiness:
    """Whether people may be sent here, and if not, why. `leader_silent_seconds` is None without a database."""

    database: bool
    migrations: bool
    clock: bool
    leader_silent_seconds: int | None

    @property
    def ready(self) -> bool:
        """All of it."""
        return self.database and self.migrations and self.clock


@cache
def newest_migration() -> str:
    """Return the revision that this code needs: the one that no other follows, whatever the files are called."""
    told = [path.read_text(encoding="utf-8") for path in MIGRATIONS.glob("[0-9]*.py")]
    earlier = {found[1] for words in told if (found := EARLIER.search(words))}
    (newest,) = {found[1] for words in told if (found := REVISION.search(words))} - earlier
    return newest


def readiness(session: Session) -> Readiness:
    """Ask the database for its schema's revision and for who keeps time; never raises for a database that is away."""
    try:
        revision = session.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
        if revision != newest_migration():
            return Readiness(True, False, False, None)
        found = session.execute(
            text(
                "SELECT token > 0 AS led, greatest(0, floor(extract(epoch FROM clock_timestamp() - seen_at)))::int "
                "AS silent FROM job_leader"
            )
        ).one()
    except SQLAlchemyError:
        session.rollback()
        return Readiness(False, False, False, None)
    return Readiness(True, True, found.led and found.silent <= SILENT_SECONDS_MAX, found.silent)


def gauges(session: Session) -> dict[str, list[tuple[tuple[str, ...], float]]]:
    """Return what is measured in the database: name → (label values, value)."""
    return {
        name: [(tuple(str(word) for word in row[:-1]), float(row[-1])) for row in session.execute(text(statement))]
        for name, (_, _, statement) in GAUGES.items()
    }
