"""What the market's own outcomes teach the rating model: outcomes, learnt models, who spoke for them, and the runs."""

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

revision = "0039"
down_revision = "0043"

STATES = "'kept', 'proposed', 'serving', 'refused', 'overtaken', 'replaced'"
MOVES = "('proposed','serving'), ('proposed','refused'), ('proposed','overtaken'), ('serving','replaced')"
BASES = "'public', 'own'"
KEEP = "SELECT, INSERT"


def upgrade() -> None:
    """Create the tables, then the rules that span them."""
    _rating_outcome()
    _rating_model()
    _model_voice()
    _learning_run()
    _two_people()
    wall_functions()


def _rating_outcome() -> None:
    run("""
        CREATE TABLE rating_outcome (
            id uuid CONSTRAINT pk_rating_outcome PRIMARY KEY,
            receivable_id uuid NOT NULL CONSTRAINT fk_rating_outcome_receivable_id REFERENCES receivable (id),
            debtor_id uuid NOT NULL CONSTRAINT fk_rating_outcome_debtor_id REFERENCES organisation (id),
            debtor_rating_id uuid NOT NULL CONSTRAINT fk_rating_outcome_debtor_rating_id REFERENCES party_rating (id),
            filing_id uuid NOT NULL CONSTRAINT fk_rating_outcome_filing_id REFERENCES filing (id),
            model_version text NOT NULL,
            listed_on date NOT NULL,
            ended_on date NOT NULL CONSTRAINT ck_rating_outcome_ended CHECK (ended_on >= listed_on),
            outcome text NOT NULL CONSTRAINT ck_rating_outcome_outcome
                CHECK (outcome IN ('paid', 'late', 'diluted', 'defaulted')),
            noted_at timestamptz NOT NULL DEFAULT market_now(),
            CONSTRAINT uq_rating_outcome_receivable_id_outcome_ended_on UNIQUE (receivable_id, outcome, ended_on))""")
    run("CREATE INDEX ix_rating_outcome_debtor_id_filing_id ON rating_outcome (debtor_id, filing_id)")
    append_only("rating_outcome")
    require_event("rating_outcome")
    grant("rating_outcome", worker=KEEP)
    # What a model learns from is what it saw: nobody's outcome stands beside another's accounts.
    run("""
        CREATE FUNCTION outcome_of_its_rating() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NOT EXISTS (SELECT FROM party_rating WHERE id = NEW.debtor_rating_id
                AND organisation_id = NEW.debtor_id AND filing_id = NEW.filing_id
                AND model_version = NEW.model_version) THEN
                RAISE EXCEPTION 'an outcome stands beside the rating of its own debtor'
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'outcome_of_its_rating';
            END IF;
            RETURN NEW;
        END $$""")
    run("CREATE TRIGGER rating_outcome_of_its_rating BEFORE INSERT ON rating_outcome FOR EACH ROW "
        "EXECUTE FUNCTION outcome_of_its_rating()")  # fmt: skip


def _rating_model() -> None:
    run(f"""
        CREATE TABLE rating_model (
            id uuid CONSTRAINT pk_rating_model PRIMARY KEY,
            version text NOT NULL CONSTRAINT uq_rating_model_version UNIQUE
                CONSTRAINT ck_rating_model_version CHECK (version ~ '^gb-[0-9a-f]{{8}}$'),
            champion bytea NOT NULL,
            challenger bytea NOT NULL,
            card text NOT NULL,
            champion_sha256 char(64) NOT NULL,
            challenger_sha256 char(64) NOT NULL,
            card_sha256 char(64) NOT NULL,
            base text NOT NULL CONSTRAINT ck_rating_model_base CHECK (base IN ({BASES})),
            own_rows integer NOT NULL,
            own_failures integer NOT NULL,
            learnt_until date NOT NULL,
            against_version text NOT NULL,
            comparison jsonb NOT NULL,
            state text NOT NULL,
            made_at timestamptz NOT NULL DEFAULT market_now(),
            moved_at timestamptz,
            CONSTRAINT ck_rating_model_champion CHECK (champion_sha256 = encode(sha256(champion), 'hex')),
            CONSTRAINT ck_rating_model_challenger CHECK (challenger_sha256 = encode(sha256(challenger), 'hex')),
            CONSTRAINT ck_rating_model_card CHECK (card_sha256 = encode(sha256(convert_to(card, 'UTF8')), 'hex')),
            CONSTRAINT ck_rating_model_rows CHECK (own_failures BETWEEN 0 AND own_rows))""")
    run("CREATE UNIQUE INDEX uq_rating_model_state_live ON rating_model (state) "
        "WHERE state IN ('proposed', 'serving')")  # fmt: skip
    state_machine("rating_model", STATES, MOVES)
    keep_columns("rating_model", "id", "version", "champion", "challenger", "card", "champion_sha256",
                 "challenger_sha256", "card_sha256", "base", "own_rows", "own_failures", "learnt_until",
                 "against_version", "comparison", "made_at")  # fmt: skip
    no_delete("rating_model")
    require_event("rating_model")
    grant("rating_model", web="SELECT, UPDATE (state, moved_at)",
          worker="SELECT, INSERT, UPDATE (state, moved_at)")  # fmt: skip


def _model_voice() -> None:
    run("""
        CREATE TABLE model_voice (
            id uuid CONSTRAINT pk_model_voice PRIMARY KEY,
            model_id uuid NOT NULL CONSTRAINT fk_model_voice_model_id REFERENCES rating_model (id),
            voice text NOT NULL CONSTRAINT ck_model_voice_voice CHECK (voice IN ('for', 'against', 'out')),
            user_id uuid NOT NULL,
            reason text NOT NULL CONSTRAINT ck_model_voice_reason CHECK (length(reason) BETWEEN 10 AND 500),
            said_at timestamptz NOT NULL DEFAULT market_now(),
            CONSTRAINT uq_model_voice_model_id_voice_user_id UNIQUE (model_id, voice, user_id))""")
    append_only("model_voice")
    require_event("model_voice")
    grant("model_voice", web=KEEP)


def _learning_run() -> None:
    run(f"""
        CREATE TABLE learning_run (
            id uuid CONSTRAINT pk_learning_run PRIMARY KEY,
            month date NOT NULL CONSTRAINT ck_learning_run_month CHECK (extract(day FROM month) = 1),
            base text NOT NULL CONSTRAINT ck_learning_run_base CHECK (base IN ({BASES})),
            outcomes integer NOT NULL,
            years integer NOT NULL,
            failures integer NOT NULL,
            judged integer NOT NULL,
            judged_failures integer NOT NULL,
            verdict text NOT NULL CONSTRAINT ck_learning_run_verdict
                CHECK (verdict IN ('too_few', 'same', 'kept', 'proposed')),
            model_id uuid CONSTRAINT fk_learning_run_model_id REFERENCES rating_model (id),
            ran_at timestamptz NOT NULL DEFAULT market_now(),
            CONSTRAINT ck_learning_run_model CHECK ((verdict = 'too_few') = (model_id IS NULL)),
            CONSTRAINT ck_learning_run_counts CHECK (outcomes >= 0 AND failures BETWEEN 0 AND years
                AND judged_failures BETWEEN 0 AND judged))""")
    run("CREATE INDEX ix_learning_run_ran_at ON learning_run (ran_at)")
    append_only("learning_run")
    require_event("learning_run")
    grant("learning_run", worker=KEEP)


def _two_people() -> None:
    """Let no model serve, and none but a replaced one leave, without the voices of two different people."""
    run("""
        CREATE FUNCTION model_by_two_people() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE
            voices integer;
        BEGIN
            IF TG_OP = 'INSERT' THEN
                IF NEW.state NOT IN ('kept', 'proposed') THEN
                    RAISE EXCEPTION 'a learnt model starts outside service'
                        USING ERRCODE = 'check_violation', CONSTRAINT = 'model_by_two_people';
                END IF;
                RETURN NEW;
            END IF;
            SELECT count(*) INTO voices FROM model_voice WHERE model_id = NEW.id AND voice =
                CASE NEW.state WHEN 'serving' THEN 'for' WHEN 'refused' THEN 'against' WHEN 'replaced' THEN 'out' END;
            IF NEW.state = 'serving' AND voices < 2 OR NEW.state = 'refused' AND voices < 1
               OR NEW.state = 'replaced' AND voices < 2 AND NOT EXISTS (
                   SELECT FROM rating_model AS next WHERE next.state = 'proposed' AND (
                       SELECT count(*) FROM model_voice WHERE model_id = next.id AND voice = 'for') >= 2) THEN
                RAISE EXCEPTION 'a model goes into service, and out of it, by two people'
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'model_by_two_people';
            END IF;
            RETURN NEW;
        END $$""")
    run("CREATE TRIGGER rating_model_by_two_people BEFORE INSERT OR UPDATE OF state ON rating_model FOR EACH ROW "
        "EXECUTE FUNCTION model_by_two_people()")  # fmt: skip
    run("""
        CREATE FUNCTION voice_in_time() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NOT EXISTS (SELECT FROM rating_model WHERE id = NEW.model_id
                AND state = CASE NEW.voice WHEN 'out' THEN 'serving' ELSE 'proposed' END) THEN
                RAISE EXCEPTION 'nobody is asked about this model'
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'voice_in_time';
            END IF;
            RETURN NEW;
        END $$""")
    run("CREATE TRIGGER model_voice_in_time BEFORE INSERT ON model_voice FOR EACH ROW "
        "EXECUTE FUNCTION voice_in_time()")  # fmt: skip
