"""What the law lets us claim of a debtor that pays late: frozen when the debt became overdue, and what came of it."""

from migrations.helpers import append_only, grant, require_event, run, wall_functions

revision = "0030"
down_revision = "0036"


def upgrade() -> None:
    """Create claims and receipts on them; the dues then sum to the face and what came beyond it."""
    run("""
        CREATE TABLE late_claim (
            receivable_id uuid CONSTRAINT pk_late_claim PRIMARY KEY
                CONSTRAINT fk_late_claim_receivable_id REFERENCES collection (receivable_id),
            law text NOT NULL CONSTRAINT ck_late_claim_law CHECK (law IN ('GB', 'EU')),
            reference_bps integer NOT NULL CONSTRAINT ck_late_claim_reference CHECK (reference_bps >= 0),
            rate_bps integer NOT NULL CONSTRAINT ck_late_claim_rate CHECK (rate_bps >= reference_bps),
            since_on date NOT NULL,
            compensation_minor bigint NOT NULL
                CONSTRAINT ck_late_claim_compensation CHECK (compensation_minor >= 0),
            policy_version text NOT NULL,
            opened_at timestamptz NOT NULL DEFAULT market_now())""")
    append_only("late_claim")
    require_event("late_claim")
    grant("late_claim", worker="SELECT, INSERT")
    run("""
        CREATE TABLE late_receipt (
            distribution_id uuid CONSTRAINT pk_late_receipt PRIMARY KEY
                CONSTRAINT fk_late_receipt_distribution_id REFERENCES distribution (id),
            receivable_id uuid NOT NULL CONSTRAINT fk_late_receipt_receivable_id REFERENCES late_claim (receivable_id),
            minor bigint NOT NULL CONSTRAINT ck_late_receipt_minor CHECK (minor > 0))""")
    run("CREATE INDEX ix_late_receipt_receivable_id ON late_receipt (receivable_id)")
    append_only("late_receipt")
    require_event("late_receipt")
    grant("late_receipt", worker="SELECT, INSERT")
    run("""
        CREATE OR REPLACE FUNCTION dues_sum_to_face(receivable uuid) RETURNS void LANGUAGE plpgsql AS $$
        DECLARE total numeric; face bigint; eaten numeric; covered numeric; late numeric;
        BEGIN
            SELECT face_minor INTO face FROM collection WHERE receivable_id = receivable FOR UPDATE;
            SELECT sum(due_minor) INTO total FROM due WHERE receivable_id = receivable;
            SELECT coalesce(sum(residual_minor), 0) INTO eaten FROM dilution_effect WHERE receivable_id = receivable;
            SELECT coalesce(sum(covered_minor), 0) INTO covered FROM dilution_cover WHERE receivable_id = receivable;
            SELECT coalesce(sum(minor), 0) INTO late FROM late_receipt WHERE receivable_id = receivable;
            IF total <> face - eaten - covered + late THEN
                RAISE EXCEPTION 'the dues of % sum to %, not to its face % less % credited and % made good, and % late',
                    receivable, total, face, eaten, covered, late
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'dues_sum_to_face';
            END IF;
        END $$""")
    wall_functions()
