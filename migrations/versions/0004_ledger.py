"""Double entry that the database itself keeps: balanced, sealed, append-only, guarded."""

from migrations.helpers import append_only, grant, no_delete, require_event, run

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create accounts, entries, postings, holds, and balances that only triggers write."""
    _tables()
    _entries_balance()
    _postings_are_sealed()
    _balances_follow()
    for table in ("entry", "posting", "hold", "hold_resolution"):
        append_only(table)
        grant(table, web="SELECT, INSERT", worker="SELECT, INSERT")
    append_only("account")
    no_delete("balance")
    grant("account", web="SELECT, INSERT", worker="SELECT, INSERT")
    grant("balance")
    require_event("entry")
    require_event("hold")


def _tables() -> None:
    run("""
        CREATE TABLE account (
            id uuid CONSTRAINT pk_account PRIMARY KEY,
            code text NOT NULL, organisation_id uuid, currency char(3) NOT NULL,
            pool text NOT NULL CHECK (pool IN ('lender', 'borrower', 'platform')),
            side smallint NOT NULL CHECK (side IN (1, -1)), guarded boolean NOT NULL,
            opened_at timestamptz NOT NULL DEFAULT market_now(),
            CONSTRAINT uq_account_code_organisation_id_currency
                UNIQUE NULLS NOT DISTINCT (code, organisation_id, currency),
            CONSTRAINT uq_account_id_currency_pool_side UNIQUE (id, currency, pool, side))""")
    run("""
        CREATE TABLE balance (
            account_id uuid CONSTRAINT pk_balance PRIMARY KEY, guarded boolean NOT NULL,
            posted_minor bigint NOT NULL DEFAULT 0, held_minor bigint NOT NULL DEFAULT 0,
            CONSTRAINT ck_balance_held CHECK (held_minor >= 0),
            CONSTRAINT ck_balance_guarded CHECK (NOT guarded OR posted_minor - held_minor >= 0))""")
    run("""
        CREATE TABLE entry (
            id uuid CONSTRAINT pk_entry PRIMARY KEY, kind text NOT NULL,
            subject_kind text NOT NULL, subject_id uuid NOT NULL, business_on date NOT NULL,
            posted_at timestamptz NOT NULL DEFAULT market_now(),
            reverses_id uuid CONSTRAINT uq_entry_reverses_id UNIQUE
                CONSTRAINT fk_entry_reverses_id REFERENCES entry (id),
            xact text NOT NULL DEFAULT pg_current_xact_id()::text)""")
    run("CREATE INDEX ix_entry_subject_id ON entry (subject_id)")
    run("""
        CREATE TABLE posting (
            entry_id uuid NOT NULL CONSTRAINT fk_posting_entry_id REFERENCES entry (id),
            account_id uuid NOT NULL, currency char(3) NOT NULL, pool text NOT NULL, side smallint NOT NULL,
            minor bigint NOT NULL CONSTRAINT ck_posting_minor CHECK (minor <> 0),
            CONSTRAINT pk_posting PRIMARY KEY (entry_id, account_id),
            CONSTRAINT fk_posting_account_id_currency_pool_side FOREIGN KEY (account_id, currency, pool, side)
                REFERENCES account (id, currency, pool, side))""")
    run("CREATE INDEX ix_posting_account_id ON posting (account_id)")
    run("""
        CREATE TABLE hold (
            id uuid CONSTRAINT pk_hold PRIMARY KEY,
            account_id uuid NOT NULL CONSTRAINT fk_hold_account_id REFERENCES account (id),
            minor bigint NOT NULL CONSTRAINT ck_hold_minor CHECK (minor > 0),
            subject_kind text NOT NULL, subject_id uuid NOT NULL,
            placed_at timestamptz NOT NULL DEFAULT market_now())""")
    run("CREATE INDEX ix_hold_account_id ON hold (account_id)")
    run("CREATE INDEX ix_hold_subject_id ON hold (subject_id)")
    run("""
        CREATE TABLE hold_resolution (
            hold_id uuid CONSTRAINT pk_hold_resolution PRIMARY KEY
                CONSTRAINT fk_hold_resolution_hold_id REFERENCES hold (id),
            outcome text NOT NULL CONSTRAINT ck_hold_resolution_outcome
                CHECK (outcome IN ('posted', 'voided', 'expired')),
            entry_id uuid CONSTRAINT fk_hold_resolution_entry_id REFERENCES entry (id),
            resolved_at timestamptz NOT NULL DEFAULT market_now(),
            CONSTRAINT ck_hold_resolution_entry CHECK ((outcome = 'posted') = (entry_id IS NOT NULL)))""")


def _entries_balance() -> None:
    """One deferred trigger on the entry, not one per posting."""
    run("""
        CREATE FUNCTION entry_balances() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE legs integer; crooked integer;
        BEGIN
            SELECT count(*) INTO legs FROM posting WHERE entry_id = NEW.id;
            SELECT count(*) INTO crooked FROM (
                SELECT FROM posting WHERE entry_id = NEW.id GROUP BY currency, pool HAVING sum(minor) <> 0) AS sums;
            IF legs < 2 OR crooked > 0 THEN
                RAISE EXCEPTION 'entry % does not balance', NEW.id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'entry_balances';
            END IF;
            RETURN NULL;
        END $$""")
    run("""
        CREATE CONSTRAINT TRIGGER entry_balances AFTER INSERT ON entry DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION entry_balances()""")


def _postings_are_sealed() -> None:
    """A posting, and an entry's stamp, belong to the transaction that writes the entry."""
    run("""
        CREATE FUNCTION posting_sealed() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (SELECT FROM written JOIN entry ON entry.id = written.entry_id
                       WHERE entry.xact <> pg_current_xact_id()::text) THEN
                RAISE EXCEPTION 'the entry is sealed'
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'posting_sealed';
            END IF;
            RETURN NULL;
        END $$""")
    run("""
        CREATE TRIGGER posting_sealed AFTER INSERT ON posting REFERENCING NEW TABLE AS written
        FOR EACH STATEMENT EXECUTE FUNCTION posting_sealed()""")
    run("""
        CREATE FUNCTION stamp_xact() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN NEW.xact := pg_current_xact_id()::text; RETURN NEW; END $$""")
    for table in ("entry", "event"):
        run(f"CREATE TRIGGER {table}_stamp BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION stamp_xact()")


def _balances_follow() -> None:
    """Balances are moved by triggers that run as the owner, in account order; no role may write them."""
    run("""
        CREATE FUNCTION account_opens() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
        SET search_path = public, pg_temp AS $$
        BEGIN
            INSERT INTO balance (account_id, guarded) VALUES (NEW.id, NEW.guarded);
            RETURN NULL;
        END $$""")
    run("CREATE TRIGGER account_opens AFTER INSERT ON account FOR EACH ROW EXECUTE FUNCTION account_opens()")
    for name, table, moves in (
        ("posting_moves", "posting", "SELECT account_id, side * minor AS posted, 0 AS held FROM written"),
        ("hold_moves", "hold", "SELECT account_id, 0 AS posted, minor AS held FROM written"),
        ("resolution_moves", "hold_resolution",
         "SELECT hold.account_id, 0 AS posted, -hold.minor AS held FROM written JOIN hold ON hold.id = hold_id"),
    ):  # fmt: skip
        run(f"""
            CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
            SET search_path = public, pg_temp AS $$
            BEGIN
                PERFORM FROM balance WHERE account_id IN (SELECT account_id FROM ({moves}) AS m)
                    ORDER BY account_id FOR UPDATE;
                UPDATE balance SET posted_minor = posted_minor + sums.posted, held_minor = held_minor + sums.held
                FROM (SELECT account_id, sum(posted)::bigint AS posted, sum(held)::bigint AS held
                      FROM ({moves}) AS m GROUP BY account_id) AS sums
                WHERE balance.account_id = sums.account_id;
                RETURN NULL;
            END $$""")
        run(f"CREATE TRIGGER {name} AFTER INSERT ON {table} REFERENCING NEW TABLE AS written "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {name}()")  # fmt: skip
