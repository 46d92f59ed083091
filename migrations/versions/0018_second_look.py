"""A second voice for a credit note that others than its teller bear."""

from migrations.helpers import grant, keep_columns, no_delete, require_event, run, state_machine, wall_functions

revision = "0018"
down_revision = "0017"

CHANGE = "SELECT, INSERT, UPDATE"


def upgrade() -> None:
    """Let credit notes wait, and let none take effect without the voices that it needs."""
    _proposal()
    _voice()
    _effect()
    wall_functions()


def _proposal() -> None:
    run("""
        CREATE TABLE dilution_proposal (
            id uuid CONSTRAINT pk_dilution_proposal PRIMARY KEY,
            receivable_id uuid NOT NULL
                CONSTRAINT fk_dilution_proposal_receivable_id REFERENCES collection (receivable_id),
            number text NOT NULL CONSTRAINT ck_dilution_proposal_number CHECK (length(number) BETWEEN 1 AND 100),
            number_key text NOT NULL CONSTRAINT ck_dilution_proposal_number_key CHECK (length(number_key) > 0),
            issued_on date,
            currency char(3) NOT NULL,
            amount_minor bigint NOT NULL CONSTRAINT ck_dilution_proposal_amount CHECK (amount_minor > 0),
            document_id uuid CONSTRAINT fk_dilution_proposal_document_id REFERENCES document (id),
            words text,
            said_by text NOT NULL CONSTRAINT ck_dilution_proposal_said_by CHECK (said_by IN ('seller', 'operator')),
            said_at timestamptz NOT NULL DEFAULT market_now(),
            state text NOT NULL DEFAULT 'waiting',
            maker_id uuid,
            maker_reason text,
            proposed_at timestamptz,
            approver_id uuid,
            approver_reason text,
            link_id uuid CONSTRAINT fk_dilution_proposal_link_id REFERENCES debtor_link (id),
            answered_by text,
            refused_by text
                CONSTRAINT ck_dilution_proposal_refused_by CHECK (refused_by IN ('seller', 'operator', 'debtor')),
            refusal text,
            decided_at timestamptz,
            dilution_id uuid CONSTRAINT uq_dilution_proposal_dilution_id UNIQUE
                CONSTRAINT fk_dilution_proposal_dilution_id REFERENCES dilution (id),
            CONSTRAINT ck_dilution_proposal_two_people CHECK (approver_id IS NULL OR approver_id <> maker_id),
            CONSTRAINT ck_dilution_proposal_maker CHECK (state <> 'proposed' OR maker_id IS NOT NULL),
            CONSTRAINT ck_dilution_proposal_voices CHECK (
                state <> 'taken' OR (maker_id IS NOT NULL AND approver_id IS NOT NULL)
                OR (said_by = 'seller' AND link_id IS NOT NULL AND answered_by IS NOT NULL)),
            CONSTRAINT ck_dilution_proposal_taken CHECK ((state = 'taken') = (dilution_id IS NOT NULL)),
            CONSTRAINT ck_dilution_proposal_refused CHECK (
                (state = 'refused') = (refusal IS NOT NULL) AND (refusal IS NULL) = (refused_by IS NULL)))""")
    run("CREATE INDEX ix_dilution_proposal_receivable_id ON dilution_proposal (receivable_id)")
    run("CREATE UNIQUE INDEX uq_dilution_proposal_open ON dilution_proposal (receivable_id, number_key) "
        "WHERE state IN ('waiting', 'proposed')")  # fmt: skip
    state_machine(
        "dilution_proposal",
        "'waiting', 'proposed', 'taken', 'refused'",
        "('waiting','proposed'), ('waiting','taken'), ('waiting','refused'), ('proposed','taken'), "
        "('proposed','refused')",
    )
    keep_columns("dilution_proposal", "id", "receivable_id", "number", "number_key", "issued_on", "currency",
                 "amount_minor", "document_id", "words", "said_by", "said_at")  # fmt: skip
    no_delete("dilution_proposal")
    require_event("dilution_proposal")
    grant("dilution_proposal", web=CHANGE)


def _voice() -> None:
    """Let nobody's link speak for another debtor."""
    run("""
        CREATE FUNCTION dilution_proposal_link() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.link_id IS NOT NULL AND NOT EXISTS (
                    SELECT FROM debtor_link AS link JOIN receivable ON receivable.id = NEW.receivable_id
                    WHERE link.id = NEW.link_id
                    AND (link.receivable_id = receivable.id OR link.debtor_id = receivable.debtor_id)) THEN
                RAISE EXCEPTION 'link % is not of the debtor of %', NEW.link_id, NEW.receivable_id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'dilution_proposal_link';
            END IF;
            RETURN NULL;
        END $$""")
    run("CREATE TRIGGER dilution_proposal_link AFTER INSERT OR UPDATE ON dilution_proposal FOR EACH ROW "
        "EXECUTE FUNCTION dilution_proposal_link()")  # fmt: skip


def _effect() -> None:
    """Refuse an effect that others bear, or that an operator alone told, without a proposal that was taken."""
    run("""
        CREATE FUNCTION dilution_effect_voices() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE note dilution%ROWTYPE;
        BEGIN
            SELECT * INTO note FROM dilution WHERE id = NEW.dilution_id;
            IF (NEW.demanded_minor > 0 OR note.recorded_by <> 'seller') AND NOT EXISTS (
                    SELECT FROM dilution_proposal AS said
                    WHERE said.dilution_id = note.id AND said.state = 'taken' AND said.said_by = note.recorded_by
                    AND (said.receivable_id, said.number_key, said.currency, said.amount_minor)
                      = (note.receivable_id, note.number_key, note.currency, note.amount_minor)) THEN
                RAISE EXCEPTION 'credit note % lacks its second voice', NEW.dilution_id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'dilution_effect_voices';
            END IF;
            RETURN NULL;
        END $$""")
    run("""
        CREATE CONSTRAINT TRIGGER dilution_effect_voices AFTER INSERT ON dilution_effect
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION dilution_effect_voices()""")
