"""Lots that show their clearing rate while they take bids, and rates at which a lot closes at once."""

from migrations.helpers import run, wall_functions

revision = "0035"
down_revision = "0034"

TERMS = ("deal_type", "recourse", "price_rule", "seller_default", "reserve_bps", "own_rate_bps", "min_share_bps",
         "policy_version", "bidding", "buy_now_bps")  # fmt: skip
KEPT = (
    "id", "receivable_id", "number", "seller_id", "debtor_id", "deal_type", "recourse", "currency",
    "face_minor", "advance_bps", "target_minor", "lot_size_minor", "minimum_minor", "reserve_bps", "own_rate_bps",
    "indicative_bps", "min_share_bps", "group_cap_bps", "price_rule", "seller_default", "expected_on",
    "tenor_days", "related_groups", "debtor_grade", "seller_grade", "expected_loss_ppm",
    "expected_loss_recourse_ppm", "model_version", "policy_version", "opened_at", "bidding", "buy_now_bps",
    "late_seconds", "extend_seconds", "extensions_max", "improve_only_seconds",
)  # fmt: skip


def upgrade() -> None:
    """Add the seller's choice to listing and lot, and the rules by which a close may move."""
    for table in ("receivable", "listing_round"):
        run(f"""
            ALTER TABLE {table} ADD COLUMN bidding text NOT NULL DEFAULT 'sealed'
                CONSTRAINT ck_{table}_bidding CHECK (bidding IN ('sealed', 'open')),
            ADD COLUMN buy_now_bps integer CONSTRAINT ck_{table}_buy_now CHECK (buy_now_bps BETWEEN 1 AND 10000)""")
    _terms_with_a_round()
    _lot()
    _close_moves()
    _bids_improve_at_the_end()
    wall_functions()


def _terms_with_a_round() -> None:
    """The terms of a receivable, these among them, change only when it comes back."""
    mine, theirs = ", ".join(f"NEW.{name}" for name in TERMS), ", ".join(f"offer.{name}" for name in TERMS)
    run(f"""
        CREATE OR REPLACE FUNCTION receivable_comes_back() RETURNS trigger LANGUAGE plpgsql AS $$
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
    run("DROP TRIGGER receivable_comes_back ON receivable")
    changed = " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in ("round", *TERMS))
    run(f"CREATE TRIGGER receivable_comes_back BEFORE UPDATE ON receivable FOR EACH ROW "
        f"WHEN ({changed} OR OLD.state IN ('withdrawn', 'rejected', 'expired') AND NEW.state <> OLD.state) "
        f"EXECUTE FUNCTION receivable_comes_back()")  # fmt: skip


def _lot() -> None:
    """An open lot carries the numbers of its soft close; a sealed one has none. Neither kind clears in a session."""
    run("""
        ALTER TABLE lot
            ADD COLUMN bidding text NOT NULL DEFAULT 'sealed'
                CONSTRAINT ck_lot_bidding CHECK (bidding IN ('sealed', 'open')),
            ADD COLUMN buy_now_bps integer,
            ADD COLUMN late_seconds integer NOT NULL DEFAULT 0,
            ADD COLUMN extend_seconds integer NOT NULL DEFAULT 0,
            ADD COLUMN extensions_max integer NOT NULL DEFAULT 0,
            ADD COLUMN improve_only_seconds integer NOT NULL DEFAULT 0,
            ADD COLUMN extensions integer NOT NULL DEFAULT 0,
            ADD COLUMN bought_at timestamptz,
            ADD CONSTRAINT ck_lot_buy_now CHECK (buy_now_bps BETWEEN 1 AND reserve_bps),
            ADD CONSTRAINT ck_lot_soft_close CHECK (late_seconds >= 0 AND extensions_max >= 0
                AND improve_only_seconds >= 0 AND (extend_seconds > 0) = (bidding = 'open')
                AND (bidding = 'open' OR (late_seconds = 0 AND extensions_max = 0 AND improve_only_seconds = 0))),
            ADD CONSTRAINT ck_lot_extensions CHECK (extensions BETWEEN 0 AND extensions_max),
            ADD CONSTRAINT ck_lot_bought CHECK (bought_at IS NULL
                OR (buy_now_bps IS NOT NULL AND bought_at = closes_at)),
            ADD CONSTRAINT ck_lot_session CHECK (session_id IS NULL OR (bidding = 'sealed' AND buy_now_bps IS NULL))""")
    run("DROP TRIGGER lot_keep_columns ON lot")
    kept = " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in KEPT)
    still = "NEW.closes_at IS DISTINCT FROM OLD.closes_at AND OLD.bidding = 'sealed' AND OLD.buy_now_bps IS NULL"
    run(f"CREATE TRIGGER lot_keep_columns BEFORE UPDATE ON lot FOR EACH ROW WHEN ({kept} OR ({still})) "
        f"EXECUTE FUNCTION refuse_change()")  # fmt: skip


def _close_moves() -> None:
    """A close moves on by its step, for a bid that came in late for the close before; or to now, when bought.

    Every move on needs a bid of its own, for none is late for two closes. Bought is what standing bids cover at the
    buy-now rate or below; caps, which only leave less, are the engine's to judge.
    """
    run("""
        CREATE FUNCTION lot_moves_close() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE sound boolean;
        BEGIN
            IF NEW.extensions = OLD.extensions + 1 THEN
                sound := NEW.bought_at IS NULL
                    AND NEW.closes_at = OLD.closes_at + make_interval(secs => OLD.extend_seconds)
                    AND EXISTS (SELECT FROM bid WHERE lot_id = NEW.id AND mandate_id IS NULL AND state = 'placed'
                        AND placed_at >= OLD.closes_at - make_interval(secs => OLD.late_seconds)
                        AND placed_at < OLD.closes_at);
            ELSE
                sound := NEW.extensions = OLD.extensions AND OLD.bought_at IS NULL AND NEW.bought_at IS NOT NULL
                    AND NEW.closes_at <= OLD.closes_at AND NEW.closes_at <= market_now()
                    AND NEW.target_minor <= (SELECT sum(cash_minor) FROM bid WHERE lot_id = NEW.id
                        AND state = 'placed' AND rate_bps <= NEW.buy_now_bps AND placed_at <= NEW.closes_at);
            END IF;
            IF sound IS NOT TRUE OR OLD.state <> 'open' OR NEW.state <> 'open' THEN
                RAISE EXCEPTION 'the close of lot % cannot move so', NEW.id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'lot_moves_close';
            END IF;
            RETURN NEW;
        END $$""")
    run("""
        CREATE TRIGGER lot_moves_close BEFORE UPDATE ON lot FOR EACH ROW
        WHEN ((NEW.closes_at, NEW.extensions, NEW.bought_at)
            IS DISTINCT FROM (OLD.closes_at, OLD.extensions, OLD.bought_at))
        EXECUTE FUNCTION lot_moves_close()""")


def _bids_improve_at_the_end() -> None:
    """In the last minutes of an open lot a bid comes in only for a worse one of the same investor, and none goes."""
    run("""
        CREATE FUNCTION bid_improves() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (SELECT FROM lot WHERE lot.id = NEW.lot_id AND lot.bidding = 'open'
                    AND market_now() >= lot.closes_at - make_interval(secs => lot.improve_only_seconds))
                AND NOT EXISTS (SELECT FROM bid AS earlier WHERE earlier.id = NEW.replaces_id
                    AND earlier.lot_id = NEW.lot_id AND earlier.investor_id = NEW.investor_id
                    AND earlier.rate_bps > NEW.rate_bps AND earlier.cash_minor <= NEW.cash_minor
                    AND earlier.min_fill_minor >= NEW.min_fill_minor) THEN
                RAISE EXCEPTION 'lot % takes only bids that improve', NEW.lot_id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'bid_improves';
            END IF;
            RETURN NEW;
        END $$""")
    run("CREATE TRIGGER bid_improves BEFORE INSERT ON bid FOR EACH ROW WHEN (NEW.mandate_id IS NULL) "
        "EXECUTE FUNCTION bid_improves()")  # fmt: skip
    run("""
        CREATE FUNCTION bid_gives_way() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (SELECT FROM lot WHERE lot.id = NEW.lot_id AND lot.bidding = 'open'
                    AND NEW.reasons = '{}'
                    AND NEW.ended_at >= lot.closes_at - make_interval(secs => lot.improve_only_seconds))
                AND NOT EXISTS (SELECT FROM bid AS later WHERE later.replaces_id = NEW.id) THEN
                RAISE EXCEPTION 'a bid in lot % is taken back only for a better one now', NEW.lot_id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'bid_gives_way';
            END IF;
            RETURN NULL;
        END $$""")
    run("""
        CREATE CONSTRAINT TRIGGER bid_gives_way AFTER UPDATE OF state ON bid DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (NEW.state = 'withdrawn') EXECUTE FUNCTION bid_gives_way()""")
