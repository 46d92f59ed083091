"""P9: one receipt shared out over 100,000 holdings, against a bare COPY of as many rows.

Timed is the market's own verb from the first lock to the commit: the dues read, the late charge accrued, the pure
waterfall, one entry, shares, dues paid, events, every deferred constraint. The debtor pays part of the face on the due
date: every holder is owed principal and discount, and gets a share of principal. COPY writes a row for every share,
posting and due that changes, into a table that nothing watches; as many statements of one row each are timed beside it.
"""

import time
from collections.abc import Iterator
from uuid import UUID

from bench.figures import Figure, Say, middle, ratio
from bench.lots import make
from bench.server import application, database, server
from bench.settle import copied, row_by_row
from marketplace.db import let_go
from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.kernel.actors import Actor
from marketplace.payments import chargebacks
from marketplace.perform import Result, Tx, Verb, perform
from marketplace.servicing.actions import apply_debtor_payment
from marketplace.servicing.schemas import ApplyDebtorPayment

HOLDINGS, COPY_MOST = 100_000, 15.0
SINGLE_ROWS_MOST = 2_000
PRINCIPAL, DISCOUNT = 40_013, 331
SYSTEM = Actor.system("bench")
FUNDED = """
    INSERT INTO collection (receivable_id, lot_id, seller_id, debtor_id, currency, face_minor, rate_bps, late_rate_bps,
        due_on, expected_on, late_charged_to, policy_version)
    SELECT receivable_id, id, seller_id, debtor_id, 'GBP', %(face)s, 700, 700, expected_on, expected_on, expected_on,
        'bench' FROM lot;
    UPDATE receivable SET state = 'funded', face_minor = %(face)s, total_minor = %(face)s;
    INSERT INTO title (receivable_id, key, face_minor, currency)
        SELECT receivable_id, sha256('bench'), %(face)s, 'GBP' FROM lot;
    INSERT INTO due (id, receivable_id, step, party_id, position, due_minor)
        SELECT gen_random_uuid(), lot.receivable_id, made.step, account.organisation_id, 0, made.minor
        FROM lot, account, (VALUES ('principal', %(principal)s), ('discount', %(discount)s)) AS made (step, minor)
        WHERE account.code = 'investor_cash';
    INSERT INTO due (id, receivable_id, step, party_id, position, due_minor)
        SELECT gen_random_uuid(), receivable_id, 'residual', seller_id, 1, %(rest)s FROM lot"""


def measure(size: int | None, runs: int, say: Say) -> Iterator[Figure]:
    """Yield P9: ours ÷ COPY, a statement a row ÷ ours among its parts; `size` holdings, 100,000 by default."""
    holdings = size or HOLDINGS
    ours, copies, singles = [], [], []
    rows = 3 * holdings
    with server(holdings * 15_000 + 200_000_000, say) as postgres:
        for run in range(runs):
            name = f"waterfall_{run}"
            with application(database(postgres, name), postgres.directory).app_context():
                payment = _paid(postgres, name, holdings)
                began = time.perf_counter()
                done = perform(apply_debtor_payment, ApplyDebtorPayment(payment), SYSTEM)
                ours.append(time.perf_counter() - began)
                assert done["excess_minor"] == 0, done
                copies.append(copied(postgres, name, rows))
                few = min(rows, SINGLE_ROWS_MOST)
                singles.append(row_by_row(postgres, name, few) * rows / few)
                let_go()
            postgres.drop_database(name)
            say(f"run {run + 1}: {holdings:,} holdings in {ours[-1]:.2f} s, COPY {copies[-1]:.2f} s, "
                f"row by row {singles[-1]:.1f} s")  # fmt: skip
    each = ratio(singles, ours)
    parts = {"holdings": holdings, "rows": rows, "ours_s": middle(ours), "copy_s": middle(copies),
             "row_by_row_s": middle(singles), "row_by_row_to_ours": each}  # fmt: skip
    copy = ratio(ours, copies)
    yield Figure("P9", copy, COPY_MOST, copy <= COPY_MOST, runs, parts)


def _paid(postgres: EmbeddedPostgres, name: str, holdings: int) -> UUID:
    """Write one funded receivable with so many holders, and a payment of 60 % of its face that has arrived."""
    owed = holdings * (PRINCIPAL + DISCOUNT)
    face = owed * 10 // 8
    with postgres.connect(name) as connection:
        lot = make(connection, 1, holdings, 0).lots[0]
        connection.execute("SET session_replication_role = replica")
        figures = {"face": face, "principal": PRINCIPAL, "discount": DISCOUNT, "rest": face - owed}
        for statement in FUNDED.split(";"):
            connection.execute(statement, figures)
        connection.execute(
            "INSERT INTO holding (id, receivable_id, owner_id, units, held_during, cause) SELECT gen_random_uuid(), "
            "receivable_id, seller_id, int8range(0, %s), tstzrange(market_now(), NULL), 'award' FROM lot", (face,)
        )  # fmt: skip
        row = connection.execute("SELECT debtor_id FROM lot").fetchone()
        connection.execute("RESET session_replication_role")
        connection.execute("ANALYZE")
    assert row is not None

    def arrives(tx: Tx, _: None) -> Result:
        payment, _ = chargebacks.arrives(tx, row[0], lot, "GBP", face * 6 // 10, "bench", received_on=tx.today)
        return {"payment_id": payment}

    made = perform(Verb("bench", arrives, frozenset({SYSTEM.role})), None, SYSTEM)
    return UUID(made["payment_id"])
