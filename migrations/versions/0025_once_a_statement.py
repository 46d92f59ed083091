"""What must be whole at commit is judged once a receivable, however many rows and statements touched it.

PostgreSQL defers triggers only row by row, and gives transition tables only to triggers that are not deferred. So a
statement's end notes which receivables it touched, and the note, a row, has the deferred trigger.
"""

from migrations.helpers import run, wall_functions

revision = "0025"
down_revision = "0024"

# table: the rules that its rows can break, in the order in which they are judged
TOUCHED = {
    "holding": ("title_is_whole", "holding_event", "open_offers_are_held"),
    "due": ("dues_sum_to_face", "dues_with_event"),
    "hold_resolution": ("hold_resolution_event",),
}
BEFORE = ("holding_is_whole ON holding", "holding_event ON holding", "holding_offers_are_held ON holding",
          "dues_sum_to_face ON due", "dues_with_event ON due", "hold_resolution_event ON hold_resolution")  # fmt: skip


def upgrade() -> None:
    """Create the notes and their judge, and let statements write notes where rows were judged one by one."""
    _rules()
    _notes()
    for trigger in BEFORE:
        run(f"DROP TRIGGER {trigger}")
    for table, rules in TOUCHED.items():
        told = ", ".join(f"'{rule}'" for rule in rules)
        noting = "note_change" if table == "hold_resolution" else "note_receivables"
        for event in ("INSERT", "UPDATE"):
            run(f"CREATE TRIGGER {table}_{event.lower()}_noted AFTER {event} ON {table} REFERENCING NEW TABLE "
                f"AS written FOR EACH STATEMENT EXECUTE FUNCTION {noting}({told})")  # fmt: skip
    wall_functions()


def _rules() -> None:
    """The rules as they were, asked of one receivable; those that a single row can also break ask them there."""
    run("""
        CREATE FUNCTION title_is_whole(receivable uuid) RETURNS void LANGUAGE plpgsql AS $$
        DECLARE claim title%ROWTYPE; held numeric; wanted numeric; beyond integer;
        BEGIN
            SELECT * INTO claim FROM title WHERE receivable_id = receivable FOR UPDATE;
            SELECT coalesce(sum(upper(units) - lower(units)), 0), count(*) FILTER (WHERE upper(units) > claim.face_minor)
                INTO held, beyond FROM holding WHERE receivable_id = receivable AND upper_inf(held_during);
            wanted := CASE WHEN claim.ended_at IS NULL THEN claim.face_minor ELSE 0 END;
            IF beyond > 0 OR held IS DISTINCT FROM wanted THEN
                RAISE EXCEPTION 'the units of % sum to % of %', receivable, held, wanted
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'title_is_whole';
            END IF;
        END $$""")
    run("""
        CREATE FUNCTION open_offers_are_held(receivable uuid) RETURNS void LANGUAGE plpgsql AS $$
        BEGIN
            IF NOT EXISTS (SELECT FROM holding_offer WHERE receivable_id = receivable AND state = 'open') THEN
                RETURN;
            END IF;
            PERFORM FROM title WHERE receivable_id = receivable FOR UPDATE;
            IF EXISTS (
                SELECT FROM holding_offer AS offer WHERE offer.receivable_id = receivable AND offer.state = 'open'
                AND NOT coalesce((SELECT range_agg(holding.units) @> offer.units FROM holding
                    WHERE holding.receivable_id = offer.receivable_id AND holding.owner_id = offer.owner_id
                    AND upper_inf(holding.held_during)), false)) THEN
                RAISE EXCEPTION 'an offer of % is for units that its owner does not hold', receivable
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'open_offers_are_held';
            END IF;
        END $$""")
    run("""
        CREATE FUNCTION dues_sum_to_face(receivable uuid) RETURNS void LANGUAGE plpgsql AS $$
        DECLARE total numeric; face bigint; eaten numeric; covered numeric;
        BEGIN
            SELECT face_minor INTO face FROM collection WHERE receivable_id = receivable FOR UPDATE;
            SELECT sum(due_minor) INTO total FROM due WHERE receivable_id = receivable;
            SELECT coalesce(sum(residual_minor), 0) INTO eaten FROM dilution_effect WHERE receivable_id = receivable;
            SELECT coalesce(sum(covered_minor), 0) INTO covered FROM dilution_cover WHERE receivable_id = receivable;
            IF total <> face - eaten - covered THEN
                RAISE EXCEPTION 'the dues of % sum to %, not to its face % less % credited and % made good',
                    receivable, total, face, eaten, covered
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'dues_sum_to_face';
            END IF;
        END $$""")
    for rule in ("title_is_whole", "open_offers_are_held", "dues_sum_to_face"):
        run(f"""
            CREATE OR REPLACE FUNCTION {rule}() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN PERFORM {rule}(NEW.receivable_id); RETURN NULL; END $$""")


def _notes() -> None:
    """A note lives from its statement to its judgement, so no crash can leave one: it needs no log.

    No role reads or writes notes; the triggers do, as the owner. A note that is gone when its turn comes was judged
    with an earlier one, after everything that was noted until then.
    """
    run("CREATE UNLOGGED TABLE commit_check (rule text NOT NULL, subject_id uuid NOT NULL)")
    run("CREATE INDEX ix_commit_check_subject_id ON commit_check (subject_id)")
    run("""
        CREATE FUNCTION note_receivables() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN
            INSERT INTO commit_check (rule, subject_id)
            SELECT told.rule, touched.receivable_id FROM (SELECT DISTINCT receivable_id FROM written) AS touched,
                unnest(TG_ARGV[0:TG_NARGS - 1]) WITH ORDINALITY AS told (rule, place) ORDER BY told.place;
            RETURN NULL;
        END $$""")
    run("""
        CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN
            INSERT INTO commit_check (rule, subject_id)
            SELECT TG_ARGV[0], gen_random_uuid() WHERE EXISTS (SELECT FROM written);
            RETURN NULL;
        END $$""")
    run("""
        CREATE FUNCTION judge_note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN
            DELETE FROM commit_check WHERE rule = NEW.rule AND subject_id = NEW.subject_id;
            IF NOT FOUND THEN
                RETURN NULL;
            END IF;
            CASE NEW.rule
                WHEN 'title_is_whole' THEN PERFORM title_is_whole(NEW.subject_id);
                WHEN 'open_offers_are_held' THEN PERFORM open_offers_are_held(NEW.subject_id);
                WHEN 'dues_sum_to_face' THEN PERFORM dues_sum_to_face(NEW.subject_id);
                ELSE
                    IF NOT EXISTS (SELECT FROM event WHERE xact = pg_current_xact_id()::text) THEN
                        RAISE EXCEPTION 'a change needs an audit event in its own transaction (%)', NEW.rule
                            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = NEW.rule;
                    END IF;
            END CASE;
            RETURN NULL;
        END $$""")
    run("CREATE CONSTRAINT TRIGGER commit_check_judged AFTER INSERT ON commit_check "
        "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION judge_note()")  # fmt: skip
