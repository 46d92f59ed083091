"""What watches the rating model: debtors' payment records, overrides by two people, and what was measured."""

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

revision = "0022"
down_revision = "0021"

GRADES = "'A+', 'A', 'A-', 'B+', 'B', 'B-', 'C', 'D', 'E'"
STATES = "'proposed', 'approved', 'refused'"
MOVES = "('proposed','approved'), ('proposed','refused')"
KINDS = "'drift', 'calibration', 'backtest', 'inversion', 'vintage', 'shadow'"
KEEP = "SELECT, INSERT"


def upgrade() -> None:
    """Create the tables, then let a rating name the record and the override that it rests on."""
    _payment_record()
    _grade_override()
    _rating_watch()
    _ratings_name_them()
    wall_functions()


def _payment_record() -> None:
    run("""
        CREATE TABLE payment_record (
            id uuid CONSTRAINT pk_payment_record PRIMARY KEY,
            organisation_id uuid NOT NULL CONSTRAINT fk_payment_record_organisation_id REFERENCES organisation (id),
            paid integer NOT NULL CONSTRAINT ck_payment_record_paid CHECK (paid >= 0),
            late integer NOT NULL CONSTRAINT ck_payment_record_late CHECK (late >= 0),
            defaulted integer NOT NULL CONSTRAINT ck_payment_record_defaulted CHECK (defaulted >= 0),
            exposure_days integer NOT NULL CONSTRAINT ck_payment_record_exposure CHECK (exposure_days >= 0),
            late_days_sum bigint NOT NULL,
            late_days_squares bigint NOT NULL CONSTRAINT ck_payment_record_squares CHECK (late_days_squares >= 0),
            past_due_days integer NOT NULL CONSTRAINT ck_payment_record_past_due CHECK (past_due_days >= 0),
            noted_at timestamptz NOT NULL DEFAULT market_now(),
            CONSTRAINT ck_payment_record_moments CHECK (late_days_sum * late_days_sum <= paid * late_days_squares))""")
    run("CREATE INDEX ix_payment_record_organisation_id_noted_at ON payment_record (organisation_id, noted_at)")
    append_only("payment_record")
    require_event("payment_record")
    grant("payment_record", worker=KEEP)


def _grade_override() -> None:
    place = f"array_position(ARRAY[{GRADES}], {{}})"
    run(f"""
        CREATE TABLE grade_override (
            id uuid CONSTRAINT pk_grade_override PRIMARY KEY,
            organisation_id uuid NOT NULL CONSTRAINT fk_grade_override_organisation_id REFERENCES organisation (id),
            rating_id uuid NOT NULL CONSTRAINT fk_grade_override_rating_id REFERENCES party_rating (id),
            from_grade text NOT NULL CONSTRAINT ck_grade_override_from CHECK (from_grade IN ({GRADES})),
            to_grade text NOT NULL CONSTRAINT ck_grade_override_to CHECK (to_grade IN ({GRADES})),
            reason text NOT NULL CONSTRAINT ck_grade_override_reason CHECK (length(reason) BETWEEN 20 AND 500),
            maker_id uuid NOT NULL,
            proposed_at timestamptz NOT NULL DEFAULT market_now(),
            approver_id uuid,
            approver_reason text CONSTRAINT ck_grade_override_approver_reason
                CHECK (length(approver_reason) BETWEEN 10 AND 500),
            decided_at timestamptz,
            state text NOT NULL,
            CONSTRAINT ck_grade_override_notches CHECK (
                abs({place.format("to_grade")} - {place.format("from_grade")}) BETWEEN 1 AND 2),
            CONSTRAINT ck_grade_override_two_people CHECK (approver_id <> maker_id),
            CONSTRAINT ck_grade_override_decided CHECK (
                (state = 'proposed') = (approver_id IS NULL) AND (approver_id IS NULL) = (decided_at IS NULL)
                AND (approver_id IS NULL) = (approver_reason IS NULL)))""")
    run("CREATE UNIQUE INDEX uq_grade_override_rating_id_live ON grade_override (rating_id) "
        "WHERE state IN ('proposed', 'approved')")  # fmt: skip
    run("CREATE INDEX ix_grade_override_organisation_id ON grade_override (organisation_id)")
    state_machine("grade_override", STATES, MOVES)
    keep_columns("grade_override", "id", "organisation_id", "rating_id", "from_grade", "to_grade", "reason",
                 "maker_id", "proposed_at")  # fmt: skip
    no_delete("grade_override")
    require_event("grade_override")
    grant("grade_override", web="SELECT, INSERT, UPDATE")
    # Of the model's own grade, and proposed as such: else two overrides would go further than one.
    run("""
        CREATE FUNCTION override_of_its_rating() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.state <> 'proposed' OR NOT EXISTS (SELECT FROM party_rating
                WHERE id = NEW.rating_id AND organisation_id = NEW.organisation_id AND grade = NEW.from_grade
                  AND override_id IS NULL) THEN
                RAISE EXCEPTION 'an override starts as a proposal about the grade the model gave'
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'override_of_its_rating';
            END IF;
            RETURN NEW;
        END $$""")
    run("CREATE TRIGGER grade_override_of_its_rating BEFORE INSERT ON grade_override FOR EACH ROW "
        "EXECUTE FUNCTION override_of_its_rating()")  # fmt: skip


def _rating_watch() -> None:
    run(f"""
        CREATE TABLE rating_watch (
            id uuid CONSTRAINT pk_rating_watch PRIMARY KEY,
            run_id uuid NOT NULL,
            measured_on date NOT NULL,
            model_version text NOT NULL,
            kind text NOT NULL CONSTRAINT ck_rating_watch_kind CHECK (kind IN ({KINDS})),
            key text NOT NULL,
            n integer NOT NULL CONSTRAINT ck_rating_watch_n CHECK (n >= 0),
            defaults integer NOT NULL CONSTRAINT ck_rating_watch_defaults CHECK (defaults BETWEEN 0 AND n),
            expected_ppm integer,
            seen_ppm integer,
            value_micro bigint,
            p_ppm integer CONSTRAINT ck_rating_watch_p CHECK (p_ppm BETWEEN 0 AND 1000000),
            alarm text NOT NULL CONSTRAINT ck_rating_watch_alarm
                CHECK (alarm IN ('none', 'few', 'watch', 'alarm')),
            measured_at timestamptz NOT NULL DEFAULT market_now(),
            CONSTRAINT uq_rating_watch_run_id_kind_key UNIQUE (run_id, kind, key))""")
    run("CREATE INDEX ix_rating_watch_measured_at ON rating_watch (measured_at)")
    append_only("rating_watch")
    require_event("rating_watch")
    grant("rating_watch", worker=KEEP)


def _ratings_name_them() -> None:
    run("ALTER TABLE party_rating ADD COLUMN payment_record_id uuid "
        "CONSTRAINT fk_party_rating_payment_record_id REFERENCES payment_record (id)")  # fmt: skip
    run("ALTER TABLE party_rating ADD COLUMN override_id uuid CONSTRAINT uq_party_rating_override_id UNIQUE "
        "CONSTRAINT fk_party_rating_override_id REFERENCES grade_override (id)")  # fmt: skip
    run("ALTER TABLE party_rating ADD COLUMN model_pd_ppm integer CONSTRAINT ck_party_rating_model_pd "
        "CHECK (model_pd_ppm BETWEEN 0 AND 1000000)")  # fmt: skip
    run("ALTER TABLE party_rating ADD COLUMN overdue boolean NOT NULL DEFAULT false")
    run("""
        CREATE FUNCTION rating_by_override() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NOT EXISTS (SELECT FROM grade_override WHERE id = NEW.override_id AND state = 'approved'
                AND organisation_id = NEW.organisation_id AND to_grade = NEW.grade) THEN
                RAISE EXCEPTION 'no two people approved this grade'
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'rating_by_override';
            END IF;
            RETURN NEW;
        END $$""")
    run("CREATE TRIGGER party_rating_by_override BEFORE INSERT ON party_rating FOR EACH ROW "
        "WHEN (NEW.override_id IS NOT NULL) EXECUTE FUNCTION rating_by_override()")  # fmt: skip
