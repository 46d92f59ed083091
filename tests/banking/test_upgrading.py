"""An installation that took bank files before the second rail was whole comes up to the present with what it has."""

import psycopg
from alembic import command

from marketplace.embedded_postgres import EmbeddedPostgres
from marketplace.stack.migration import config_of, migrate
from tests.conftest import OWNER
from tests.trading.world import libpq

NAME = "duebill_upgrading"
# One receipt that a file told of on the 3rd, taken on the 5th, as a version of before leaves it; of nobody's.
BEFORE = """
ALTER TABLE debtor_payment DROP CONSTRAINT fk_debtor_payment_organisation_id,
    DROP CONSTRAINT fk_debtor_payment_receivable_id;
SET session_replication_role = replica;
INSERT INTO debtor_payment (id, organisation_id, receivable_id, currency, amount_minor, words, return_url, state,
    received_minor, received_currency, created_at)
VALUES (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'GBP', 5, '', '', 'succeeded', 5, 'GBP', '2026-06-05');
INSERT INTO bank_entry (id, message_id, iban, key, bank_ref, currency, minor, incoming, reversal, booked_on, words,
    names, outcome, receivable_id, payment_id, entry_id)
SELECT gen_random_uuid(), gen_random_uuid(), 'GB00', 'A', 'A', 'GBP', 5, true, false, '2026-06-03', '', '[]', 'payment',
    receivable_id, id, gen_random_uuid() FROM debtor_payment;
"""


def test_a_receipt_of_before_knows_its_rail_and_its_day(postgres: EmbeddedPostgres, template: str) -> None:
    postgres.drop_database(NAME)
    postgres.create_database(NAME, owner=OWNER)
    command.upgrade(config_of(postgres.url(NAME, OWNER)), "0027")
    with psycopg.connect(libpq(postgres.url(NAME))) as owner:
        owner.execute(BEFORE)
    migrate(postgres.url(NAME, OWNER))
    with psycopg.connect(libpq(postgres.url(NAME))) as owner:
        told = owner.execute("SELECT rail, received_on::text FROM debtor_payment").fetchall()
        resting = owner.execute("SELECT count(*) FROM pg_trigger WHERE tgenabled = 'D'").fetchone()
    postgres.drop_database(NAME)
    assert (told, resting) == ([("bank", "2026-06-03")], (0,))
