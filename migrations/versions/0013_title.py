"""Title that changes hands again: offers between investors, buy-backs, a withdrawn claim that comes back."""

from migrations.helpers import (
    append_only,
    grant,
    keep_columns,
    no_delete,
    require_event,
    run,
    state_machine,
    wall_functions,
)

revision = "0013"
down_revision = "0012"

COLLECTION_STATES = (
    "'due', 'paid_in_part', 'overdue', 'defaulted', 'recovered', 'settled', 'written_off', 'bought_back'"
)
COLLECTION_MOVES = (
    "('due','paid_in_part'), ('due','overdue'), ('due','settled'), ('due','defaulted'), ('due','bought_back'), "
    "('paid_in_part','overdue'), ('paid_in_part','settled'), ('paid_in_part','defaulted'), "
    "('paid_in_part','bought_back'), ('overdue','settled'), ('overdue','defaulted'), ('overdue','bought_back'), "
    "('defaulted','recovered'), ('defaulted','settled'), ('defaulted','written_off'), ('defaulted','bought_back'), "
    "('recovered','settled'), ('recovered','written_off'), ('recovered','bought_back')"
)
# (code, pool, side, guarded, owned by an organisation): the chart of 0012 and what sellers put in to buy back with.
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
    ("seller_cash", "borrower", -1, True, True),
    ("suspense", "borrower", -1, True, False),
    ("provider_platform", "platform", 1, False, False),
    ("platform_fees", "platform", -1, False, False),
    ("platform_loss", "platform", 1, False, False),
)


def upgrade() -> None:
    """Create the tables, then the triggers that keep offers within what is held and buy-backs whole."""
    _sold_once()
    _returns()
    _offers()
    _offers_are_held()
    _buyers_are_allowed()
    _buy_backs()
    _buy_backs_are_whole()
    _collections_end_bought_back()
    _money()
    wall_functions()


def _sold_once() -> None:
    """All pieces of a receivable's award begin at one instant: there is never a second award."""
    run("""
        ALTER TABLE holding ADD CONSTRAINT ex_holding_sold_once
        EXCLUDE USING gist (receivable_id WITH =, lower(held_during) WITH <>) WHERE (cause = 'award')""")


def _returns() -> None:
    """A receivable comes back only after it left, once for each time, never after it was sold."""
    run("""
        CREATE TABLE title_return (
            receivable_id uuid NOT NULL CONSTRAINT fk_title_return_receivable_id REFERENCES title (receivable_id),
            at timestamptz NOT NULL DEFAULT market_now(), reason_code text NOT NULL,
            CONSTRAINT pk_title_return PRIMARY KEY (receivable_id, at))""")
    run("""
        CREATE FUNCTION returns_after_leaving() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM FROM title WHERE receivable_id = NEW.receivable_id FOR UPDATE;
            IF (SELECT count(*) FROM title_return WHERE receivable_id = NEW.receivable_id)
               >= (SELECT count(*) FROM tombstone WHERE receivable_id = NEW.receivable_id)
               OR EXISTS (SELECT FROM holding WHERE receivable_id = NEW.receivable_id AND cause <> 'register')
               OR EXISTS (SELECT FROM title WHERE receivable_id = NEW.receivable_id AND ended_at IS NOT NULL) THEN
                RAISE EXCEPTION 'receivable % cannot come back', NEW.receivable_id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'returns_after_leaving';
            END IF;
            RETURN NEW;
        END $$""")
    run("CREATE TRIGGER returns_after_leaving BEFORE INSERT ON title_return "
        "FOR EACH ROW EXECUTE FUNCTION returns_after_leaving()")  # fmt: skip
    append_only("title_return")
    grant("title_return", web="SELECT, INSERT", worker="SELECT, INSERT")
    require_event("title_return")


def _offers() -> None:
    run("""
        CREATE TABLE holding_offer (
            id uuid CONSTRAINT pk_holding_offer PRIMARY KEY,
            receivable_id uuid NOT NULL CONSTRAINT fk_holding_offer_receivable_id REFERENCES title (receivable_id),
            owner_id uuid NOT NULL CONSTRAINT fk_holding_offer_owner_id REFERENCES organisation (id),
            units int8range NOT NULL CONSTRAINT ck_holding_offer_units
                CHECK (NOT isempty(units) AND lower(units) >= 0 AND lower_inc(units) AND NOT upper_inc(units)),
            currency char(3) NOT NULL,
            price_minor bigint NOT NULL CONSTRAINT ck_holding_offer_price CHECK (price_minor > 0),
            principal_minor bigint NOT NULL CONSTRAINT ck_holding_offer_principal CHECK (principal_minor >= 0),
            to_come_minor bigint NOT NULL,
            fee_bps integer NOT NULL CONSTRAINT ck_holding_offer_fee_bps CHECK (fee_bps BETWEEN 0 AND 10000),
            policy_version text NOT NULL,
            offered_by uuid NOT NULL,
            offered_at timestamptz NOT NULL DEFAULT market_now(),
            refusal_until timestamptz,
            closes_at timestamptz NOT NULL,
            state text NOT NULL DEFAULT 'open',
            ended_at timestamptz, end_reason text,
            buyer_id uuid CONSTRAINT fk_holding_offer_buyer_id REFERENCES organisation (id),
            fee_minor bigint CONSTRAINT ck_holding_offer_fee CHECK (fee_minor BETWEEN 0 AND price_minor),
            acknowledged text[] NOT NULL DEFAULT '{}',
            entry_id uuid CONSTRAINT fk_holding_offer_entry_id REFERENCES entry (id),
            CONSTRAINT ck_holding_offer_to_come CHECK (to_come_minor >= principal_minor AND price_minor <= to_come_minor),
            CONSTRAINT ck_holding_offer_closes CHECK (closes_at > offered_at
                AND (refusal_until IS NULL OR (refusal_until > offered_at AND refusal_until < closes_at))),
            CONSTRAINT ck_holding_offer_ended CHECK ((state = 'open') = (ended_at IS NULL)),
            CONSTRAINT ck_holding_offer_accepted CHECK (
                (state = 'accepted') = (buyer_id IS NOT NULL) AND (state = 'accepted') = (entry_id IS NOT NULL)
                AND (state = 'accepted') = (fee_minor IS NOT NULL) AND buyer_id IS DISTINCT FROM owner_id),
            CONSTRAINT ck_holding_offer_times CHECK (
                (state <> 'accepted' OR ended_at < closes_at) AND (state <> 'expired' OR ended_at >= closes_at)),
            CONSTRAINT ex_holding_offer_one_open
                EXCLUDE USING gist (receivable_id WITH =, units WITH &&) WHERE (state = 'open'))""")
    state_machine(
        "holding_offer",
        "'open', 'accepted', 'withdrawn', 'expired', 'void'",
        "('open','accepted'), ('open','withdrawn'), ('open','expired'), ('open','void')",
    )
    keep_columns("holding_offer", "id", "receivable_id", "owner_id", "units", "currency", "price_minor",
                 "principal_minor", "to_come_minor", "fee_bps", "policy_version", "offered_by", "offered_at",
                 "refusal_until", "closes_at")  # fmt: skip
    no_delete("holding_offer")
    require_event("holding_offer")
    run("CREATE INDEX ix_holding_offer_state_closes_at ON holding_offer (state, closes_at)")
    run("CREATE INDEX ix_holding_offer_owner_id ON holding_offer (owner_id)")
    run("CREATE INDEX ix_holding_offer_receivable_id ON holding_offer (receivable_id)")
    grant("holding_offer", web="SELECT, INSERT, UPDATE", worker="SELECT, INSERT, UPDATE")


def _offers_are_held() -> None:
    """At every commit an open offer is of units that its owner holds; both sides take the title's row lock first."""
    run("""
        CREATE FUNCTION open_offers_are_held() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NOT EXISTS (SELECT FROM holding_offer WHERE receivable_id = NEW.receivable_id AND state = 'open') THEN
                RETURN NULL;
            END IF;
            PERFORM FROM title WHERE receivable_id = NEW.receivable_id FOR UPDATE;
            IF EXISTS (
                SELECT FROM holding_offer AS offer WHERE offer.receivable_id = NEW.receivable_id AND offer.state = 'open'
                AND NOT coalesce((SELECT range_agg(holding.units) @> offer.units FROM holding
                    WHERE holding.receivable_id = offer.receivable_id AND holding.owner_id = offer.owner_id
                    AND upper_inf(holding.held_during)), false)) THEN
                RAISE EXCEPTION 'an offer of % is for units that its owner does not hold', NEW.receivable_id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'open_offers_are_held';
            END IF;
            RETURN NULL;
        END $$""")
    for table in ("holding", "holding_offer"):
        run(f"CREATE CONSTRAINT TRIGGER {table}_offers_are_held AFTER INSERT OR UPDATE ON {table} "
            f"DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION open_offers_are_held()")  # fmt: skip


def _buyers_are_allowed() -> None:
    """Who buys is an investor, in time, and not of the groups that its auction kept out."""
    run("""
        CREATE FUNCTION offer_buyer_allowed() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF market_now() >= NEW.closes_at OR NOT EXISTS (
                SELECT FROM organisation AS buyer JOIN lot ON lot.receivable_id = NEW.receivable_id
                WHERE buyer.id = NEW.buyer_id AND buyer.kind = 'investor' AND lot.state = 'settled'
                AND NOT coalesce(buyer.group_id, buyer.id) = ANY (lot.related_groups)) THEN
                RAISE EXCEPTION '% may not buy offer %', NEW.buyer_id, NEW.id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'offer_buyer_allowed';
            END IF;
            RETURN NEW;
        END $$""")
    run("CREATE TRIGGER offer_buyer_allowed BEFORE UPDATE OF state ON holding_offer FOR EACH ROW "
        "WHEN (NEW.state = 'accepted' AND NEW.buyer_id IS NOT NULL AND NEW.buyer_id <> NEW.owner_id) "
        "EXECUTE FUNCTION offer_buyer_allowed()")  # fmt: skip


def _buy_backs() -> None:
    run("""
        CREATE TABLE buy_back (
            id uuid CONSTRAINT pk_buy_back PRIMARY KEY,
            receivable_id uuid NOT NULL CONSTRAINT fk_buy_back_receivable_id REFERENCES collection (receivable_id),
            seller_id uuid NOT NULL CONSTRAINT fk_buy_back_seller_id REFERENCES organisation (id),
            currency char(3) NOT NULL,
            reason text NOT NULL CONSTRAINT ck_buy_back_reason
                CHECK (reason IN ('recourse', 'dispute', 'dilution', 'warranty', 'voluntary')),
            note text, asked_at timestamptz NOT NULL DEFAULT market_now(), asked_by uuid, pay_by date,
            state text NOT NULL DEFAULT 'asked',
            ended_at timestamptz, priced_on date,
            principal_minor bigint, discount_minor bigint, late_minor bigint, fee_minor bigint, price_minor bigint,
            entry_id uuid CONSTRAINT uq_buy_back_entry_id UNIQUE
                CONSTRAINT fk_buy_back_entry_id REFERENCES entry (id),
            CONSTRAINT ck_buy_back_pay_by CHECK ((reason = 'voluntary') = (pay_by IS NULL)),
            CONSTRAINT ck_buy_back_ended CHECK ((state = 'asked') = (ended_at IS NULL)),
            CONSTRAINT ck_buy_back_paid CHECK (num_nonnulls(priced_on, principal_minor, discount_minor, late_minor,
                fee_minor, price_minor, entry_id) = CASE WHEN state = 'paid' THEN 7 ELSE 0 END),
            CONSTRAINT ck_buy_back_price CHECK (price_minor > 0 AND principal_minor >= 0 AND discount_minor >= 0
                AND late_minor >= 0 AND fee_minor >= 0
                AND price_minor = principal_minor + discount_minor + late_minor + fee_minor))""")
    state_machine("buy_back", "'asked', 'paid', 'withdrawn'", "('asked','paid'), ('asked','withdrawn')")
    keep_columns("buy_back", "id", "receivable_id", "seller_id", "currency", "reason", "note", "asked_at", "asked_by",
                 "pay_by")  # fmt: skip
    no_delete("buy_back")
    require_event("buy_back")
    run("CREATE UNIQUE INDEX uq_buy_back_receivable_id_live ON buy_back (receivable_id) WHERE state <> 'withdrawn'")
    run("CREATE INDEX ix_buy_back_seller_id ON buy_back (seller_id)")
    run("CREATE INDEX ix_buy_back_receivable_id ON buy_back (receivable_id)")
    grant("buy_back", web="SELECT, INSERT, UPDATE", worker="SELECT, INSERT, UPDATE")
    run("""
        CREATE TABLE buy_back_share (
            id uuid CONSTRAINT pk_buy_back_share PRIMARY KEY,
            buy_back_id uuid NOT NULL CONSTRAINT fk_buy_back_share_buy_back_id REFERENCES buy_back (id),
            step text NOT NULL CONSTRAINT ck_buy_back_share_step
                CHECK (step IN ('costs', 'principal', 'discount', 'late_charge', 'platform_fee')),
            party_id uuid,
            minor bigint NOT NULL CONSTRAINT ck_buy_back_share_minor CHECK (minor > 0),
            CONSTRAINT ck_buy_back_share_party CHECK ((party_id IS NULL) = (step IN ('costs', 'platform_fee'))),
            CONSTRAINT uq_buy_back_share_buy_back_id_step_party_id
                UNIQUE NULLS NOT DISTINCT (buy_back_id, step, party_id))""")
    run("CREATE INDEX ix_buy_back_share_party_id ON buy_back_share (party_id)")
    append_only("buy_back_share")
    grant("buy_back_share", web="SELECT, INSERT", worker="SELECT, INSERT")


def _buy_backs_are_whole() -> None:
    """What is paid sums to the price, and nothing is added to it later; a collection ends so only when it was paid."""
    run("""
        CREATE FUNCTION buy_back_adds_up() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE total numeric; wanted bigint; paid text;
        BEGIN
            SELECT price_minor, state INTO wanted, paid FROM buy_back WHERE id = NEW.id FOR UPDATE;
            SELECT coalesce(sum(minor), 0) INTO total FROM buy_back_share WHERE buy_back_id = NEW.id;
            IF total <> coalesce(wanted, 0) THEN
                RAISE EXCEPTION 'the shares of buy-back % sum to %, not to its price %', NEW.id, total, wanted
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'buy_back_adds_up';
            END IF;
            IF paid = 'paid' AND NOT EXISTS (
                    SELECT FROM collection WHERE receivable_id = NEW.receivable_id AND state = 'bought_back') THEN
                RAISE EXCEPTION 'buy-back % is paid and its collection goes on', NEW.id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'buy_back_ends_collection';
            END IF;
            RETURN NULL;
        END $$""")
    run("""
        CREATE CONSTRAINT TRIGGER buy_back_adds_up AFTER INSERT OR UPDATE ON buy_back
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION buy_back_adds_up()""")
    run("""
        CREATE FUNCTION buy_back_share_sealed() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (SELECT FROM written JOIN buy_back ON buy_back.id = written.buy_back_id
                       WHERE buy_back.state <> 'asked') THEN
                RAISE EXCEPTION 'the buy-back is sealed'
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'buy_back_share_sealed';
            END IF;
            RETURN NULL;
        END $$""")
    run("""
        CREATE TRIGGER buy_back_share_sealed AFTER INSERT ON buy_back_share REFERENCING NEW TABLE AS written
        FOR EACH STATEMENT EXECUTE FUNCTION buy_back_share_sealed()""")
    run("""
        CREATE FUNCTION bought_back_was_paid() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NOT EXISTS (SELECT FROM buy_back WHERE receivable_id = NEW.receivable_id AND state = 'paid')
               OR EXISTS (SELECT FROM holding WHERE receivable_id = NEW.receivable_id AND upper_inf(held_during)
                          AND owner_id <> NEW.seller_id)
               OR EXISTS (SELECT FROM due WHERE receivable_id = NEW.receivable_id AND step <> 'residual'
                          AND due_minor <> paid_minor) THEN
                RAISE EXCEPTION 'the buy-back of % is not whole', NEW.receivable_id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'bought_back_was_paid';
            END IF;
            RETURN NULL;
        END $$""")
    run("""
        CREATE CONSTRAINT TRIGGER bought_back_was_paid AFTER UPDATE OF state ON collection
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.state = 'bought_back')
        EXECUTE FUNCTION bought_back_was_paid()""")


def _collections_end_bought_back() -> None:
    run("ALTER TABLE collection DROP CONSTRAINT ck_collection_state")
    run(f"ALTER TABLE collection ADD CONSTRAINT ck_collection_state CHECK (state IN ({COLLECTION_STATES}))")
    run("ALTER TABLE collection DROP CONSTRAINT collection_check")
    run("ALTER TABLE collection ADD CONSTRAINT ck_collection_closed "
        "CHECK ((closed_at IS NOT NULL) = (state IN ('settled', 'written_off', 'bought_back')))")  # fmt: skip
    run(f"""
        CREATE OR REPLACE FUNCTION collection_state_moves() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF (OLD.state, NEW.state) NOT IN ({COLLECTION_MOVES}) THEN
                RAISE EXCEPTION 'collection cannot go from % to %', OLD.state, NEW.state
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'collection_state_moves';
            END IF;
            RETURN NEW;
        END $$""")


def _money() -> None:
    """Sellers' own money has its account; the web may shift what is still due between parties, never what was paid."""
    lines = ", ".join(f"('{c}', '{p}', {s}, {str(g).lower()}, {str(o).lower()})" for c, p, s, g, o in CHART)
    run("ALTER TABLE account DROP CONSTRAINT ck_account_chart")
    run(f"ALTER TABLE account ADD CONSTRAINT ck_account_chart "
        f"CHECK ((code, pool, side, guarded, organisation_id IS NOT NULL) IN ({lines}))")  # fmt: skip
    run("ALTER TABLE payout DROP CONSTRAINT ck_payout_purpose")
    run("ALTER TABLE payout ADD CONSTRAINT ck_payout_purpose "
        "CHECK (purpose IN ('advance', 'residual', 'withdrawal', 'refund'))")  # fmt: skip
    # Who is due what never shifts without a trace; judged after the sum, so that a wrong one is named as such.
    run("CREATE CONSTRAINT TRIGGER dues_with_event AFTER INSERT OR UPDATE ON due "
        "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION require_event()")  # fmt: skip
    run("GRANT INSERT (id, receivable_id, step, party_id, position, due_minor), UPDATE (due_minor) ON due "
        "TO duebill_web")  # fmt: skip
