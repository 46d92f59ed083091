"""Words that migrations share: grants, append-only tables, state machines, events that must accompany a change."""

from alembic import op

from marketplace.kernel.states import Machine

WEB, WORKER, SIGNER, READER = "duebill_web", "duebill_worker", "duebill_signer", "duebill_reader"


def run(sql: str) -> None:
    """Execute SQL as it stands (no parameters, so colons and percent signs are safe)."""
    op.get_bind().exec_driver_sql(sql.replace("%", "%%"))


def grant(table: str, *, web: str = "SELECT", worker: str = "SELECT", signer: str = "") -> None:
    """Give the application's roles what they need on a table; the reader may always look.

    `web="SELECT, INSERT"` and so on; nobody is ever given TRUNCATE.
    """
    for role, rights in ((WEB, web), (WORKER, worker), (SIGNER, signer), (READER, "SELECT")):
        if rights:
            run(f"GRANT {rights} ON {table} TO {role}")


def grant_sequence(sequence: str) -> None:
    """Let web and worker draw numbers."""
    run(f"GRANT USAGE ON SEQUENCE {sequence} TO {WEB}, {WORKER}")


def append_only(table: str) -> None:
    """Refuse UPDATE, DELETE and TRUNCATE for everybody, the owner included."""
    run(f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
        f"FOR EACH ROW EXECUTE FUNCTION refuse_change()")  # fmt: skip
    run(f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()")  # fmt: skip


def no_delete(table: str) -> None:
    """Rows may change state but never vanish."""
    run(f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} "
        f"FOR EACH ROW EXECUTE FUNCTION refuse_change()")  # fmt: skip
    run(f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()")  # fmt: skip


def keep_columns(table: str, *columns: str) -> None:
    """Refuse to change the named columns of a row."""
    test = " OR ".join(f"NEW.{c} IS DISTINCT FROM OLD.{c}" for c in columns)
    run(f"CREATE TRIGGER {table}_keep_columns BEFORE UPDATE ON {table} "
        f"FOR EACH ROW WHEN ({test}) EXECUTE FUNCTION refuse_change()")  # fmt: skip


def state_machine(table: str, states: str, moves: str, column: str = "state") -> None:
    """Add the CHECK that lists the states and the trigger that lists the moves.

    `states`: `'a', 'b'`; `moves`: `('a','b'), ('b','c')`, written out so that the migration never changes with the
    code; a test compares both with the room's Machine.
    """
    run(f"ALTER TABLE {table} ADD CONSTRAINT ck_{table}_{column} CHECK ({column} IN ({states}))")
    run(f"""
        CREATE FUNCTION {table}_{column}_moves() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF (OLD.{column}, NEW.{column}) NOT IN ({moves}) THEN
                RAISE EXCEPTION '{table} cannot go from % to %', OLD.{column}, NEW.{column}
                    USING ERRCODE = 'check_violation', CONSTRAINT = '{table}_{column}_moves';
            END IF;
            RETURN NEW;
        END $$""")
    run(f"CREATE TRIGGER {table}_{column}_moves BEFORE UPDATE OF {column} ON {table} FOR EACH ROW "
        f"WHEN (OLD.{column} IS DISTINCT FROM NEW.{column}) EXECUTE FUNCTION {table}_{column}_moves()")  # fmt: skip


def require_event(table: str) -> None:
    """Let no change of the table commit without an audit event of the same transaction."""
    run(f"CREATE CONSTRAINT TRIGGER {table}_event AFTER INSERT OR UPDATE ON {table} "
        f"DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION require_event()")  # fmt: skip


def wall_functions() -> None:
    """Give every function of ours a fixed search path and its triggers to our own tables alone.

    Else a role could put a temporary table before the market's, or hang a function that runs as the owner on a table
    of its own. To be called again by a migration that adds functions.
    """
    run("""
        DO $$ DECLARE ours record;
        BEGIN
            FOR ours IN SELECT pg_proc.oid::regprocedure AS name, prorettype = 'trigger'::regtype AS fires
                FROM pg_proc JOIN pg_language ON pg_language.oid = prolang
                WHERE pronamespace = 'public'::regnamespace AND lanname = 'plpgsql'
            LOOP
                EXECUTE format('ALTER FUNCTION %s SET search_path = public, pg_temp', ours.name);
                IF ours.fires THEN EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', ours.name); END IF;
            END LOOP;
        END $$""")


def machine_sql(machine: Machine) -> tuple[str, str]:
    """Return a machine's states and moves as SQL, to write a migration or to compare one with."""
    return ", ".join(repr(str(s)) for s in machine.states), machine.sql_moves()
