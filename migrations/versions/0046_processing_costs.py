"""What the provider keeps for moving money is booked, once a line of the provider's."""

from migrations.helpers import append_only, grant, require_event, run, wall_functions

revision = "0046"
down_revision = "0045"


def upgrade() -> None:
    """Add the account to whatever the chart's constraint says by now, and the lines whose cost is booked."""
    run("""
        DO $$ DECLARE known text;
        BEGIN
            SELECT pg_get_expr(conbin, conrelid) INTO STRICT known FROM pg_constraint
                WHERE conname = 'ck_account_chart' AND conrelid = 'account'::regclass;
            ALTER TABLE account DROP CONSTRAINT ck_account_chart;
            EXECUTE format('ALTER TABLE account ADD CONSTRAINT ck_account_chart CHECK (%s OR '
                '(code = ''processing_costs'' AND pool = ''platform'' AND side = 1 '
                'AND NOT guarded AND organisation_id IS NULL))', known);
        END $$""")
    run("""
        CREATE TABLE processing_cost (
            line_id text CONSTRAINT pk_processing_cost PRIMARY KEY,
            currency char(3) NOT NULL,
            minor bigint NOT NULL CONSTRAINT ck_processing_cost_minor CHECK (minor <> 0),
            entry_id uuid NOT NULL CONSTRAINT fk_processing_cost_entry_id REFERENCES entry (id))""")
    run("CREATE INDEX ix_processing_cost_entry_id ON processing_cost (entry_id)")
    append_only("processing_cost")
    require_event("processing_cost")
    grant("processing_cost", worker="SELECT, INSERT")
    wall_functions()
