"""The room receivables: documents, drafts, receivables, debtor's answers, notices, reviews, mail."""

from migrations.helpers import (
    append_only,
    grant,
    grant_sequence,
    keep_columns,
    no_delete,
    require_event,
    run,
    state_machine,
)

revision = "0006"
down_revision = "0005"

KEEP = "SELECT, INSERT"
CHANGE = "SELECT, INSERT, UPDATE"

RECEIVABLE_STATES = (
    "'drafted', 'held_for_review', 'awaiting_confirmation', 'confirmed', 'rated', 'on_auction', 'awarded', 'funded', "
    "'discharged', 'bought_back', 'written_off', 'withdrawn', 'rejected', 'expired'"
)
RECEIVABLE_MOVES = (
    "('drafted','held_for_review'), ('drafted','awaiting_confirmation'), "
    "('held_for_review','awaiting_confirmation'), ('held_for_review','confirmed'), ('held_for_review','rejected'), "
    "('held_for_review','withdrawn'), ('held_for_review','expired'), "
    "('awaiting_confirmation','confirmed'), ('awaiting_confirmation','held_for_review'), "
    "('awaiting_confirmation','withdrawn'), ('awaiting_confirmation','rejected'), "
    "('awaiting_confirmation','expired'), "
    "('confirmed','rated'), ('confirmed','held_for_review'), ('confirmed','withdrawn'), ('confirmed','rejected'), "
    "('confirmed','expired'), "
    "('rated','on_auction'), ('rated','held_for_review'), ('rated','withdrawn'), ('rated','rejected'), "
    "('rated','expired'), "
    "('on_auction','awarded'), ('on_auction','rated'), ('on_auction','held_for_review'), "
    "('on_auction','withdrawn'), ('on_auction','expired'), "
    "('awarded','funded'), ('awarded','rated'), ('awarded','held_for_review'), ('awarded','withdrawn'), "
    "('awarded','expired'), "
    "('funded','discharged'), ('funded','bought_back'), ('funded','written_off')"
)
REVIEW_STATES = "'open', 'proposed', 'released', 'rejected', 'closed'"
REVIEW_MOVES = (
    "('open','proposed'), ('open','rejected'), ('open','closed'), ('proposed','released'), ('proposed','rejected'), "
    "('proposed','closed')"
)
DISPUTE_STATES = "'open', 'resolved', 'upheld', 'timed_out'"
DISPUTE_MOVES = "('open','resolved'), ('open','upheld'), ('open','timed_out')"


def upgrade() -> None:
    """Create the tables in the order they refer to each other."""
    _documents()
    _receivable()
    _answers()
    _notice()
    _review()
    _mail()


def _documents() -> None:
    run("""
        CREATE TABLE document (
            id uuid CONSTRAINT pk_document PRIMARY KEY,
            organisation_id uuid CONSTRAINT fk_document_organisation_id REFERENCES organisation (id),
            kind text NOT NULL CONSTRAINT ck_document_kind CHECK (kind IN ('invoice', 'supporting', 'notice')),
            filename text NOT NULL CONSTRAINT ck_document_filename CHECK (length(filename) BETWEEN 1 AND 200),
            media_type text NOT NULL,
            size_bytes bigint NOT NULL,
            sha256 char(64) NOT NULL,
            content bytea NOT NULL,
            created_at timestamptz NOT NULL DEFAULT market_now(),
            CONSTRAINT ck_document_size CHECK (size_bytes = length(content)),
            CONSTRAINT ck_document_sha256 CHECK (sha256 = encode(sha256(content), 'hex')))""")
    run("CREATE INDEX ix_document_sha256 ON document (sha256)")
    append_only("document")
    require_event("document")
    grant("document", web=KEEP, worker=KEEP)
    run("""
        CREATE TABLE draft (
            id uuid CONSTRAINT pk_draft PRIMARY KEY,
            seller_id uuid NOT NULL CONSTRAINT fk_draft_seller_id REFERENCES organisation (id),
            document_id uuid CONSTRAINT fk_draft_document_id REFERENCES document (id),
            evidence text NOT NULL CONSTRAINT ck_draft_evidence CHECK (evidence IN ('einvoice', 'typed')),
            format text,
            read jsonb NOT NULL,
            findings jsonb NOT NULL,
            listed_at timestamptz,
            dropped_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT market_now(),
            CONSTRAINT ck_draft_document CHECK (evidence = 'typed' OR document_id IS NOT NULL))""")
    run("CREATE INDEX ix_draft_seller_id ON draft (seller_id) WHERE listed_at IS NULL AND dropped_at IS NULL")
    keep_columns("draft", "id", "seller_id", "document_id", "evidence", "read", "findings", "created_at")
    require_event("draft")
    grant("draft", web=CHANGE)


def _receivable() -> None:
    run("CREATE SEQUENCE receivable_ref")
    grant_sequence("receivable_ref")
    run("""
        CREATE TABLE receivable (
            id uuid CONSTRAINT pk_receivable PRIMARY KEY CONSTRAINT fk_receivable_id REFERENCES draft (id),
            ref text NOT NULL CONSTRAINT uq_receivable_ref UNIQUE,
            seller_id uuid NOT NULL CONSTRAINT fk_receivable_seller_id REFERENCES organisation (id),
            debtor_id uuid NOT NULL CONSTRAINT fk_receivable_debtor_id REFERENCES organisation (id),
            number text NOT NULL,
            document_type text NOT NULL,
            currency char(3) NOT NULL,
            face_minor bigint NOT NULL CONSTRAINT ck_receivable_face CHECK (face_minor > 0),
            total_minor bigint NOT NULL,
            issued_on date NOT NULL,
            due_on date NOT NULL,
            expected_on date NOT NULL,
            purchase_order text,
            facts jsonb NOT NULL,
            evidence text NOT NULL CONSTRAINT ck_receivable_evidence CHECK (evidence IN ('einvoice', 'typed')),
            document_id uuid CONSTRAINT fk_receivable_document_id REFERENCES document (id),
            sector text,
            debtor_email text,
            deal_type text NOT NULL CONSTRAINT ck_receivable_deal_type CHECK (deal_type IN ('advance', 'outright')),
            recourse text NOT NULL CONSTRAINT ck_receivable_recourse CHECK (recourse IN ('full', 'limited', 'none')),
            price_rule text NOT NULL
                CONSTRAINT ck_receivable_price_rule CHECK (price_rule IN ('uniform', 'pay_as_bid')),
            seller_default text NOT NULL
                CONSTRAINT ck_receivable_seller_default CHECK (seller_default IN ('accept', 'refuse')),
            reserve_bps integer CONSTRAINT ck_receivable_reserve CHECK (reserve_bps BETWEEN 1 AND 10000),
            own_rate_bps integer CONSTRAINT ck_receivable_own_rate CHECK (own_rate_bps BETWEEN 1 AND 10000),
            min_share_bps integer NOT NULL
                CONSTRAINT ck_receivable_min_share CHECK (min_share_bps BETWEEN 1 AND 10000),
            policy_version text NOT NULL,
            state text NOT NULL,
            state_reason text,
            state_since timestamptz NOT NULL DEFAULT market_now(),
            listed_at timestamptz NOT NULL DEFAULT market_now(),
            confirmed_at timestamptz,
            confirmed_by text CONSTRAINT ck_receivable_confirmed_by CHECK (confirmed_by IN ('debtor', 'operators')),
            promised_on date,
            notice_issued_at timestamptz,
            notice_acknowledged_at timestamptz,
            closed_at timestamptz,
            CONSTRAINT ck_receivable_due CHECK (due_on >= issued_on),
            CONSTRAINT ck_receivable_expected CHECK (expected_on >= due_on),
            CONSTRAINT ck_receivable_total CHECK (total_minor >= 0),
            CONSTRAINT ck_receivable_parties CHECK (seller_id <> debtor_id),
            CONSTRAINT ck_receivable_outright CHECK (deal_type = 'advance' OR recourse = 'none'),
            CONSTRAINT ck_receivable_confirmed CHECK (
                (confirmed_at IS NULL) = (confirmed_by IS NULL)
                AND (state NOT IN ('rated', 'on_auction', 'awarded', 'funded') OR confirmed_at IS NOT NULL)))""")
    state_machine("receivable", RECEIVABLE_STATES, RECEIVABLE_MOVES)
    keep_columns(
        "receivable", "id", "ref", "seller_id", "debtor_id", "number", "document_type", "currency", "face_minor",
        "total_minor", "issued_on", "due_on", "purchase_order", "facts", "evidence", "document_id", "deal_type",
        "recourse", "price_rule", "seller_default", "reserve_bps", "own_rate_bps", "min_share_bps", "policy_version",
        "listed_at",
    )  # fmt: skip
    no_delete("receivable")
    require_event("receivable")
    run("CREATE INDEX ix_receivable_state ON receivable (state, state_since)")
    run("CREATE INDEX ix_receivable_seller_id ON receivable (seller_id, listed_at)")
    run("CREATE INDEX ix_receivable_debtor_id ON receivable (debtor_id, listed_at)")
    grant("receivable", web=CHANGE, worker=CHANGE)
    run("""
        CREATE TABLE fingerprint (
            receivable_id uuid NOT NULL CONSTRAINT fk_fingerprint_receivable_id REFERENCES receivable (id),
            kind text NOT NULL,
            value bytea NOT NULL,
            CONSTRAINT pk_fingerprint PRIMARY KEY (receivable_id, kind, value))""")
    run("CREATE INDEX ix_fingerprint_kind_value ON fingerprint (kind, value)")
    append_only("fingerprint")
    grant("fingerprint", web=KEEP, worker=KEEP)
    run("""
        CREATE TABLE receivable_document (
            receivable_id uuid NOT NULL CONSTRAINT fk_receivable_document_receivable_id REFERENCES receivable (id),
            document_id uuid NOT NULL CONSTRAINT fk_receivable_document_document_id REFERENCES document (id),
            added_at timestamptz NOT NULL DEFAULT market_now(),
            CONSTRAINT pk_receivable_document PRIMARY KEY (receivable_id, document_id))""")
    append_only("receivable_document")
    grant("receivable_document", web=KEEP, worker=KEEP)


def _answers() -> None:
    run("""
        CREATE TABLE debtor_link (
            id uuid CONSTRAINT pk_debtor_link PRIMARY KEY,
            receivable_id uuid NOT NULL CONSTRAINT fk_debtor_link_receivable_id REFERENCES receivable (id),
            purpose text NOT NULL CONSTRAINT ck_debtor_link_purpose CHECK (purpose IN ('confirm', 'account')),
            token_hash bytea NOT NULL CONSTRAINT uq_debtor_link_token_hash UNIQUE
                CONSTRAINT ck_debtor_link_token_hash CHECK (length(token_hash) = 32),
            issued_at timestamptz NOT NULL DEFAULT market_now(),
            expires_at timestamptz NOT NULL,
            first_opened_at timestamptz,
            used_at timestamptz,
            revoked_at timestamptz)""")
    run("CREATE INDEX ix_debtor_link_receivable_id ON debtor_link (receivable_id)")
    keep_columns("debtor_link", "id", "receivable_id", "purpose", "token_hash", "issued_at", "expires_at")
    require_event("debtor_link")
    grant("debtor_link", web=CHANGE, worker=CHANGE)
    run("""
        CREATE TABLE confirmation (
            id uuid CONSTRAINT pk_confirmation PRIMARY KEY,
            receivable_id uuid NOT NULL CONSTRAINT fk_confirmation_receivable_id REFERENCES receivable (id),
            link_id uuid CONSTRAINT fk_confirmation_link_id REFERENCES debtor_link (id),
            given_by text NOT NULL CONSTRAINT ck_confirmation_given_by CHECK (given_by IN ('debtor', 'operators')),
            amount_minor bigint NOT NULL CONSTRAINT ck_confirmation_amount CHECK (amount_minor > 0),
            pay_on date,
            prior_notice boolean,
            answered_by text,
            words text,
            at timestamptz NOT NULL DEFAULT market_now())""")
    run("CREATE INDEX ix_confirmation_receivable_id ON confirmation (receivable_id)")
    append_only("confirmation")
    require_event("confirmation")
    grant("confirmation", web=KEEP)
    run("""
        CREATE TABLE prior_notice (
            id uuid CONSTRAINT pk_prior_notice PRIMARY KEY,
            receivable_id uuid NOT NULL CONSTRAINT fk_prior_notice_receivable_id REFERENCES receivable (id),
            link_id uuid CONSTRAINT fk_prior_notice_link_id REFERENCES debtor_link (id),
            claimant text NOT NULL,
            told_on date,
            at timestamptz NOT NULL DEFAULT market_now())""")
    run("CREATE INDEX ix_prior_notice_receivable_id ON prior_notice (receivable_id)")
    append_only("prior_notice")
    require_event("prior_notice")
    grant("prior_notice", web=KEEP)
    run("""
        CREATE TABLE dispute (
            id uuid CONSTRAINT pk_dispute PRIMARY KEY,
            receivable_id uuid NOT NULL CONSTRAINT fk_dispute_receivable_id REFERENCES receivable (id),
            link_id uuid CONSTRAINT fk_dispute_link_id REFERENCES debtor_link (id),
            amount_minor bigint NOT NULL CONSTRAINT ck_dispute_amount CHECK (amount_minor > 0),
            reason text NOT NULL CONSTRAINT ck_dispute_reason CHECK (reason IN (
                'goods', 'amount', 'already_paid', 'credit_note', 'not_ordered', 'not_ours', 'other')),
            words text,
            credit_note text,
            answered_by text,
            opened_at timestamptz NOT NULL DEFAULT market_now(),
            state text NOT NULL DEFAULT 'open',
            ended_at timestamptz,
            outcome text,
            CONSTRAINT ck_dispute_ended CHECK ((state = 'open') = (ended_at IS NULL)))""")
    state_machine("dispute", DISPUTE_STATES, DISPUTE_MOVES)
    run("CREATE UNIQUE INDEX uq_dispute_open ON dispute (receivable_id) WHERE state = 'open'")
    keep_columns("dispute", "id", "receivable_id", "link_id", "amount_minor", "reason", "words", "opened_at")
    no_delete("dispute")
    require_event("dispute")
    grant("dispute", web=CHANGE, worker=CHANGE)
    run("""
        CREATE TABLE payment_promise (
            id uuid CONSTRAINT pk_payment_promise PRIMARY KEY,
            receivable_id uuid NOT NULL CONSTRAINT fk_payment_promise_receivable_id REFERENCES receivable (id),
            link_id uuid CONSTRAINT fk_payment_promise_link_id REFERENCES debtor_link (id),
            pay_on date NOT NULL,
            amount_minor bigint NOT NULL CONSTRAINT ck_payment_promise_amount CHECK (amount_minor > 0),
            promised_by text,
            at timestamptz NOT NULL DEFAULT market_now())""")
    run("CREATE INDEX ix_payment_promise_receivable_id ON payment_promise (receivable_id)")
    append_only("payment_promise")
    require_event("payment_promise")
    grant("payment_promise", web=KEEP)


def _notice() -> None:
    run("""
        CREATE TABLE notice_of_assignment (
            id uuid CONSTRAINT pk_notice_of_assignment PRIMARY KEY,
            receivable_id uuid NOT NULL CONSTRAINT fk_notice_of_assignment_receivable_id REFERENCES receivable (id),
            number integer NOT NULL CONSTRAINT ck_notice_of_assignment_number CHECK (number > 0),
            document_id uuid NOT NULL CONSTRAINT fk_notice_of_assignment_document_id REFERENCES document (id),
            assignees jsonb NOT NULL,
            pay_to jsonb NOT NULL,
            phrase text NOT NULL,
            issued_at timestamptz NOT NULL DEFAULT market_now(),
            sent_at timestamptz,
            acknowledged_at timestamptz,
            acknowledged_by text,
            link_id uuid CONSTRAINT fk_notice_of_assignment_link_id REFERENCES debtor_link (id),
            CONSTRAINT uq_notice_of_assignment_receivable_id_number UNIQUE (receivable_id, number),
            CONSTRAINT ck_notice_of_assignment_order CHECK (sent_at >= issued_at AND acknowledged_at >= issued_at))""")
    keep_columns("notice_of_assignment", "id", "receivable_id", "number", "document_id", "assignees", "pay_to",
                 "phrase", "issued_at")  # fmt: skip
    no_delete("notice_of_assignment")
    require_event("notice_of_assignment")
    grant("notice_of_assignment", web=CHANGE, worker=CHANGE)


def _review() -> None:
    run("""
        CREATE TABLE review (
            id uuid CONSTRAINT pk_review PRIMARY KEY,
            receivable_id uuid NOT NULL CONSTRAINT fk_review_receivable_id REFERENCES receivable (id),
            cause text NOT NULL CONSTRAINT ck_review_cause CHECK (cause IN (
                'document', 'differences', 'near_match', 'outside_evidence', 'prior_notice', 'dispute', 'operators')),
            findings jsonb NOT NULL,
            matches jsonb NOT NULL,
            goes_to text NOT NULL
                CONSTRAINT ck_review_goes_to CHECK (goes_to IN ('awaiting_confirmation', 'confirmed')),
            opened_at timestamptz NOT NULL DEFAULT market_now(),
            state text NOT NULL DEFAULT 'open',
            maker_id uuid,
            maker_reason text,
            proposed_at timestamptz,
            approver_id uuid,
            approver_reason text,
            decided_at timestamptz,
            CONSTRAINT ck_review_two_people CHECK (approver_id IS NULL OR approver_id <> maker_id),
            CONSTRAINT ck_review_released CHECK (
                state <> 'released' OR (maker_id IS NOT NULL AND approver_id IS NOT NULL)))""")
    state_machine("review", REVIEW_STATES, REVIEW_MOVES)
    run("CREATE UNIQUE INDEX uq_review_open ON review (receivable_id) WHERE state IN ('open', 'proposed')")
    keep_columns("review", "id", "receivable_id", "cause", "findings", "matches", "goes_to", "opened_at")
    no_delete("review")
    require_event("review")
    grant("review", web=CHANGE, worker=CHANGE)


def _mail() -> None:
    run("""
        CREATE TABLE outgoing_mail (
            id uuid CONSTRAINT pk_outgoing_mail PRIMARY KEY,
            organisation_id uuid NOT NULL CONSTRAINT fk_outgoing_mail_organisation_id REFERENCES organisation (id),
            receivable_id uuid CONSTRAINT fk_outgoing_mail_receivable_id REFERENCES receivable (id),
            kind text NOT NULL,
            address text,
            subject text NOT NULL,
            body text NOT NULL,
            queued_at timestamptz NOT NULL DEFAULT market_now(),
            sent_at timestamptz)""")
    run("CREATE INDEX ix_outgoing_mail_queued_at ON outgoing_mail (queued_at)")
    run("CREATE INDEX ix_outgoing_mail_receivable_id ON outgoing_mail (receivable_id)")
    keep_columns("outgoing_mail", "id", "organisation_id", "receivable_id", "kind", "address", "subject", "body")
    grant("outgoing_mail", web=KEEP, worker=CHANGE)
