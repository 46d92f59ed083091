"""Lots, sealed bids, awards and fills: what is late, wrong in size or from a related party the database refuses itself."""

from migrations.helpers import append_only, grant, keep_columns, no_delete, require_event, run, state_machine

revision = "0009"
down_revision = "0008"

LOT_STATES = "'open', 'closed_failed', 'awaiting_seller', 'accepted', 'refused', 'settled', 'cancelled'"
LOT_MOVES = (
    "('open','closed_failed'), ('open','awaiting_seller'), ('open','cancelled'), ('awaiting_seller','accepted'), "
    "('awaiting_seller','refused'), ('awaiting_seller','cancelled'), ('accepted','settled'), ('accepted','cancelled')"
)
BID_STATES = "'placed', 'withdrawn', 'refused', 'filled', 'passed_over', 'unfilled'"
BID_MOVES = (
    "('placed','withdrawn'), ('placed','refused'), ('placed','filled'), ('placed','passed_over'), "
    "('placed','unfilled'), ('filled','unfilled')"
)


def upgrade() -> None:
    """Create the tables, then the triggers that keep the close and the award."""
    _lot()
    _bid()
    _award()
    _bids_come_in_time()
    _fills_add_up()


def _lot() -> None:
    run("""
        CREATE TABLE lot (
            id uuid CONSTRAINT pk_lot PRIMARY KEY,
            receivable_id uuid NOT NULL CONSTRAINT fk_lot_receivable_id REFERENCES receivable (id),
            number integer NOT NULL CONSTRAINT ck_lot_number CHECK (number >= 1),
            seller_id uuid NOT NULL CONSTRAINT fk_lot_seller_id REFERENCES organisation (id),
            debtor_id uuid NOT NULL CONSTRAINT fk_lot_debtor_id REFERENCES organisation (id),
            deal_type text NOT NULL CONSTRAINT ck_lot_deal_type CHECK (deal_type IN ('advance', 'outright')),
            recourse text NOT NULL CONSTRAINT ck_lot_recourse CHECK (recourse IN ('full', 'limited', 'none')),
            currency char(3) NOT NULL,
            face_minor bigint NOT NULL CONSTRAINT ck_lot_face CHECK (face_minor > 0),
            advance_bps integer NOT NULL CONSTRAINT ck_lot_advance CHECK (advance_bps BETWEEN 1 AND 10000),
            target_minor bigint NOT NULL,
            lot_size_minor bigint NOT NULL CONSTRAINT ck_lot_size CHECK (lot_size_minor > 0),
            minimum_minor bigint NOT NULL CONSTRAINT ck_lot_minimum CHECK (minimum_minor > 0),
            reserve_bps integer NOT NULL CONSTRAINT ck_lot_reserve CHECK (reserve_bps BETWEEN 1 AND 10000),
            own_rate_bps integer CONSTRAINT ck_lot_own_rate CHECK (own_rate_bps BETWEEN 1 AND 10000),
            indicative_bps integer NOT NULL CONSTRAINT ck_lot_indicative CHECK (indicative_bps >= 0),
            min_share_bps integer NOT NULL CONSTRAINT ck_lot_min_share CHECK (min_share_bps BETWEEN 1 AND 10000),
            group_cap_bps integer NOT NULL CONSTRAINT ck_lot_group_cap CHECK (group_cap_bps BETWEEN 1 AND 10000),
            price_rule text NOT NULL CONSTRAINT ck_lot_price_rule CHECK (price_rule IN ('uniform', 'pay_as_bid')),
            seller_default text NOT NULL
                CONSTRAINT ck_lot_seller_default CHECK (seller_default IN ('accept', 'refuse')),
            expected_on date NOT NULL,
            tenor_days integer NOT NULL CONSTRAINT ck_lot_tenor CHECK (tenor_days >= 1),
            related_groups uuid[] NOT NULL,
            debtor_grade text NOT NULL,
            seller_grade text,
            expected_loss_ppm integer NOT NULL CONSTRAINT ck_lot_expected_loss CHECK (expected_loss_ppm >= 0),
            expected_loss_recourse_ppm integer NOT NULL
                CONSTRAINT ck_lot_expected_loss_recourse CHECK (expected_loss_recourse_ppm >= 0),
            model_version text NOT NULL,
            policy_version text NOT NULL,
            state text NOT NULL,
            opened_at timestamptz NOT NULL DEFAULT market_now(),
            closes_at timestamptz NOT NULL,
            closed_at timestamptz,
            decide_by timestamptz,
            decided_at timestamptz,
            decided_how text CONSTRAINT ck_lot_decided_how CHECK (decided_how IN ('seller', 'own_rate', 'default')),
            CONSTRAINT uq_lot_receivable_id_number UNIQUE (receivable_id, number),
            CONSTRAINT ck_lot_target CHECK (target_minor > 0 AND target_minor <= face_minor),
            CONSTRAINT ck_lot_closes CHECK (closes_at > opened_at),
            CONSTRAINT ck_lot_closed CHECK (closed_at IS NULL OR state = 'cancelled' OR closed_at >= closes_at),
            CONSTRAINT ck_lot_decided CHECK (
                (decided_at IS NULL) = (decided_how IS NULL)
                AND (decided_how IS DISTINCT FROM 'seller' OR decided_at <= decide_by)
                AND (decided_how IS DISTINCT FROM 'default' OR decided_at >= decide_by)
                AND (state NOT IN ('accepted', 'refused', 'settled') OR decided_at IS NOT NULL)))""")
    state_machine("lot", LOT_STATES, LOT_MOVES)
    keep_columns(
        "lot", "id", "receivable_id", "number", "seller_id", "debtor_id", "deal_type", "recourse", "currency",
        "face_minor", "advance_bps", "target_minor", "lot_size_minor", "minimum_minor", "reserve_bps", "own_rate_bps",
        "indicative_bps", "min_share_bps", "group_cap_bps", "price_rule", "seller_default", "expected_on",
        "tenor_days", "related_groups", "debtor_grade", "seller_grade", "expected_loss_ppm",
        "expected_loss_recourse_ppm", "model_version", "policy_version", "opened_at", "closes_at",
    )  # fmt: skip
    no_delete("lot")
    require_event("lot")
    run("""
        CREATE UNIQUE INDEX uq_lot_receivable_id_live ON lot (receivable_id)
        WHERE state IN ('open', 'awaiting_seller', 'accepted', 'settled')""")
    run("CREATE INDEX ix_lot_state_closes_at ON lot (state, closes_at)")
    run("CREATE INDEX ix_lot_debtor_id ON lot (debtor_id)")
    run("CREATE INDEX ix_lot_seller_id ON lot (seller_id)")
    grant("lot", web="SELECT, UPDATE", worker="SELECT, INSERT, UPDATE")
    run("GRANT INSERT ON lot TO duebill_web")  # an operator may open a lot by hand


def _bid() -> None:
    run("""
        CREATE TABLE bid (
            id uuid CONSTRAINT pk_bid PRIMARY KEY,
            lot_id uuid NOT NULL CONSTRAINT fk_bid_lot_id REFERENCES lot (id),
            seq bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
            investor_id uuid NOT NULL CONSTRAINT fk_bid_investor_id REFERENCES organisation (id),
            group_id uuid NOT NULL,
            cash_minor bigint NOT NULL CONSTRAINT ck_bid_cash CHECK (cash_minor > 0),
            min_fill_minor bigint NOT NULL
                CONSTRAINT ck_bid_min_fill CHECK (min_fill_minor BETWEEN 0 AND cash_minor),
            rate_bps integer NOT NULL CONSTRAINT ck_bid_rate CHECK (rate_bps BETWEEN 0 AND 10000),
            hold_id uuid NOT NULL CONSTRAINT uq_bid_hold_id UNIQUE
                CONSTRAINT fk_bid_hold_id REFERENCES hold (id),
            replaces_id uuid CONSTRAINT fk_bid_replaces_id REFERENCES bid (id),
            placed_by uuid NOT NULL,
            placed_at timestamptz NOT NULL DEFAULT market_now(),
            state text NOT NULL DEFAULT 'placed',
            reasons text[] NOT NULL DEFAULT '{}',
            ended_at timestamptz,
            CONSTRAINT uq_bid_lot_id_seq UNIQUE (lot_id, seq))""")
    state_machine("bid", BID_STATES, BID_MOVES)
    keep_columns(
        "bid", "id", "lot_id", "seq", "investor_id", "group_id", "cash_minor", "min_fill_minor", "rate_bps", "hold_id",
        "replaces_id", "placed_by", "placed_at",
    )  # fmt: skip
    no_delete("bid")
    require_event("bid")
    run("CREATE INDEX ix_bid_investor_id_placed_at ON bid (investor_id, placed_at)")
    grant("bid", web="SELECT, INSERT, UPDATE", worker="SELECT, INSERT, UPDATE")


def _award() -> None:
    run("""
        CREATE TABLE award (
            lot_id uuid NOT NULL CONSTRAINT fk_award_lot_id REFERENCES lot (id),
            round integer NOT NULL CONSTRAINT ck_award_round CHECK (round IN (1, 2)),
            outcome text NOT NULL CONSTRAINT ck_award_outcome CHECK (outcome IN ('full', 'partial', 'failed')),
            stop_out_bps integer,
            awarded_minor bigint NOT NULL CONSTRAINT ck_award_awarded CHECK (awarded_minor >= 0),
            discount_minor bigint NOT NULL CONSTRAINT ck_award_discount CHECK (discount_minor >= 0),
            standing_minor bigint NOT NULL CONSTRAINT ck_award_standing CHECK (standing_minor >= awarded_minor),
            groups integer NOT NULL CONSTRAINT ck_award_groups CHECK (groups >= 0),
            rule text NOT NULL, rule_version text NOT NULL,
            transcript bytea NOT NULL,
            sha256 char(64) NOT NULL CONSTRAINT ck_award_sha256 CHECK (sha256 = encode(sha256(transcript), 'hex')),
            made_at timestamptz NOT NULL DEFAULT market_now(),
            xact text NOT NULL DEFAULT pg_current_xact_id()::text,
            CONSTRAINT pk_award PRIMARY KEY (lot_id, round),
            CONSTRAINT ck_award_failed CHECK ((outcome = 'failed') = (awarded_minor = 0)
                AND (outcome = 'failed') = (stop_out_bps IS NULL)))""")
    run("""
        CREATE TABLE fill (
            lot_id uuid NOT NULL,
            round integer NOT NULL,
            bid_id uuid NOT NULL CONSTRAINT fk_fill_bid_id REFERENCES bid (id),
            investor_id uuid NOT NULL CONSTRAINT fk_fill_investor_id REFERENCES organisation (id),
            cash_minor bigint NOT NULL CONSTRAINT ck_fill_cash CHECK (cash_minor > 0),
            discount_minor bigint NOT NULL CONSTRAINT ck_fill_discount CHECK (discount_minor >= 0),
            rate_bps integer NOT NULL CONSTRAINT ck_fill_rate CHECK (rate_bps >= 0),
            hold_id uuid NOT NULL CONSTRAINT fk_fill_hold_id REFERENCES hold (id),
            CONSTRAINT pk_fill PRIMARY KEY (lot_id, round, bid_id),
            CONSTRAINT fk_fill_lot_id_round FOREIGN KEY (lot_id, round) REFERENCES award (lot_id, round))""")
    run("CREATE INDEX ix_fill_investor_id ON fill (investor_id)")
    for table in ("award", "fill"):
        append_only(table)
        grant(table, web="SELECT, INSERT", worker="SELECT, INSERT")
    require_event("award")


def _bids_come_in_time() -> None:
    """A bid is in if the market's clock, read under the lot's lock, is before the close; the same to take it back."""
    run("""
        CREATE FUNCTION bid_in_time() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE the lot%ROWTYPE;
        BEGIN
            SELECT * INTO the FROM lot WHERE id = NEW.lot_id FOR SHARE;
            IF the.state IS DISTINCT FROM 'open' OR market_now() >= the.closes_at THEN
                RAISE EXCEPTION 'lot % takes no more bids', NEW.lot_id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'bid_in_time';
            END IF;
            IF TG_OP = 'INSERT' AND (NEW.rate_bps > the.reserve_bps OR NEW.cash_minor < the.minimum_minor
                    OR NEW.cash_minor % the.lot_size_minor <> 0 OR NEW.group_id = ANY (the.related_groups)) THEN
                RAISE EXCEPTION 'the bid does not fit lot %', NEW.lot_id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'bid_fits_lot';
            END IF;
            RETURN NEW;
        END $$""")
    run("CREATE TRIGGER bid_in_time BEFORE INSERT ON bid FOR EACH ROW EXECUTE FUNCTION bid_in_time()")
    run("""
        CREATE TRIGGER bid_taken_back_in_time BEFORE UPDATE OF state ON bid FOR EACH ROW
        WHEN (NEW.state = 'withdrawn' AND OLD.state <> 'withdrawn') EXECUTE FUNCTION bid_in_time()""")


def _fills_add_up() -> None:
    """What is awarded is the sum of its fills, in cash and in discount, at commit; fills come with their award."""
    run("""
        CREATE FUNCTION award_adds_up() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE cash bigint; discount bigint; crooked bigint;
        BEGIN
            SELECT coalesce(sum(fill.cash_minor), 0), coalesce(sum(fill.discount_minor), 0),
                   count(*) FILTER (WHERE fill.cash_minor > bid.cash_minor OR fill.rate_bps < bid.rate_bps
                                       OR fill.hold_id <> bid.hold_id OR bid.lot_id <> fill.lot_id)
            INTO cash, discount, crooked
            FROM fill JOIN bid ON bid.id = fill.bid_id WHERE fill.lot_id = NEW.lot_id AND fill.round = NEW.round;
            IF cash <> NEW.awarded_minor OR discount <> NEW.discount_minor OR crooked > 0 THEN
                RAISE EXCEPTION 'the fills of lot % do not make its award', NEW.lot_id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'award_adds_up';
            END IF;
            RETURN NULL;
        END $$""")
    run("""
        CREATE CONSTRAINT TRIGGER award_adds_up AFTER INSERT ON award DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION award_adds_up()""")
    run("""
        CREATE FUNCTION fill_with_award() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (SELECT FROM written JOIN award USING (lot_id, round)
                       WHERE award.xact <> pg_current_xact_id()::text) THEN
                RAISE EXCEPTION 'the award is sealed'
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'fill_with_award';
            END IF;
            RETURN NULL;
        END $$""")
    run("""
        CREATE TRIGGER fill_with_award AFTER INSERT ON fill REFERENCING NEW TABLE AS written
        FOR EACH STATEMENT EXECUTE FUNCTION fill_with_award()""")
    run("CREATE TRIGGER award_stamp BEFORE INSERT ON award FOR EACH ROW EXECUTE FUNCTION stamp_xact()")
