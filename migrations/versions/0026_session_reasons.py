"""Why each bid of a session was filled, cut or passed over is kept at the close: no page solves a session again."""

from migrations.helpers import append_only, grant, require_event, run

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    """Create the table."""
    run("""
        CREATE TABLE session_reason (
            bid_id uuid CONSTRAINT pk_session_reason PRIMARY KEY
                CONSTRAINT fk_session_reason_bid_id REFERENCES bid (id),
            session_id uuid NOT NULL CONSTRAINT fk_session_reason_session_id REFERENCES call_session (id),
            investor_id uuid NOT NULL CONSTRAINT fk_session_reason_investor_id REFERENCES organisation (id),
            state text NOT NULL CONSTRAINT ck_session_reason_state
                CHECK (state IN ('filled', 'cut', 'passed_over', 'unfilled', 'refused')),
            cash_minor bigint NOT NULL CONSTRAINT ck_session_reason_cash CHECK (cash_minor >= 0),
            reasons jsonb NOT NULL,
            CONSTRAINT ck_session_reason_reasons CHECK ((state = 'filled') = (jsonb_array_length(reasons) = 0)))""")
    run("CREATE INDEX ix_session_reason_session_id_investor_id ON session_reason (session_id, investor_id)")
    append_only("session_reason")
    require_event("session_reason")
    grant("session_reason", worker="SELECT, INSERT")
