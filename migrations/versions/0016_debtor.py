"""The debtor: one answer for many, what it owes in all, credit notes as dilution."""

from migrations.helpers import append_only, grant, keep_columns, no_delete, require_event, run, wall_functions

revision = "0016"
down_revision = "0015"

KEEP = "SELECT, INSERT"
CHANGE = "SELECT, INSERT, UPDATE"


def upgrade() -> None:
    """Create contacts and batches of answers, widen links and notices, and let credit notes lower what is due."""
    _contact()
    _links()
    _notices()
    _batches()
    _dilution()
    _effect()
    _dues()
    wall_functions()


def _contact() -> None:
    run("""
        CREATE TABLE debtor_contact (
            debtor_id uuid NOT NULL CONSTRAINT fk_debtor_contact_debtor_id REFERENCES organisation (id),
            version integer NOT NULL CONSTRAINT ck_debtor_contact_version CHECK (version > 0),
            address text NOT NULL CONSTRAINT ck_debtor_contact_address CHECK (length(address) BETWEEN 3 AND 200),
            language text NOT NULL
                CONSTRAINT ck_debtor_contact_language CHECK (language IN ('en', 'zh_Hant', 'zh_Hans')),
            evidence text NOT NULL CONSTRAINT ck_debtor_contact_evidence CHECK (length(evidence) BETWEEN 1 AND 2000),
            set_by uuid NOT NULL,
            at timestamptz NOT NULL DEFAULT market_now(),
            CONSTRAINT pk_debtor_contact PRIMARY KEY (debtor_id, version))""")
    append_only("debtor_contact")
    require_event("debtor_contact")
    grant("debtor_contact", web=KEEP, worker="SELECT")


def _links() -> None:
    run("""
        ALTER TABLE debtor_link
            ALTER COLUMN receivable_id DROP NOT NULL,
            ADD COLUMN debtor_id uuid CONSTRAINT fk_debtor_link_debtor_id REFERENCES organisation (id),
            DROP CONSTRAINT ck_debtor_link_purpose,
            ADD CONSTRAINT ck_debtor_link_purpose CHECK (purpose IN ('confirm', 'account', 'debts')),
            ADD CONSTRAINT ck_debtor_link_about CHECK (
                (purpose = 'debts') = (receivable_id IS NULL) AND (receivable_id IS NULL) = (debtor_id IS NOT NULL))""")
    run("CREATE INDEX ix_debtor_link_debtor_id ON debtor_link (debtor_id)")
    run("DROP TRIGGER debtor_link_keep_columns ON debtor_link")
    keep_columns("debtor_link", "id", "receivable_id", "debtor_id", "purpose", "token_hash", "issued_at", "expires_at")
    no_delete("debtor_link")


def _notices() -> None:
    run("""
        ALTER TABLE document DROP CONSTRAINT ck_document_kind,
            ADD CONSTRAINT ck_document_kind CHECK (kind IN ('invoice', 'supporting', 'notice', 'credit_note'))""")
    run("""
        ALTER TABLE notice_of_assignment
            ADD COLUMN kind text NOT NULL DEFAULT 'assignment'
                CONSTRAINT ck_notice_of_assignment_kind CHECK (kind IN ('assignment', 'reassignment')),
            ADD COLUMN message_document_id uuid
                CONSTRAINT fk_notice_of_assignment_message_document_id REFERENCES document (id)""")
    run("DROP TRIGGER notice_of_assignment_keep_columns ON notice_of_assignment")
    keep_columns("notice_of_assignment", "id", "receivable_id", "number", "kind", "document_id", "message_document_id",
                 "assignees", "pay_to", "phrase", "issued_at")  # fmt: skip
    run("""
        CREATE TABLE letter_document (
            letter_id uuid NOT NULL CONSTRAINT fk_letter_document_letter_id REFERENCES outgoing_mail (id),
            document_id uuid NOT NULL CONSTRAINT fk_letter_document_document_id REFERENCES document (id),
            CONSTRAINT pk_letter_document PRIMARY KEY (letter_id, document_id))""")
    append_only("letter_document")
    grant("letter_document", web=KEEP, worker=KEEP)


def _batches() -> None:
    run("""
        CREATE TABLE answer_batch (
            id uuid CONSTRAINT pk_answer_batch PRIMARY KEY,
            debtor_id uuid NOT NULL CONSTRAINT fk_answer_batch_debtor_id REFERENCES organisation (id),
            link_id uuid NOT NULL CONSTRAINT fk_answer_batch_link_id REFERENCES debtor_link (id),
            answer text NOT NULL
                CONSTRAINT ck_answer_batch_answer CHECK (answer IN ('confirm', 'acknowledge', 'promise')),
            answered_by text NOT NULL,
            prior_notice boolean,
            claimant text,
            told_on date,
            at timestamptz NOT NULL DEFAULT market_now(),
            CONSTRAINT ck_answer_batch_prior_notice CHECK ((answer = 'confirm') = (prior_notice IS NOT NULL)),
            CONSTRAINT ck_answer_batch_claimant CHECK (NOT coalesce(prior_notice, false) OR claimant IS NOT NULL))""")
    run("CREATE INDEX ix_answer_batch_debtor_id_at ON answer_batch (debtor_id, at)")
    append_only("answer_batch")
    require_event("answer_batch")
    grant("answer_batch", web=KEEP, worker="SELECT")
    run("""
        CREATE TABLE answer_row (
            batch_id uuid NOT NULL CONSTRAINT fk_answer_row_batch_id REFERENCES answer_batch (id),
            receivable_id uuid NOT NULL CONSTRAINT fk_answer_row_receivable_id REFERENCES receivable (id),
            position integer NOT NULL,
            pay_on date,
            state text NOT NULL DEFAULT 'waiting'
                CONSTRAINT ck_answer_row_state CHECK (state IN ('waiting', 'taken', 'refused')),
            code text,
            words text,
            done_at timestamptz,
            CONSTRAINT pk_answer_row PRIMARY KEY (batch_id, receivable_id),
            CONSTRAINT uq_answer_row_batch_id_position UNIQUE (batch_id, position),
            CONSTRAINT ck_answer_row_done CHECK ((state = 'waiting') = (done_at IS NULL)),
            CONSTRAINT ck_answer_row_refused CHECK ((state = 'refused') <= (code IS NOT NULL)))""")
    run("CREATE INDEX ix_answer_row_waiting ON answer_row (batch_id, position) WHERE state = 'waiting'")
    run("CREATE INDEX ix_answer_row_receivable_id ON answer_row (receivable_id)")
    keep_columns("answer_row", "batch_id", "receivable_id", "position", "pay_on")
    run("CREATE TRIGGER answer_row_done_once BEFORE UPDATE ON answer_row FOR EACH ROW WHEN (OLD.state <> 'waiting') "
        "EXECUTE FUNCTION refuse_change()")  # fmt: skip
    no_delete("answer_row")
    grant("answer_row", web=CHANGE, worker="SELECT, UPDATE")
    grant("confirmation", web="", worker="INSERT")
    grant("prior_notice", web="", worker="INSERT")
    grant("payment_promise", web="", worker="INSERT")


def _dilution() -> None:
    run("""
        CREATE TABLE dilution (
            id uuid CONSTRAINT pk_dilution PRIMARY KEY,
            receivable_id uuid NOT NULL CONSTRAINT fk_dilution_receivable_id REFERENCES receivable (id),
            number text NOT NULL CONSTRAINT ck_dilution_number CHECK (length(number) BETWEEN 1 AND 100),
            number_key text NOT NULL CONSTRAINT ck_dilution_number_key CHECK (length(number_key) > 0),
            issued_on date,
            currency char(3) NOT NULL,
            amount_minor bigint NOT NULL CONSTRAINT ck_dilution_amount CHECK (amount_minor > 0),
            document_id uuid CONSTRAINT fk_dilution_document_id REFERENCES document (id),
            dispute_id uuid CONSTRAINT fk_dilution_dispute_id REFERENCES dispute (id),
            recorded_by text NOT NULL CONSTRAINT ck_dilution_recorded_by CHECK (recorded_by IN ('seller', 'operator')),
            words text,
            at timestamptz NOT NULL DEFAULT market_now(),
            CONSTRAINT uq_dilution_receivable_id_number_key UNIQUE (receivable_id, number_key))""")
    run("CREATE INDEX ix_dilution_document_id ON dilution (document_id)")
    append_only("dilution")
    require_event("dilution")
    grant("dilution", web=KEEP, worker=KEEP)
    run("""
        CREATE FUNCTION dilution_within_face() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE owed receivable%ROWTYPE; total numeric;
        BEGIN
            SELECT * INTO owed FROM receivable WHERE id = NEW.receivable_id FOR UPDATE;
            IF NEW.currency <> owed.currency THEN
                RAISE EXCEPTION 'the credit note is in %, the receivable in %', NEW.currency, owed.currency
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'dilution_currency';
            END IF;
            SELECT sum(amount_minor) INTO total FROM dilution WHERE receivable_id = NEW.receivable_id;
            IF total > owed.face_minor THEN
                RAISE EXCEPTION 'the credit notes of % sum to % and its face is %',
                    NEW.receivable_id, total, owed.face_minor
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'dilution_within_face';
            END IF;
            RETURN NULL;
        END $$""")
    run("CREATE TRIGGER dilution_within_face AFTER INSERT ON dilution FOR EACH ROW "
        "EXECUTE FUNCTION dilution_within_face()")  # fmt: skip


def _effect() -> None:
    """What a credit note did to a collection, and how the seller made good what the residual could not bear."""
    run("""
        CREATE TABLE dilution_effect (
            dilution_id uuid CONSTRAINT pk_dilution_effect PRIMARY KEY
                CONSTRAINT fk_dilution_effect_dilution_id REFERENCES dilution (id),
            receivable_id uuid NOT NULL
                CONSTRAINT fk_dilution_effect_receivable_id REFERENCES collection (receivable_id),
            residual_minor bigint NOT NULL
                CONSTRAINT ck_dilution_effect_residual CHECK (residual_minor >= 0),
            demanded_minor bigint NOT NULL
                CONSTRAINT ck_dilution_effect_demanded CHECK (demanded_minor >= 0),
            pay_by date,
            at timestamptz NOT NULL DEFAULT market_now(),
            CONSTRAINT ck_dilution_effect_pay_by CHECK ((demanded_minor > 0) = (pay_by IS NOT NULL)))""")
    run("CREATE INDEX ix_dilution_effect_receivable_id ON dilution_effect (receivable_id)")
    run("""
        CREATE TABLE dilution_cover (
            dilution_id uuid CONSTRAINT pk_dilution_cover PRIMARY KEY
                CONSTRAINT fk_dilution_cover_dilution_id REFERENCES dilution_effect (dilution_id),
            receivable_id uuid NOT NULL
                CONSTRAINT fk_dilution_cover_receivable_id REFERENCES collection (receivable_id),
            covered_minor bigint NOT NULL CONSTRAINT ck_dilution_cover_covered CHECK (covered_minor > 0),
            entry_id uuid NOT NULL CONSTRAINT uq_dilution_cover_entry_id UNIQUE
                CONSTRAINT fk_dilution_cover_entry_id REFERENCES entry (id),
            at timestamptz NOT NULL DEFAULT market_now())""")
    run("CREATE INDEX ix_dilution_cover_receivable_id ON dilution_cover (receivable_id)")
    run("""
        CREATE TABLE dilution_cover_share (
            id uuid CONSTRAINT pk_dilution_cover_share PRIMARY KEY,
            dilution_id uuid NOT NULL CONSTRAINT fk_dilution_cover_share_dilution_id
                REFERENCES dilution_cover (dilution_id),
            step text NOT NULL CONSTRAINT ck_dilution_cover_share_step
                CHECK (step IN ('costs', 'principal', 'discount', 'late_charge', 'platform_fee')),
            party_id uuid,
            minor bigint NOT NULL CONSTRAINT ck_dilution_cover_share_minor CHECK (minor > 0),
            CONSTRAINT ck_dilution_cover_share_party CHECK ((party_id IS NULL) = (step IN ('costs', 'platform_fee'))),
            CONSTRAINT uq_dilution_cover_share_dilution_id_step_party_id
                UNIQUE NULLS NOT DISTINCT (dilution_id, step, party_id))""")
    run("CREATE INDEX ix_dilution_cover_share_party_id ON dilution_cover_share (party_id)")
    for table in ("dilution_effect", "dilution_cover", "dilution_cover_share"):
        append_only(table)
        grant(table, web=KEEP, worker=KEEP)
    require_event("dilution_effect")
    require_event("dilution_cover")
    run("""
        CREATE FUNCTION dilution_effect_whole() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NOT EXISTS (SELECT FROM dilution WHERE id = NEW.dilution_id AND receivable_id = NEW.receivable_id
                    AND amount_minor = NEW.residual_minor + NEW.demanded_minor) THEN
                RAISE EXCEPTION 'the parts of credit note % are not its whole', NEW.dilution_id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'dilution_effect_whole';
            END IF;
            RETURN NULL;
        END $$""")
    run("CREATE TRIGGER dilution_effect_whole AFTER INSERT ON dilution_effect FOR EACH ROW "
        "EXECUTE FUNCTION dilution_effect_whole()")  # fmt: skip
    run("""
        CREATE FUNCTION dilution_cover_whole() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE given numeric;
        BEGIN
            SELECT coalesce(sum(minor), 0) INTO given FROM dilution_cover_share WHERE dilution_id = NEW.dilution_id;
            IF given <> NEW.covered_minor OR NOT EXISTS (
                    SELECT FROM dilution_effect WHERE dilution_id = NEW.dilution_id
                    AND receivable_id = NEW.receivable_id AND demanded_minor = NEW.covered_minor) THEN
                RAISE EXCEPTION 'what was given for credit note % is not what was demanded', NEW.dilution_id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'dilution_cover_whole';
            END IF;
            RETURN NULL;
        END $$""")
    run("""
        CREATE CONSTRAINT TRIGGER dilution_cover_whole AFTER INSERT ON dilution_cover
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION dilution_cover_whole()""")
    run("""
        CREATE FUNCTION dilution_cover_sealed() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (SELECT FROM written JOIN dilution_cover USING (dilution_id)
                       JOIN entry ON entry.id = dilution_cover.entry_id
                       WHERE entry.xact <> pg_current_xact_id()::text) THEN
                RAISE EXCEPTION 'the cover is sealed'
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'dilution_cover_sealed';
            END IF;
            IF EXISTS (SELECT FROM dilution_cover JOIN dilution_cover_share AS share USING (dilution_id)
                       WHERE dilution_id IN (SELECT written.dilution_id FROM written)
                       GROUP BY dilution_id, covered_minor HAVING sum(share.minor) > covered_minor) THEN
                RAISE EXCEPTION 'the shares of a cover exceed it'
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'dilution_cover_whole';
            END IF;
            RETURN NULL;
        END $$""")
    run("""
        CREATE TRIGGER dilution_cover_sealed AFTER INSERT ON dilution_cover_share REFERENCING NEW TABLE AS written
        FOR EACH STATEMENT EXECUTE FUNCTION dilution_cover_sealed()""")


def _dues() -> None:
    """Let the dues sum to the face less what credit notes took from the residual and what sellers made good."""
    run("""
        CREATE OR REPLACE FUNCTION dues_sum_to_face() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE total numeric; face bigint; eaten numeric; covered numeric;
        BEGIN
            SELECT face_minor INTO face FROM collection WHERE receivable_id = NEW.receivable_id FOR UPDATE;
            SELECT sum(due_minor) INTO total FROM due WHERE receivable_id = NEW.receivable_id;
            SELECT coalesce(sum(residual_minor), 0) INTO eaten FROM dilution_effect
                WHERE receivable_id = NEW.receivable_id;
            SELECT coalesce(sum(covered_minor), 0) INTO covered FROM dilution_cover
                WHERE receivable_id = NEW.receivable_id;
            IF total <> face - eaten - covered THEN
                RAISE EXCEPTION 'the dues of % sum to %, not to its face % less % credited and % made good',
                    NEW.receivable_id, total, face, eaten, covered
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'dues_sum_to_face';
            END IF;
            RETURN NULL;
        END $$""")
    for table in ("dilution_effect", "dilution_cover"):
        run(f"""
            CREATE CONSTRAINT TRIGGER {table}_lowers_dues AFTER INSERT ON {table}
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION dues_sum_to_face()""")
