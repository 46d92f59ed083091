"""The room payments: who we are at the provider, money in and out, calls, webhooks, transitions, alerts."""

from migrations.helpers import append_only, grant, keep_columns, no_delete, require_event, run, state_machine

revision = "0008"
down_revision = "0007"

KEEP = "SELECT, INSERT"
CHANGE = "SELECT, INSERT, UPDATE"
PAYMENT_STATES = "'preparing', 'open', 'processing', 'succeeded', 'failed', 'expired', 'parked'"
PAYMENT_MOVES = (
    "('preparing','open'), ('preparing','processing'), ('preparing','succeeded'), ('preparing','failed'), "
    "('preparing','expired'), ('preparing','parked'), ('open','processing'), ('open','succeeded'), ('open','failed'), "
    "('open','expired'), ('open','parked'), ('processing','succeeded'), ('processing','failed'), "
    "('processing','parked'), ('failed','succeeded'), ('failed','parked'), ('expired','succeeded'), "
    "('expired','parked')"
)
PAYOUT_STATES = "'requested', 'transferred', 'in_transit', 'paid', 'failed', 'returned'"
PAYOUT_MOVES = (
    "('requested','transferred'), ('requested','returned'), ('transferred','in_transit'), ('transferred','failed'), "
    "('in_transit','paid'), ('in_transit','failed'), ('paid','failed'), ('failed','returned')"
)
CALL_STATES = "'pending', 'sent', 'unknown', 'succeeded', 'failed'"
CALL_MOVES = (
    "('pending','sent'), ('sent','pending'), ('sent','unknown'), ('sent','succeeded'), ('sent','failed'), "
    "('unknown','sent'), ('unknown','succeeded'), ('unknown','failed')"
)
NOTICE_STATES = "'received', 'settled', 'ignored'"
NOTICE_MOVES = "('received','settled'), ('received','ignored')"


def upgrade() -> None:
    """Create the tables in the order they refer to each other."""
    _provider_account()
    _payments("funding", "")
    _payments(
        "debtor_payment",
        """
            receivable_id uuid NOT NULL CONSTRAINT fk_debtor_payment_receivable_id REFERENCES receivable (id),
            applied_at timestamptz, distribution_id uuid,
            CONSTRAINT ck_debtor_payment_applied CHECK (applied_at IS NULL OR state = 'succeeded'),""",
    )
    run("CREATE INDEX ix_funding_organisation_id_created_at ON funding (organisation_id, created_at)")
    run("CREATE INDEX ix_debtor_payment_receivable_id_created_at ON debtor_payment (receivable_id, created_at)")
    run("CREATE INDEX ix_debtor_payment_unapplied ON debtor_payment (state_since) "
        "WHERE state = 'succeeded' AND applied_at IS NULL")  # fmt: skip
    _payout()
    _outgoing_call()
    _incoming_event()
    _transition()
    _alert()


def _provider_account() -> None:
    run("""
        CREATE TABLE provider_account (
            id uuid CONSTRAINT pk_provider_account PRIMARY KEY,
            organisation_id uuid NOT NULL
                CONSTRAINT fk_provider_account_organisation_id REFERENCES organisation (id),
            kind text NOT NULL CONSTRAINT ck_provider_account_kind CHECK (kind IN ('customer', 'connected')),
            currency char(3),
            provider_id text NOT NULL CONSTRAINT uq_provider_account_provider_id UNIQUE,
            created_at timestamptz NOT NULL DEFAULT market_now(),
            CONSTRAINT uq_provider_account_organisation_id_kind_currency
                UNIQUE NULLS NOT DISTINCT (organisation_id, kind, currency),
            CONSTRAINT ck_provider_account_currency CHECK ((kind = 'connected') = (currency IS NOT NULL)))""")
    append_only("provider_account")
    require_event("provider_account")
    grant("provider_account", web=KEEP, worker=KEEP)


def _payments(table: str, more: str) -> None:
    """A payment coming in: what was asked, and what the provider says arrived."""
    run(f"""
        CREATE TABLE {table} (
            id uuid CONSTRAINT pk_{table} PRIMARY KEY,
            organisation_id uuid NOT NULL CONSTRAINT fk_{table}_organisation_id REFERENCES organisation (id),
            currency char(3) NOT NULL,
            amount_minor bigint NOT NULL CONSTRAINT ck_{table}_amount CHECK (amount_minor > 0),
            words text NOT NULL, return_url text NOT NULL,
            state text NOT NULL DEFAULT 'preparing',
            state_since timestamptz NOT NULL DEFAULT market_now(),
            session_id text CONSTRAINT uq_{table}_session_id UNIQUE,
            pay_url text, intent_id text, received_minor bigint, received_currency text,
            created_at timestamptz NOT NULL DEFAULT market_now(),{more}
            CONSTRAINT ck_{table}_open CHECK (state <> 'open' OR (session_id IS NOT NULL AND pay_url IS NOT NULL)),
            CONSTRAINT ck_{table}_succeeded CHECK (
                state <> 'succeeded' OR (received_minor = amount_minor AND received_currency = currency)),
            CONSTRAINT ck_{table}_parked CHECK (state <> 'parked' OR received_minor IS NOT NULL))""")
    run(f"CREATE INDEX ix_{table}_state ON {table} (state)")
    state_machine(table, PAYMENT_STATES, PAYMENT_MOVES)
    keep_columns(table, "id", "organisation_id", "currency", "amount_minor", "words", "return_url", "created_at")
    no_delete(table)
    require_event(table)
    grant(table, web=CHANGE, worker=CHANGE)


def _payout() -> None:
    run("""
        CREATE TABLE payout (
            id uuid CONSTRAINT pk_payout PRIMARY KEY,
            organisation_id uuid NOT NULL CONSTRAINT fk_payout_organisation_id REFERENCES organisation (id),
            currency char(3) NOT NULL,
            amount_minor bigint NOT NULL CONSTRAINT ck_payout_amount CHECK (amount_minor > 0),
            purpose text NOT NULL
                CONSTRAINT ck_payout_purpose CHECK (purpose IN ('advance', 'residual', 'withdrawal')),
            subject_kind text NOT NULL,
            subject_id uuid NOT NULL,
            business_key text NOT NULL CONSTRAINT uq_payout_business_key UNIQUE,
            state text NOT NULL DEFAULT 'requested',
            state_since timestamptz NOT NULL DEFAULT market_now(),
            account_id text, transfer_id text,
            payout_id text CONSTRAINT uq_payout_payout_id UNIQUE,
            reversal_id text, failure_code text, paid_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT market_now(),
            CONSTRAINT ck_payout_transferred CHECK (
                state NOT IN ('transferred', 'in_transit', 'paid', 'failed') OR transfer_id IS NOT NULL),
            CONSTRAINT ck_payout_sent CHECK (state NOT IN ('in_transit', 'paid') OR payout_id IS NOT NULL),
            CONSTRAINT ck_payout_paid CHECK (state <> 'paid' OR paid_at IS NOT NULL))""")
    run("CREATE INDEX ix_payout_organisation_id_created_at ON payout (organisation_id, created_at)")
    run("CREATE INDEX ix_payout_subject_id ON payout (subject_id)")
    run("CREATE INDEX ix_payout_state ON payout (state)")
    state_machine("payout", PAYOUT_STATES, PAYOUT_MOVES)
    keep_columns("payout", "id", "organisation_id", "currency", "amount_minor", "purpose", "subject_kind", "subject_id",
                 "business_key", "created_at")  # fmt: skip
    no_delete("payout")
    require_event("payout")
    grant("payout", web=CHANGE, worker=CHANGE)


def _outgoing_call() -> None:
    run("""
        CREATE TABLE outgoing_call (
            id uuid CONSTRAINT pk_outgoing_call PRIMARY KEY,
            kind text NOT NULL CONSTRAINT ck_outgoing_call_kind CHECK (
                kind IN ('customer', 'account', 'checkout', 'transfer', 'payout', 'reversal')),
            business_key text NOT NULL CONSTRAINT uq_outgoing_call_business_key UNIQUE,
            subject_kind text NOT NULL,
            subject_id uuid NOT NULL,
            request bytea NOT NULL,
            state text NOT NULL DEFAULT 'pending',
            attempts integer NOT NULL DEFAULT 0,
            look_ups integer NOT NULL DEFAULT 0,
            next_at timestamptz DEFAULT market_now(),
            first_sent_at timestamptz,
            provider_id text, failure_code text,
            created_at timestamptz NOT NULL DEFAULT market_now(),
            done_at timestamptz,
            proposed_by uuid, released_by uuid,
            proposed_decision text
                CONSTRAINT ck_outgoing_call_proposed_decision CHECK (proposed_decision IN ('again', 'give_back')),
            CONSTRAINT ck_outgoing_call_two_people CHECK (released_by IS NULL OR released_by <> proposed_by),
            CONSTRAINT ck_outgoing_call_proposed CHECK ((proposed_by IS NULL) = (proposed_decision IS NULL)),
            CONSTRAINT ck_outgoing_call_released CHECK (released_by IS NULL OR proposed_by IS NOT NULL),
            CONSTRAINT ck_outgoing_call_sent CHECK (state <> 'sent' OR (attempts > 0 AND first_sent_at IS NOT NULL)),
            CONSTRAINT ck_outgoing_call_succeeded CHECK ((state = 'succeeded') = (provider_id IS NOT NULL)),
            CONSTRAINT ck_outgoing_call_done CHECK ((state IN ('succeeded', 'failed')) = (done_at IS NOT NULL)))""")
    run("CREATE INDEX ix_outgoing_call_subject_id ON outgoing_call (subject_id)")
    run("CREATE INDEX ix_outgoing_call_due ON outgoing_call (next_at) "
        "WHERE state IN ('pending', 'sent', 'unknown')")  # fmt: skip
    state_machine("outgoing_call", CALL_STATES, CALL_MOVES)
    keep_columns("outgoing_call", "id", "kind", "business_key", "subject_kind", "subject_id", "request", "created_at")
    run("CREATE TRIGGER outgoing_call_keeps_first_sent_at BEFORE UPDATE ON outgoing_call FOR EACH ROW "
        "WHEN (OLD.first_sent_at IS NOT NULL AND NEW.first_sent_at IS DISTINCT FROM OLD.first_sent_at) "
        "EXECUTE FUNCTION refuse_change()")  # fmt: skip
    no_delete("outgoing_call")
    require_event("outgoing_call")
    grant("outgoing_call", web=CHANGE, worker=CHANGE)


def _incoming_event() -> None:
    run("""
        CREATE TABLE incoming_event (
            id uuid CONSTRAINT pk_incoming_event PRIMARY KEY,
            provider text NOT NULL, event_id text NOT NULL, kind text NOT NULL,
            object_kind text NOT NULL, object_id text NOT NULL, account text,
            raw bytea NOT NULL, signature text NOT NULL,
            state text NOT NULL DEFAULT 'received',
            attempts integer NOT NULL DEFAULT 0,
            next_at timestamptz NOT NULL DEFAULT market_now(),
            received_at timestamptz NOT NULL DEFAULT market_now(),
            settled_at timestamptz,
            CONSTRAINT uq_incoming_event_provider_event_id UNIQUE (provider, event_id),
            CONSTRAINT ck_incoming_event_settled CHECK ((state = 'received') = (settled_at IS NULL)))""")
    run("CREATE INDEX ix_incoming_event_due ON incoming_event (next_at) WHERE state = 'received'")
    state_machine("incoming_event", NOTICE_STATES, NOTICE_MOVES)
    keep_columns("incoming_event", "id", "provider", "event_id", "kind", "object_kind", "object_id", "account", "raw",
                 "signature", "received_at")  # fmt: skip
    no_delete("incoming_event")
    require_event("incoming_event")
    grant("incoming_event", web=KEEP, worker=CHANGE)


def _transition() -> None:
    run("""
        CREATE TABLE provider_transition (
            object_id text, transition text,
            entry_id uuid CONSTRAINT fk_provider_transition_entry_id REFERENCES entry (id),
            at timestamptz NOT NULL DEFAULT market_now(),
            CONSTRAINT pk_provider_transition PRIMARY KEY (object_id, transition))""")
    append_only("provider_transition")
    require_event("provider_transition")
    grant("provider_transition", web=KEEP, worker=KEEP)


def _alert() -> None:
    run("""
        CREATE TABLE payment_alert (
            id uuid CONSTRAINT pk_payment_alert PRIMARY KEY,
            kind text NOT NULL, subject_kind text NOT NULL, subject_id uuid NOT NULL, facts jsonb NOT NULL,
            raised_at timestamptz NOT NULL DEFAULT market_now(),
            closed_at timestamptz,
            CONSTRAINT uq_payment_alert_kind_subject_id UNIQUE (kind, subject_id))""")
    keep_columns("payment_alert", "id", "kind", "subject_kind", "subject_id", "facts", "raised_at")
    no_delete("payment_alert")
    require_event("payment_alert")
    grant("payment_alert", web=CHANGE, worker=CHANGE)
    run("""
        CREATE TABLE reconciliation (
            id uuid CONSTRAINT pk_reconciliation PRIMARY KEY,
            at timestamptz NOT NULL DEFAULT market_now(),
            currency char(3) NOT NULL,
            provider_minor bigint NOT NULL, in_flight_minor bigint NOT NULL, ledger_minor bigint NOT NULL,
            explained_minor bigint NOT NULL, unexplained_minor bigint NOT NULL,
            breaks jsonb NOT NULL,
            CONSTRAINT ck_reconciliation_sum CHECK (
                provider_minor + in_flight_minor = ledger_minor + explained_minor + unexplained_minor))""")
    run("CREATE INDEX ix_reconciliation_at ON reconciliation (at)")
    append_only("reconciliation")
    require_event("reconciliation")
    grant("reconciliation", web=KEEP, worker=KEEP)
