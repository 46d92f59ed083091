"""Look-alikes found by keys alone; a listing that comes back; and the walls at close and before money leaves."""

from migrations.helpers import append_only, grant, require_event, run, wall_functions

revision = "0017"
down_revision = "0016"

TERMS = ("deal_type", "recourse", "price_rule", "seller_default", "reserve_bps", "own_rate_bps", "min_share_bps",
         "policy_version")  # fmt: skip
KEPT = ("id", "ref", "seller_id", "debtor_id", "number", "document_type", "currency", "face_minor", "total_minor",
        "issued_on", "due_on", "purchase_order", "facts", "evidence", "document_id", "listed_at")  # fmt: skip
RECEIVABLE_MOVES = (
    "('drafted','held_for_review'), ('drafted','awaiting_confirmation'), "
    "('held_for_review','awaiting_confirmation'), ('held_for_review','confirmed'), ('held_for_review','rejected'), "
    "('held_for_review','withdrawn'), ('held_for_review','expired'), "
    "('awaiting_confirmation','confirmed'), ('awaiting_confirmation','held_for_review'), "
    "('awaiting_confirmation','withdrawn'), ('awaiting_confirmation','rejected'), "
    "('awaiting_confirmation','expired'), "
    "('confirmed','rated'), ('confirmed','held_for_review'), ('confirmed','withdrawn'), ('confirmed','rejected'), "
    "('confirmed','expired'), "
    "('rated','on_auction'), ('rated','held_for_review'), ('rated','withdrawn'), ('rated','rejected'), "
    "('rated','expired'), "
    "('on_auction','awarded'), ('on_auction','rated'), ('on_auction','held_for_review'), "
    "('on_auction','withdrawn'), ('on_auction','expired'), "
    "('awarded','funded'), ('awarded','rated'), ('awarded','held_for_review'), ('awarded','withdrawn'), "
    "('awarded','rejected'), ('awarded','expired'), "
    "('funded','discharged'), ('funded','bought_back'), ('funded','written_off'), "
    "('withdrawn','held_for_review'), ('withdrawn','awaiting_confirmation'), "
    "('rejected','held_for_review'), ('rejected','awaiting_confirmation'), "
    "('expired','held_for_review'), ('expired','awaiting_confirmation')"
)
LOT_STATES = "'open', 'closed_failed', 'awaiting_seller', 'accepted', 'held', 'refused', 'settled', 'cancelled'"
LOT_MOVES = (
    "('open','closed_failed'), ('open','awaiting_seller'), ('open','cancelled'), ('awaiting_seller','accepted'), "
    "('awaiting_seller','refused'), ('awaiting_seller','cancelled'), ('accepted','settled'), ('accepted','held'), "
    "('accepted','cancelled'), ('held','settled'), ('held','cancelled')"
)


def upgrade() -> None:
    """Re-key the fingerprints, let terms change with a new round only, and guard award, assignment and ends."""
    _keys()
    _rounds()
    _reviews()
    _held_lots()
    _title_is_clear()
    _ends_have_no_lot()
    wall_functions()


def _keys() -> None:
    """A key's own bytes come first and tell its kind, so one index answers a look-up without touching a row."""
    run("ALTER TABLE fingerprint DROP CONSTRAINT pk_fingerprint")
    run("DROP INDEX ix_fingerprint_kind_value")
    run("ALTER TABLE fingerprint ADD CONSTRAINT pk_fingerprint PRIMARY KEY (value, receivable_id)")
    run("ALTER TABLE fingerprint ADD CONSTRAINT ck_fingerprint_value CHECK (length(value) BETWEEN 16 AND 32)")
    run("ALTER TABLE receivable ADD COLUMN keys_version integer NOT NULL DEFAULT 0 "
        "CONSTRAINT ck_receivable_keys_version CHECK (keys_version >= 0)")  # fmt: skip
    run("CREATE INDEX ix_receivable_keys_version ON receivable (keys_version)")
    run("""
        CREATE INDEX ix_receivable_book ON receivable (currency, debtor_id) INCLUDE (face_minor)
        WHERE state IN ('held_for_review', 'awaiting_confirmation', 'confirmed', 'rated', 'on_auction', 'awarded',
                        'funded')""")


def _rounds() -> None:
    """What a receivable was offered on, each time it was offered. Only coming back changes the terms."""
    run("""
        CREATE TABLE listing_round (
            receivable_id uuid NOT NULL CONSTRAINT fk_listing_round_receivable_id REFERENCES receivable (id),
            round integer NOT NULL CONSTRAINT ck_listing_round_round CHECK (round >= 1),
            draft_id uuid CONSTRAINT fk_listing_round_draft_id REFERENCES draft (id),
            deal_type text NOT NULL, recourse text NOT NULL, price_rule text NOT NULL, seller_default text NOT NULL,
            reserve_bps integer, own_rate_bps integer, min_share_bps integer NOT NULL, policy_version text NOT NULL,
            paid_to bytea CONSTRAINT ck_listing_round_paid_to CHECK (length(paid_to) = 16),
            listed_at timestamptz NOT NULL DEFAULT market_now(),
            CONSTRAINT pk_listing_round PRIMARY KEY (receivable_id, round))""")
    append_only("listing_round")
    require_event("listing_round")
    grant("listing_round", web="SELECT, INSERT", worker="SELECT, INSERT")
    run("ALTER TABLE receivable ADD COLUMN round integer NOT NULL DEFAULT 1 "
        "CONSTRAINT ck_receivable_round CHECK (round >= 1)")  # fmt: skip
    columns = ", ".join(TERMS)
    run(f"INSERT INTO listing_round (receivable_id, round, {columns}, listed_at) "
        f"SELECT id, 1, {columns}, listed_at FROM receivable")  # fmt: skip
    run("""
        ALTER TABLE receivable ADD CONSTRAINT fk_receivable_id_round FOREIGN KEY (id, round)
        REFERENCES listing_round (receivable_id, round) DEFERRABLE INITIALLY DEFERRED""")
    run("DROP TRIGGER receivable_keep_columns ON receivable")
    kept = " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in KEPT)
    run(f"CREATE TRIGGER receivable_keep_columns BEFORE UPDATE ON receivable FOR EACH ROW WHEN ({kept}) "
        f"EXECUTE FUNCTION refuse_change()")  # fmt: skip
    mine, theirs = ", ".join(f"NEW.{name}" for name in TERMS), ", ".join(f"offer.{name}" for name in TERMS)
    run(f"""
        CREATE FUNCTION receivable_comes_back() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.round <> OLD.round + 1 OR OLD.state NOT IN ('withdrawn', 'rejected', 'expired')
                OR NEW.state NOT IN ('held_for_review', 'awaiting_confirmation')
                OR EXISTS (SELECT FROM holding WHERE receivable_id = NEW.id AND owner_id <> NEW.seller_id)
                OR NOT EXISTS (SELECT FROM listing_round offer
                               WHERE offer.receivable_id = NEW.id AND offer.round = NEW.round
                                 AND ({theirs}) IS NOT DISTINCT FROM ({mine})) THEN
                RAISE EXCEPTION 'the terms of % change only when it comes back in a new round', NEW.id
                    USING ERRCODE = 'restrict_violation', CONSTRAINT = 'receivable_comes_back';
            END IF;
            RETURN NEW;
        END $$""")
    changed = " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in ("round", *TERMS))
    run(f"CREATE TRIGGER receivable_comes_back BEFORE UPDATE ON receivable FOR EACH ROW "
        f"WHEN ({changed} OR OLD.state IN ('withdrawn', 'rejected', 'expired') AND NEW.state <> OLD.state) "
        f"EXECUTE FUNCTION receivable_comes_back()")  # fmt: skip
    _moves("receivable", RECEIVABLE_MOVES)


def _moves(table: str, moves: str) -> None:
    run(f"""
        CREATE OR REPLACE FUNCTION {table}_state_moves() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF (OLD.state, NEW.state) NOT IN ({moves}) THEN
                RAISE EXCEPTION '{table} cannot go from % to %', OLD.state, NEW.state
                    USING ERRCODE = 'check_violation', CONSTRAINT = '{table}_state_moves';
            END IF;
            RETURN NEW;
        END $$""")


def _reviews() -> None:
    run("ALTER TABLE review DROP CONSTRAINT ck_review_cause")
    run("""
        ALTER TABLE review ADD CONSTRAINT ck_review_cause CHECK (cause IN (
            'document', 'differences', 'near_match', 'outside_evidence', 'prior_notice', 'dispute', 'operators',
            'title_check', 'came_back'))""")
    run("ALTER TABLE review DROP CONSTRAINT ck_review_goes_to")
    run("""
        ALTER TABLE review ADD CONSTRAINT ck_review_goes_to
        CHECK (goes_to IN ('awaiting_confirmation', 'confirmed', 'awarded'))""")
    run("CREATE INDEX ix_review_receivable_id ON review (receivable_id)")


def _held_lots() -> None:
    """An accepted award may have to wait for two operators before its money leaves."""
    run("ALTER TABLE lot ADD COLUMN state_reason text")
    run("ALTER TABLE lot ADD COLUMN held_until timestamptz")
    run("ALTER TABLE lot DROP CONSTRAINT ck_lot_state")
    run(f"ALTER TABLE lot ADD CONSTRAINT ck_lot_state CHECK (state IN ({LOT_STATES}))")
    run("ALTER TABLE lot ADD CONSTRAINT ck_lot_held CHECK (state <> 'held' OR held_until IS NOT NULL)")
    run("ALTER TABLE lot DROP CONSTRAINT ck_lot_decided")
    run("""
        ALTER TABLE lot ADD CONSTRAINT ck_lot_decided CHECK (
            (decided_at IS NULL) = (decided_how IS NULL)
            AND (decided_how IS DISTINCT FROM 'seller' OR decided_at <= decide_by)
            AND (decided_how IS DISTINCT FROM 'default' OR decided_at >= decide_by)
            AND (state NOT IN ('accepted', 'held', 'refused', 'settled') OR decided_at IS NOT NULL))""")
    run("DROP INDEX uq_lot_receivable_id_live")
    run("""
        CREATE UNIQUE INDEX uq_lot_receivable_id_live ON lot (receivable_id)
        WHERE state IN ('open', 'awaiting_seller', 'accepted', 'held', 'settled')""")
    _moves("lot", LOT_MOVES)


def _title_is_clear() -> None:
    """No lot opens, no award is made and no investor becomes owner while a review or a dispute is open.

    The receivable's row is locked first. A review or dispute that is being written holds it by its foreign key, so
    the two wait for each other and none slips past.
    """
    run("""
        CREATE FUNCTION title_is_clear() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE claims uuid[]; against uuid;
        BEGIN
            IF TG_TABLE_NAME = 'award' THEN
                SELECT array_agg(lot.receivable_id) INTO claims FROM written JOIN lot ON lot.id = written.lot_id
                    WHERE written.outcome <> 'failed';
            ELSIF TG_TABLE_NAME = 'lot' THEN
                SELECT array_agg(receivable_id) INTO claims FROM written WHERE state = 'open';
            ELSE
                SELECT array_agg(DISTINCT receivable_id) INTO claims FROM written WHERE cause = 'award';
            END IF;
            PERFORM FROM receivable WHERE id = ANY (claims) ORDER BY id FOR UPDATE;
            SELECT receivable_id INTO against FROM (
                SELECT receivable_id FROM review WHERE receivable_id = ANY (claims) AND state IN ('open', 'proposed')
                UNION ALL
                SELECT receivable_id FROM dispute WHERE receivable_id = ANY (claims) AND state = 'open') AS open LIMIT 1;
            IF FOUND THEN
                RAISE EXCEPTION 'something open speaks against selling %', against
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'title_is_clear';
            END IF;
            RETURN NULL;
        END $$""")
    for table in ("lot", "award", "holding"):
        run(f"CREATE TRIGGER {table}_is_clear AFTER INSERT ON {table} REFERENCING NEW TABLE AS written "
            f"FOR EACH STATEMENT EXECUTE FUNCTION title_is_clear()")  # fmt: skip


def _ends_have_no_lot() -> None:
    """A receivable that leaves the market unsold leaves no lot behind that could still be settled."""
    run("""
        CREATE FUNCTION end_has_no_lot() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (SELECT FROM lot WHERE receivable_id = NEW.id
                       AND state IN ('open', 'awaiting_seller', 'accepted', 'held')) THEN
                RAISE EXCEPTION 'receivable % ended with its lot alive', NEW.id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'end_has_no_lot';
            END IF;
            RETURN NULL;
        END $$""")
    run("""
        CREATE CONSTRAINT TRIGGER receivable_end_has_no_lot AFTER UPDATE OF state ON receivable
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.state IN ('withdrawn', 'rejected', 'expired'))
        EXECUTE FUNCTION end_has_no_lot()""")
