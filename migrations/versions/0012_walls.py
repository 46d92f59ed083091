"""What a role of the application could still have done with SQL of its own: functions, seals, rights, the chart."""

from migrations.helpers import READER, WEB, require_event, run, wall_functions

revision = "0012"
down_revision = "0011"

# (code, pool, side, guarded, owned by an organisation) as config/chart_of_accounts.toml has it; a test compares.
CHART = (
    ("provider_lender", "lender", 1, False, False),
    ("investor_cash", "lender", -1, True, True),
    ("seller_advance", "lender", -1, True, True),
    ("advance_in_transit", "lender", -1, True, True),
    ("withdrawal_in_transit", "lender", -1, True, True),
    ("provider_borrower", "borrower", 1, False, False),
    ("debtor_receipts", "borrower", -1, True, True),
    ("seller_residual", "borrower", -1, True, True),
    ("residual_in_transit", "borrower", -1, True, True),
    ("suspense", "borrower", -1, True, False),
    ("provider_platform", "platform", 1, False, False),
    ("platform_fees", "platform", -1, False, False),
    ("platform_loss", "platform", 1, False, False),
)


def upgrade() -> None:
    """Close the gaps; nothing here changes what the application itself does."""
    _clock()
    _seals()
    wall_functions()
    _chart()
    _rights()
    require_event("hold_resolution")


def _clock() -> None:
    """The market's clock reads the market's shift, whatever else is called so."""
    run("""
        CREATE OR REPLACE FUNCTION market_now() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE AS
        $$ SELECT pg_catalog.clock_timestamp() + (SELECT shift FROM public.clock_shift) $$""")


def _seals() -> None:
    """A sum that was checked early (SET CONSTRAINTS … IMMEDIATE) is not checked again: what is added later must not
    change it. Postings of an entry come in one statement that balances; fills and shares never exceed their whole.
    """
    run("""
        CREATE OR REPLACE FUNCTION posting_sealed() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (SELECT FROM written JOIN entry ON entry.id = written.entry_id
                       WHERE entry.xact <> pg_current_xact_id()::text) THEN
                RAISE EXCEPTION 'the entry is sealed'
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'posting_sealed';
            END IF;
            IF EXISTS (SELECT FROM written GROUP BY entry_id, currency, pool HAVING sum(minor) <> 0) THEN
                RAISE EXCEPTION 'the entry does not balance'
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'entry_balances';
            END IF;
            RETURN NULL;
        END $$""")
    run("""
        CREATE OR REPLACE FUNCTION fill_with_award() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (SELECT FROM written JOIN award USING (lot_id, round)
                       WHERE award.xact <> pg_current_xact_id()::text) THEN
                RAISE EXCEPTION 'the award is sealed'
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'fill_with_award';
            END IF;
            IF EXISTS (SELECT FROM award JOIN fill USING (lot_id, round)
                       WHERE (lot_id, round) IN (SELECT written.lot_id, written.round FROM written)
                       GROUP BY lot_id, round HAVING sum(fill.cash_minor) > min(award.awarded_minor)) THEN
                RAISE EXCEPTION 'the fills of a lot exceed its award'
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'award_adds_up';
            END IF;
            RETURN NULL;
        END $$""")
    run("""
        CREATE OR REPLACE FUNCTION share_sealed() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (SELECT FROM written JOIN distribution ON distribution.id = written.distribution_id
                       JOIN entry ON entry.id = distribution.entry_id
                       WHERE entry.xact <> pg_current_xact_id()::text) THEN
                RAISE EXCEPTION 'the receipt is sealed'
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'share_sealed';
            END IF;
            IF EXISTS (SELECT FROM distribution JOIN share ON share.distribution_id = distribution.id
                       WHERE distribution.id IN (SELECT written.distribution_id FROM written)
                       GROUP BY distribution.id, received_minor, excess_minor
                       HAVING sum(share.minor) + excess_minor > received_minor) THEN
                RAISE EXCEPTION 'the shares of a receipt exceed it'
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'shares_sum_to_receipt';
            END IF;
            RETURN NULL;
        END $$""")


def _chart() -> None:
    """An account is what the chart says of its code: nobody opens an unguarded one for client money."""
    lines = ", ".join(f"('{c}', '{p}', {s}, {str(g).lower()}, {str(o).lower()})" for c, p, s, g, o in CHART)
    run(f"ALTER TABLE account ADD CONSTRAINT ck_account_chart "
        f"CHECK ((code, pool, side, guarded, organisation_id IS NOT NULL) IN ({lines}))")  # fmt: skip


def _rights() -> None:
    """Letters hold debtors' links, which the reader must not have; the web neither opens nor pays collections."""
    run(f"REVOKE ALL ON outgoing_mail FROM {READER}")
    run(f"REVOKE INSERT, UPDATE ON due FROM {WEB}")
    run(f"REVOKE INSERT ON collection FROM {WEB}")
    run("""
        DO $$ BEGIN EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database()); END $$""")
