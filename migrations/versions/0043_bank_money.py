"""Money at the bank, held tighter: dated by the bank, given back for a cause, worked off once, accounts by two."""

from migrations.helpers import run, wall_functions

revision = "0043"
down_revision = "0038"

PURPOSES = ("advance", "residual", "withdrawal", "refund", "return")
PAID = ", ".join(f"'{one}_paid'" for one in (*PURPOSES, "payout_file"))
RETURNED = ", ".join(f"'{one}_returned'" for one in (*PURPOSES, "payout_file"))
WORKED_OFF = "'bank_suspense_apply', 'bank_suspense_return', 'bank_suspense_own'"
BANKFILE = int.from_bytes(b"BANKFILE", "big")  # the advisory lock: at the bank one thing happens at a time


def upgrade() -> None:
    """Add the day on which the bank took money in, then the rules."""
    _received_on()
    _entries_end_payouts()
    _payouts_are_not_mirrored()
    _late_receipts()
    _fills()
    _two_people()
    _accounts()
    wall_functions()


def _received_on() -> None:
    """What the bank took in is the creditor's from that day on, whenever its file came. Of before: the same facts."""
    run("ALTER TABLE debtor_payment ADD COLUMN received_on date")
    run("ALTER TABLE debtor_payment DISABLE TRIGGER USER")
    run("UPDATE debtor_payment p SET received_on = least(b.booked_on, p.created_at::date) FROM bank_entry b "
        "WHERE b.payment_id = p.id AND b.outcome = 'payment'")  # fmt: skip
    run("""
        UPDATE debtor_payment p SET received_on = least(b.booked_on, p.created_at::date)
        FROM entry e JOIN money_decision m ON m.entry_id = e.id JOIN bank_entry b ON b.id = m.subject_id
        WHERE e.kind = 'suspense_applied' AND e.subject_id = p.id AND m.kind = 'bank_suspense_apply'""")
    run("UPDATE debtor_payment SET received_on = created_at::date WHERE rail = 'bank' AND received_on IS NULL")
    run("ALTER TABLE debtor_payment ENABLE TRIGGER USER")
    run("ALTER TABLE debtor_payment ADD CONSTRAINT ck_debtor_payment_received_on "
        "CHECK (rail <> 'bank' OR received_on IS NOT NULL)")  # fmt: skip
    run("""
        CREATE TRIGGER debtor_payment_keep_received_on BEFORE UPDATE ON debtor_payment FOR EACH ROW
        WHEN (NEW.received_on IS DISTINCT FROM OLD.received_on) EXECUTE FUNCTION refuse_change()""")


def _entries_end_payouts() -> None:
    """The bank may give a whole file back at once, as it may pay it at once; each once."""
    run("ALTER TABLE bank_entry DROP CONSTRAINT ck_bank_entry_came_back, ADD CONSTRAINT ck_bank_entry_came_back "
        "CHECK (outcome <> 'came_back' OR (incoming AND num_nonnulls(payout_id, payout_file_id) = 1))")  # fmt: skip
    run("CREATE UNIQUE INDEX uq_bank_entry_payout_file ON bank_entry (payout_file_id, outcome) "
        "WHERE outcome IN ('paid_out', 'came_back')")  # fmt: skip
    run("CREATE INDEX ix_bank_entry_entry_id ON bank_entry (entry_id)")


def _payouts_are_not_mirrored() -> None:
    """A pay-out is paid and given back by steps of its own: its books never turn back while it stays as it is."""
    run(f"""
        CREATE FUNCTION payout_is_not_mirrored() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (SELECT FROM entry WHERE id = NEW.reverses_id AND kind IN ({PAID}, {RETURNED})) THEN
                RAISE EXCEPTION 'a pay-out comes back as a pay-out, not by a mirrored entry'
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'payout_is_not_mirrored';
            END IF;
            RETURN NEW;
        END $$""")
    run("CREATE TRIGGER entry_payout_is_not_mirrored BEFORE INSERT ON entry FOR EACH ROW "
        "WHEN (NEW.reverses_id IS NOT NULL) EXECUTE FUNCTION payout_is_not_mirrored()")  # fmt: skip


def _late_receipts() -> None:
    """Interest is of its receipt's receivable and within it, and the dues have grown by it."""
    run("""
        CREATE FUNCTION late_receipt_is_of_its_receipt() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NOT EXISTS (SELECT FROM distribution d WHERE d.id = NEW.distribution_id
                           AND d.receivable_id = NEW.receivable_id
                           AND NEW.minor <= d.received_minor - d.excess_minor) THEN
                RAISE EXCEPTION 'interest of % is not within a receipt of %', NEW.minor, NEW.receivable_id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'late_receipt_is_of_its_receipt';
            END IF;
            RETURN NEW;
        END $$""")
    run("CREATE TRIGGER late_receipt_is_of_its_receipt BEFORE INSERT ON late_receipt FOR EACH ROW "
        "EXECUTE FUNCTION late_receipt_is_of_its_receipt()")  # fmt: skip
    run("CREATE TRIGGER late_receipt_insert_noted AFTER INSERT ON late_receipt REFERENCING NEW TABLE AS written "
        "FOR EACH STATEMENT EXECUTE FUNCTION note_receivables('dues_sum_to_face')")  # fmt: skip


def _fills() -> None:
    """A bid that rests on a purse has no hold until it is filled: nothing is equal to that, so it is asked by name."""
    run("""
        CREATE OR REPLACE FUNCTION fill_is_its_bids() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (SELECT FROM written JOIN bid ON bid.id = written.bid_id
                       WHERE (bid.lot_id, bid.investor_id, bid.hold_id)
                           IS DISTINCT FROM (written.lot_id, written.investor_id, written.hold_id)) THEN
                RAISE EXCEPTION 'a fill is of its bid’s lot, investor and hold'
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'fill_is_its_bids';
            END IF;
            RETURN NULL;
        END $$""")


def _two_people() -> None:
    """Money by the bank is given back because the bank gave it back, or two people said so; an item is worked off once."""
    run("""
        CREATE FUNCTION payout_is_returned_for_cause() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF (NEW.kind = 'payout_file_returned' OR EXISTS (SELECT FROM payout WHERE id = NEW.subject_id
                                                             AND rail = 'bank'))
                AND NOT EXISTS (SELECT FROM bank_entry WHERE entry_id = NEW.id AND outcome = 'came_back')
                AND NOT EXISTS (SELECT FROM money_decision WHERE entry_id = NEW.id AND kind = 'payout_refused'
                                AND subject_id = NEW.subject_id AND state = 'done' AND decided_by <> proposed_by) THEN
                RAISE EXCEPTION 'neither the bank gave % back nor two people', NEW.subject_id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'payout_is_returned_for_cause';
            END IF;
            RETURN NULL;
        END $$""")
    run("CREATE CONSTRAINT TRIGGER entry_payout_is_returned_for_cause AFTER INSERT ON entry "
        f"DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.kind IN ({RETURNED})) "
        "EXECUTE FUNCTION payout_is_returned_for_cause()")  # fmt: skip
    run(f"""
        CREATE FUNCTION bank_item_is_worked_off_once() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_advisory_xact_lock({BANKFILE});
            IF NOT EXISTS (
                SELECT FROM bank_entry b WHERE b.id = NEW.subject_id AND b.outcome = 'suspense'
                AND NOT EXISTS (SELECT FROM bank_entry u WHERE u.reverses_id = b.id)
                AND b.minor >= (SELECT sum((m.payload ->> 'minor')::bigint) FROM money_decision m
                    WHERE m.subject_id = b.id AND m.state = 'done' AND m.kind IN ({WORKED_OFF}))
                    - (SELECT coalesce(sum(o.amount_minor), 0) FROM payout o WHERE o.subject_kind = 'bank_entry'
                       AND o.subject_id = b.id AND o.state IN ('failed', 'returned'))) THEN
                RAISE EXCEPTION 'more is worked off of % than is there', NEW.subject_id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'bank_item_is_worked_off_once';
            END IF;
            RETURN NULL;
        END $$""")
    run("CREATE CONSTRAINT TRIGGER money_decision_worked_off_once AFTER UPDATE OF state ON money_decision "
        f"DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.state = 'done' AND NEW.kind IN ({WORKED_OFF})) "
        "EXECUTE FUNCTION bank_item_is_worked_off_once()")  # fmt: skip


def _accounts() -> None:
    """Where somebody is paid changes in the transaction in which a second person agreed to it, and to nothing else.

    The first account comes with the organisation. The market's own is never entered by one.
    """
    run("ALTER TABLE money_decision ADD COLUMN decided_xact text")
    run("""
        CREATE FUNCTION money_decision_is_done_now() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.decided_xact := CASE WHEN OLD.state = 'proposed' AND NEW.state = 'done'
                THEN pg_current_xact_id()::text ELSE OLD.decided_xact END;
            RETURN NEW;
        END $$""")
    run("CREATE TRIGGER money_decision_is_done_now BEFORE UPDATE ON money_decision FOR EACH ROW "
        "EXECUTE FUNCTION money_decision_is_done_now()")  # fmt: skip
    run("DROP TRIGGER organisation_rail_decided_by_two ON organisation")
    run("""
        CREATE OR REPLACE FUNCTION rail_decided_by_two() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NOT EXISTS (SELECT FROM money_decision WHERE kind = 'payout_rail' AND state = 'done'
                           AND subject_id = NEW.id AND decided_by <> proposed_by
                           AND decided_xact = pg_current_xact_id()::text AND payload ->> 'rail' = NEW.payout_rail
                           AND payload ->> 'iban' IS NOT DISTINCT FROM NEW.iban) THEN
                RAISE EXCEPTION 'two people decide by which rail, and on which account, % is paid', NEW.id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'rail_decided_by_two';
            END IF;
            RETURN NULL;
        END $$""")
    decided = "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ({}) EXECUTE FUNCTION rail_decided_by_two()"
    own = "NEW.kind = 'operator' AND NEW.iban IS NOT NULL"
    first = "OLD.kind = 'debtor' AND OLD.iban IS NULL AND OLD.payout_rail = NEW.payout_rail AND NEW.kind <> OLD.kind"
    other = "(OLD.payout_rail, OLD.iban) IS DISTINCT FROM (NEW.payout_rail, NEW.iban)"
    run("CREATE CONSTRAINT TRIGGER organisation_rail_decided_by_two AFTER UPDATE OF payout_rail, iban, kind "
        f"ON organisation {decided.format(f'({other} AND NOT ({first})) OR (OLD.kind <> NEW.kind AND {own})')}")  # fmt: skip
    run("CREATE CONSTRAINT TRIGGER organisation_comes_without_own_account AFTER INSERT ON organisation "
        + decided.format(f"NEW.payout_rail <> 'provider' OR ({own})"))  # fmt: skip
