"""Made-up lots, investors and bids, written as the market leaves them, for the benchmarks of closing and bidding."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from marketplace.kernel.ids import new_id

TARGET, STEP, RESERVE = 4_131_000, 10_000, 850
PURSE = 10**14

SET = "SET session_replication_role = replica"  # what is written is sound, and not what is measured
PARTIES = """
    INSERT INTO organisation (id, kind, legal_name, legal_id, country)
    SELECT id, kind, 'House ' || id, upper(replace(id::text, '-', '')), 'GB'
    FROM unnest(%s::uuid[], %s::text[]) AS made (id, kind)"""
ACCOUNTS = """
    WITH opened AS (
        INSERT INTO account (id, code, organisation_id, currency, pool, side, guarded)
        SELECT gen_random_uuid(), 'investor_cash', id, 'GBP', 'lender', -1, true FROM unnest(%s::uuid[]) AS house (id)
        RETURNING id)
    INSERT INTO balance (account_id, guarded, posted_minor) SELECT id, true, %s FROM opened"""
RECEIVABLES = """
    INSERT INTO receivable (id, ref, seller_id, debtor_id, number, document_type, currency, face_minor, total_minor,
        facts, evidence, deal_type, recourse, price_rule, seller_default, min_share_bps, policy_version, state,
        issued_on, due_on, expected_on, confirmed_at, confirmed_by, keys_version)
    SELECT id, id::text, %(seller)s, %(debtor)s, id::text, '380', 'GBP', 4860000, 4860000, '{}', 'typed',
        'advance', 'full', 'uniform', 'refuse', 8000, 'bench', 'on_auction', market_now()::date - 20,
        market_now()::date + 48, market_now()::date + 50, market_now(), 'debtor', 1000
    FROM unnest(%(ids)s::uuid[]) AS made (id)"""
LOTS = """
    INSERT INTO lot (id, receivable_id, number, seller_id, debtor_id, deal_type, recourse, currency, face_minor,
        advance_bps, target_minor, lot_size_minor, minimum_minor, reserve_bps, indicative_bps, min_share_bps,
        group_cap_bps, fee_bps, late_bps, price_rule, seller_default, expected_on, tenor_days, related_groups,
        debtor_grade, expected_loss_ppm, expected_loss_recourse_ppm, model_version, policy_version, state, opened_at,
        closes_at)
    SELECT id, id, 1, %(seller)s, %(debtor)s, 'advance', 'full', 'GBP', 4860000, 8500, %(target)s, %(step)s, %(step)s,
        %(reserve)s, 735, 8000, 3500, 20, 0, 'uniform', 'refuse', market_now()::date + 50, 50,
        ARRAY[%(seller)s, %(debtor)s]::uuid[], 'A-', 610, 350, 'bench', 'bench', 'open',
        market_now() - interval '1 hour', market_now() + interval '1 day'
    FROM unnest(%(ids)s::uuid[]) AS made (id)"""
BIDS = """
    WITH asked AS (
        SELECT gen_random_uuid() AS id, gen_random_uuid() AS hold_id, lot.id AS lot_id, n,
            (%(houses)s::uuid[])[1 + (n * 7 + abs(hashtext(lot.id::text)) %% 1000) %% cardinality(%(houses)s::uuid[])]
                AS house, 10000 * (5 + (n * 13) %% 40)::bigint AS cash, 500 + (n * 37) %% 340 AS rate
        FROM unnest(%(ids)s::uuid[]) AS lot (id), generate_series(1, %(each)s) AS n),
    held AS (
        INSERT INTO hold (id, account_id, minor, subject_kind, subject_id)
        SELECT hold_id, account.id, cash, 'bid', asked.id FROM asked
        JOIN account ON account.organisation_id = house AND code = 'investor_cash' RETURNING 1)
    INSERT INTO bid (id, lot_id, investor_id, group_id, cash_minor, min_fill_minor, rate_bps, hold_id, placed_by)
    SELECT id, lot_id, house, house, cash, 0, rate, hold_id, id FROM asked"""
FILLED = "organisation, account, balance, receivable, lot"
FOLLOW = """
    UPDATE balance SET held_minor = sums.held
    FROM (SELECT account_id, sum(minor) AS held FROM hold GROUP BY account_id) AS sums
    WHERE balance.account_id = sums.account_id"""


@dataclass(frozen=True)
class Made:
    """What was made: lots by id, investors by their organisations' ids."""

    lots: list[UUID]
    investors: list[UUID]


def make(connection: "psycopg.Connection[Any]", lots: int, investors: int, bids_each: int) -> Made:
    """Write open lots of £41,310 with so many bids each, of investors with cash for all of them."""
    made = Made([new_id() for _ in range(lots)], [new_id() for _ in range(investors)])
    seller, debtor = new_id(), new_id()
    connection.execute(SET)
    houses = [(seller, "seller"), (debtor, "debtor"), *((one, "investor") for one in made.investors)]
    columns = ([one for one, _ in houses], [kind for _, kind in houses])
    connection.execute(PARTIES, columns)
    connection.execute(ACCOUNTS, (made.investors, PURSE))
    terms = {"ids": made.lots, "seller": seller, "debtor": debtor, "target": TARGET, "step": STEP, "reserve": RESERVE}
    connection.execute(RECEIVABLES, terms)
    connection.execute(LOTS, terms)
    filled = FILLED
    if bids_each:
        filled += ", hold, bid"
        connection.execute(BIDS, {"ids": made.lots, "houses": made.investors, "each": bids_each})
        connection.execute(FOLLOW)
    connection.execute("RESET session_replication_role")
    connection.execute(f"ANALYZE {filled}")  # not the empty ones: who plans for none reads a growing table to its end
    return made
