"""Organisations, their people, sessions on the server, and windows that count attempts."""

from migrations.helpers import READER, WEB, WORKER, grant, keep_columns, no_delete, require_event, run

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the parties. A user's role is his organisation's kind: one foreign key says so."""
    _organisations()
    _users()
    _sessions()
    for table in ("organisation", "user_account"):
        no_delete(table)
        require_event(table)
        grant(table, web="SELECT, INSERT, UPDATE", worker="SELECT, INSERT, UPDATE")
    keep_columns("organisation", "id", "created_at")
    keep_columns("user_account", "id", "organisation_id", "created_at")
    _secrets()


def _organisations() -> None:
    run("""
        CREATE TABLE organisation (
            id uuid CONSTRAINT pk_organisation PRIMARY KEY,
            kind text NOT NULL CONSTRAINT ck_organisation_kind
                CHECK (kind IN ('seller', 'investor', 'debtor', 'operator', 'regulator')),
            legal_name text NOT NULL CONSTRAINT ck_organisation_legal_name
                CHECK (length(legal_name) BETWEEN 1 AND 300),
            legal_id text CONSTRAINT ck_organisation_legal_id CHECK (legal_id ~ '^[0-9A-Z]{2,40}$'),
            vat_id text CONSTRAINT ck_organisation_vat_id CHECK (vat_id ~ '^[0-9A-Z]{2,20}$'),
            country char(2) NOT NULL CONSTRAINT ck_organisation_country CHECK (country ~ '^[A-Z]{2}$'),
            sector text, group_id uuid,
            iban text CONSTRAINT ck_organisation_iban CHECK (iban ~ '^[A-Z]{2}[0-9]{2}[0-9A-Z]{8,30}$'),
            good_standing boolean NOT NULL DEFAULT true,
            created_at timestamptz NOT NULL DEFAULT market_now(),
            CONSTRAINT uq_organisation_country_legal_id UNIQUE (country, legal_id),
            CONSTRAINT uq_organisation_id_kind UNIQUE (id, kind))""")
    # Companies of one VAT group share a VAT number, so it finds an organisation but does not make one unique.
    run("CREATE INDEX ix_organisation_vat_id ON organisation (vat_id)")
    run("CREATE INDEX ix_organisation_group_id ON organisation (group_id)")
    run("""
        CREATE UNIQUE INDEX uq_organisation_country_nameless ON organisation (country, lower(legal_name))
        WHERE legal_id IS NULL AND vat_id IS NULL""")


def _users() -> None:
    run("""
        CREATE TABLE user_account (
            id uuid CONSTRAINT pk_user_account PRIMARY KEY,
            email text NOT NULL CONSTRAINT uq_user_account_email UNIQUE
                CONSTRAINT ck_user_account_email CHECK (email = lower(email) AND email ~ '^[^@ ]+@[^@ ]+$'),
            display_name text NOT NULL CONSTRAINT ck_user_account_display_name
                CHECK (length(display_name) BETWEEN 1 AND 200),
            role text NOT NULL, organisation_id uuid NOT NULL,
            locale text NOT NULL DEFAULT 'en' CONSTRAINT ck_user_account_locale
                CHECK (locale IN ('en', 'zh_Hant', 'zh_Hans')),
            active boolean NOT NULL DEFAULT true,
            created_at timestamptz NOT NULL DEFAULT market_now(),
            CONSTRAINT fk_user_account_organisation_id_role FOREIGN KEY (organisation_id, role)
                REFERENCES organisation (id, kind) ON UPDATE CASCADE)""")
    run("CREATE INDEX ix_user_account_organisation_id ON user_account (organisation_id)")
    run("""
        CREATE TABLE user_secret (
            user_id uuid CONSTRAINT pk_user_secret PRIMARY KEY
                CONSTRAINT fk_user_secret_user_id REFERENCES user_account (id),
            password_hash text NOT NULL CONSTRAINT ck_user_secret_password_hash
                CHECK (password_hash LIKE '$argon2id$%'),
            changed_at timestamptz NOT NULL DEFAULT market_now())""")


def _sessions() -> None:
    """Sessions and windows live by the real clock: a demonstration that moves the market's must not sign people out."""
    run("""
        CREATE TABLE web_session (
            id uuid CONSTRAINT pk_web_session PRIMARY KEY,
            user_id uuid NOT NULL CONSTRAINT fk_web_session_user_id REFERENCES user_account (id),
            token_hash bytea NOT NULL CONSTRAINT uq_web_session_token_hash UNIQUE
                CONSTRAINT ck_web_session_token_hash CHECK (length(token_hash) = 32),
            created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            last_seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            expires_at timestamptz NOT NULL,
            ended_at timestamptz)""")
    run("CREATE INDEX ix_web_session_user_id ON web_session (user_id)")
    run("""
        CREATE TABLE rate_window (
            key bytea CONSTRAINT ck_rate_window_key CHECK (length(key) = 32),
            window_start timestamptz NOT NULL,
            hits integer NOT NULL CONSTRAINT ck_rate_window_hits CHECK (hits > 0),
            CONSTRAINT pk_rate_window PRIMARY KEY (key, window_start))""")
    run("CREATE INDEX ix_rate_window_window_start ON rate_window (window_start)")
    no_delete("web_session")
    keep_columns("web_session", "id", "user_id", "token_hash", "created_at", "expires_at")


def _secrets() -> None:
    """The read-only role sees neither password hashes nor tokens."""
    for table in ("user_secret", "web_session"):
        run(f"GRANT SELECT, INSERT, UPDATE ON {table} TO {WEB}, {WORKER}")
    run(f"GRANT SELECT, INSERT, UPDATE, DELETE ON rate_window TO {WEB}, {WORKER}")
    run(f"REVOKE ALL ON user_secret, web_session, rate_window FROM {READER}")
