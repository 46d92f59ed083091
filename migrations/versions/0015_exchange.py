"""The exchange between instances: claims, leases, peers, queries."""

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

revision = "0015"
down_revision = "0014"

KEEP = "SELECT, INSERT"
CHANGE = "SELECT, INSERT, UPDATE"
CLAIM_STATES = "'unasked', 'registered', 'financed', 'released', 'elsewhere'"
CLAIM_MOVES = (
    "('unasked','registered'), ('unasked','financed'), ('unasked','released'), ('unasked','elsewhere'), "
    "('registered','financed'), ('registered','released'), ('registered','elsewhere'), ('registered','unasked'), "
    "('financed','released'), ('financed','elsewhere'), ('financed','unasked'), "
    "('released','registered'), ('released','financed'), ('released','elsewhere'), ('released','unasked'), "
    "('elsewhere','registered'), ('elsewhere','financed'), ('elsewhere','released'), ('elsewhere','unasked')"
)
HELD_STATES = "'registered', 'financed', 'released'"
HELD_MOVES = "('registered','financed'), ('registered','released'), ('financed','released')"


def upgrade() -> None:
    """Create what an instance keeps of its own claims, what it heard from others, and what a registry keeps."""
    _watch()
    _claims()
    _files()
    _peers()
    _held()
    _log()
    wall_functions()


def _watch() -> None:
    """One row a receivable: what the outside should know of it. It follows the receivable's state by trigger."""
    run("""
        CREATE TABLE exchange_watch (
            receivable_id uuid CONSTRAINT pk_exchange_watch PRIMARY KEY
                CONSTRAINT fk_exchange_watch_receivable_id REFERENCES receivable (id),
            wanted text NOT NULL
                CONSTRAINT ck_exchange_watch_wanted CHECK (wanted IN ('registered', 'financed', 'released')),
            reason text CONSTRAINT ck_exchange_watch_reason CHECK (reason IN (
                'repaid', 'bought_back', 'withdrawn', 'rejected', 'expired', 'error')),
            wanted_since timestamptz NOT NULL DEFAULT market_now(),
            claimed_at timestamptz,
            next_at timestamptz DEFAULT market_now(),
            CONSTRAINT ck_exchange_watch_released CHECK ((wanted = 'released') = (reason IS NOT NULL)))""")
    run("CREATE INDEX ix_exchange_watch_next_at ON exchange_watch (next_at) WHERE next_at IS NOT NULL")
    run("CREATE INDEX ix_exchange_watch_unclaimed ON exchange_watch (wanted_since) WHERE claimed_at IS NULL")
    no_delete("exchange_watch")
    require_event("exchange_watch")
    grant("exchange_watch", worker="SELECT, UPDATE")
    # What comes back is compared with the files anew: nobody compared it while it was away.
    # What is written off stays financed: investors still own it, and nobody else may sell it.
    run("""
        CREATE FUNCTION exchange_follows() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        DECLARE goal text; why text;
        BEGIN
            goal := CASE WHEN NEW.state IN ('funded', 'written_off') THEN 'financed'
                WHEN NEW.state IN ('discharged', 'bought_back', 'withdrawn', 'rejected', 'expired') THEN 'released'
                ELSE 'registered' END;
            why := CASE WHEN goal = 'released' THEN
                CASE NEW.state WHEN 'discharged' THEN 'repaid' ELSE NEW.state END END;
            INSERT INTO exchange_watch (receivable_id, wanted, reason) VALUES (NEW.id, goal, why)
            ON CONFLICT (receivable_id) DO UPDATE
                SET wanted = goal, reason = why, wanted_since = market_now(), next_at = market_now(),
                    claimed_at = CASE WHEN exchange_watch.wanted <> 'released' THEN exchange_watch.claimed_at END
                WHERE (exchange_watch.wanted, exchange_watch.reason) IS DISTINCT FROM (goal, why);
            RETURN NULL;
        END $$""")
    run("CREATE TRIGGER exchange_follows AFTER INSERT OR UPDATE OF state ON receivable "
        "FOR EACH ROW EXECUTE FUNCTION exchange_follows()")  # fmt: skip
    run("ALTER TABLE exchange_watch DISABLE TRIGGER exchange_watch_event")
    run("""
        INSERT INTO exchange_watch (receivable_id, wanted) SELECT id,
            CASE WHEN state IN ('funded', 'written_off') THEN 'financed' ELSE 'registered' END
        FROM receivable WHERE state NOT IN ('discharged', 'bought_back', 'withdrawn', 'rejected', 'expired')""")
    run("ALTER TABLE exchange_watch ENABLE TRIGGER exchange_watch_event")


def _claims() -> None:
    """Our claims, how the registry holds them for us, what was answered, and how the registry does."""
    run("""
        CREATE TABLE exchange_claim (
            id uuid CONSTRAINT pk_exchange_claim PRIMARY KEY,
            receivable_id uuid NOT NULL CONSTRAINT fk_exchange_claim_receivable_id REFERENCES receivable (id),
            claim bytea NOT NULL CONSTRAINT ck_exchange_claim_claim CHECK (length(claim) = 32),
            key_mark text NOT NULL,
            pseudonym bytea CONSTRAINT ck_exchange_claim_pseudonym CHECK (length(pseudonym) = 64),
            state text NOT NULL DEFAULT 'unasked',
            leased_until timestamptz,
            asked_at timestamptz,
            CONSTRAINT uq_exchange_claim_receivable_id_claim UNIQUE (receivable_id, claim),
            CONSTRAINT ck_exchange_claim_lease CHECK ((state = 'registered') = (leased_until IS NOT NULL)))""")
    run("CREATE INDEX ix_exchange_claim_claim ON exchange_claim (claim)")
    run("CREATE INDEX ix_exchange_claim_state ON exchange_claim (state, leased_until)")
    state_machine("exchange_claim", CLAIM_STATES, CLAIM_MOVES)
    keep_columns("exchange_claim", "id", "receivable_id", "claim", "key_mark")
    no_delete("exchange_claim")
    require_event("exchange_claim")
    grant("exchange_claim", worker=CHANGE)
    run("""
        CREATE TABLE exchange_answer (
            id uuid CONSTRAINT pk_exchange_answer PRIMARY KEY,
            receivable_id uuid NOT NULL CONSTRAINT fk_exchange_answer_receivable_id REFERENCES receivable (id),
            claim_id uuid NOT NULL CONSTRAINT fk_exchange_answer_claim_id REFERENCES exchange_claim (id),
            source text NOT NULL,
            operation text NOT NULL CONSTRAINT ck_exchange_answer_operation CHECK (
                operation IN ('query', 'register', 'renew', 'finance', 'release', 'import')),
            known boolean NOT NULL,
            state text NOT NULL CONSTRAINT ck_exchange_answer_state CHECK (state IN ('none', 'registered', 'financed')),
            yours boolean NOT NULL,
            at timestamptz NOT NULL DEFAULT market_now(),
            CONSTRAINT ck_exchange_answer_known CHECK (known = (state <> 'none')))""")
    run("CREATE INDEX ix_exchange_answer_receivable_id ON exchange_answer (receivable_id, at)")
    run("CREATE INDEX ix_exchange_answer_at ON exchange_answer (at)")
    append_only("exchange_answer")
    require_event("exchange_answer")
    grant("exchange_answer", worker=KEEP)
    run("""
        CREATE TABLE exchange_registry (
            one boolean CONSTRAINT pk_exchange_registry PRIMARY KEY DEFAULT true
                CONSTRAINT ck_exchange_registry_one CHECK (one),
            state text NOT NULL DEFAULT 'unasked' CONSTRAINT ck_exchange_registry_state CHECK (
                state IN ('unasked', 'answering', 'silent', 'refusing', 'mistrusted')),
            since timestamptz NOT NULL DEFAULT market_now(),
            attempts integer NOT NULL DEFAULT 0, next_at timestamptz NOT NULL DEFAULT market_now(),
            heard_at timestamptz, code text)""")
    run("INSERT INTO exchange_registry DEFAULT VALUES")
    no_delete("exchange_registry")
    require_event("exchange_registry")
    grant("exchange_registry", worker="SELECT, UPDATE")


def _files() -> None:
    """Claims that came as files: who signs them, which files came, and what each issuer says now."""
    run("""
        CREATE TABLE exchange_issuer (
            name text CONSTRAINT pk_exchange_issuer PRIMARY KEY
                CONSTRAINT ck_exchange_issuer_name CHECK (length(name) BETWEEN 1 AND 100),
            verifier_key text NOT NULL,
            trusted_at timestamptz NOT NULL DEFAULT market_now(),
            revoked_at timestamptz)""")
    keep_columns("exchange_issuer", "name")
    no_delete("exchange_issuer")
    require_event("exchange_issuer")
    grant("exchange_issuer", worker=CHANGE)
    run("""
        CREATE TABLE claims_file (
            id uuid CONSTRAINT pk_claims_file PRIMARY KEY,
            issuer text NOT NULL CONSTRAINT fk_claims_file_issuer REFERENCES exchange_issuer (name),
            sha256 char(64) NOT NULL CONSTRAINT uq_claims_file_sha256 UNIQUE,
            made_at timestamptz NOT NULL,
            claims integer NOT NULL CONSTRAINT ck_claims_file_claims CHECK (claims >= 0),
            changed integer NOT NULL, held integer NOT NULL,
            at timestamptz NOT NULL DEFAULT market_now())""")
    append_only("claims_file")
    require_event("claims_file")
    grant("claims_file", worker=KEEP)
    run("""
        CREATE TABLE outside_claim (
            issuer text NOT NULL CONSTRAINT fk_outside_claim_issuer REFERENCES exchange_issuer (name),
            claim bytea NOT NULL CONSTRAINT ck_outside_claim_claim CHECK (length(claim) = 32),
            state text NOT NULL CONSTRAINT ck_outside_claim_held CHECK (
                state IN ('registered', 'financed', 'released')),
            reason text,
            as_of timestamptz NOT NULL,
            CONSTRAINT pk_outside_claim PRIMARY KEY (issuer, claim))""")
    run("CREATE INDEX ix_outside_claim_claim ON outside_claim (claim)")
    run("CREATE TRIGGER outside_claim_goes_forward BEFORE UPDATE ON outside_claim FOR EACH ROW "
        "WHEN (NEW.as_of < OLD.as_of OR NEW.claim <> OLD.claim OR NEW.issuer <> OLD.issuer) "
        "EXECUTE FUNCTION refuse_change()")  # fmt: skip
    no_delete("outside_claim")
    require_event("outside_claim")
    grant("outside_claim", worker=CHANGE)


def _peers() -> None:
    """A registry's peers and the keys they sign with. The keys' secrets are derived, never stored."""
    run("""
        CREATE TABLE registry_book (
            one boolean CONSTRAINT pk_registry_book PRIMARY KEY DEFAULT true
                CONSTRAINT ck_registry_book_one CHECK (one),
            mode text NOT NULL CONSTRAINT ck_registry_book_mode CHECK (mode IN ('hmac', 'oblivious')),
            public_key bytea CONSTRAINT ck_registry_book_public_key CHECK (length(public_key) = 32),
            opened_at timestamptz NOT NULL DEFAULT market_now(),
            CONSTRAINT ck_registry_book_key CHECK ((mode = 'oblivious') = (public_key IS NOT NULL)))""")
    append_only("registry_book")
    require_event("registry_book")
    grant("registry_book", worker=KEEP)
    run("""
        CREATE TABLE registry_peer (
            id uuid CONSTRAINT pk_registry_peer PRIMARY KEY,
            name text NOT NULL CONSTRAINT uq_registry_peer_name UNIQUE
                CONSTRAINT ck_registry_peer_name CHECK (length(name) BETWEEN 1 AND 100),
            added_at timestamptz NOT NULL DEFAULT market_now())""")
    append_only("registry_peer")
    require_event("registry_peer")
    grant("registry_peer", worker=KEEP)
    run("""
        CREATE TABLE registry_key (
            key_id text CONSTRAINT pk_registry_key PRIMARY KEY,
            peer_id uuid NOT NULL CONSTRAINT fk_registry_key_peer_id REFERENCES registry_peer (id),
            issued_at timestamptz NOT NULL DEFAULT market_now(),
            revoked_at timestamptz)""")
    run("CREATE INDEX ix_registry_key_peer_id ON registry_key (peer_id)")
    keep_columns("registry_key", "key_id", "peer_id", "issued_at")
    run("CREATE TRIGGER registry_key_stays_revoked BEFORE UPDATE ON registry_key FOR EACH ROW "
        "WHEN (OLD.revoked_at IS NOT NULL) EXECUTE FUNCTION refuse_change()")  # fmt: skip
    no_delete("registry_key")
    require_event("registry_key")
    grant("registry_key", worker=CHANGE)
    run("""
        CREATE TABLE registry_nonce (
            key_id text CONSTRAINT fk_registry_nonce_key_id REFERENCES registry_key (key_id),
            nonce bytea CONSTRAINT ck_registry_nonce_nonce CHECK (length(nonce) = 16),
            at timestamptz NOT NULL DEFAULT market_now(),
            CONSTRAINT pk_registry_nonce PRIMARY KEY (key_id, nonce))""")
    run("CREATE INDEX ix_registry_nonce_at ON registry_nonce (at)")
    grant("registry_nonce", worker="SELECT, INSERT, DELETE")


def _log() -> None:
    """Let the pages that show who asked find the newest questions at once."""
    run("CREATE INDEX ix_event_exchange ON event (verb, at) "
        "WHERE verb IN ('record_exchange_answer', 'answer_peer')")  # fmt: skip


def _held() -> None:
    """Whoever comes first has the claim: one live row a claim, whatever the code believes."""
    run("""
        CREATE TABLE registry_claim (
            id uuid CONSTRAINT pk_registry_claim PRIMARY KEY,
            claim bytea NOT NULL CONSTRAINT ck_registry_claim_claim CHECK (length(claim) IN (32, 64)),
            peer_id uuid NOT NULL CONSTRAINT fk_registry_claim_peer_id REFERENCES registry_peer (id),
            state text NOT NULL DEFAULT 'registered',
            reason text CONSTRAINT ck_registry_claim_reason CHECK (reason IN (
                'repaid', 'bought_back', 'withdrawn', 'rejected', 'expired', 'error', 'lapsed')),
            registered_at timestamptz NOT NULL DEFAULT market_now(),
            leased_until timestamptz,
            financed_at timestamptz, released_at timestamptz,
            CONSTRAINT ck_registry_claim_lease CHECK ((state = 'registered') = (leased_until IS NOT NULL)),
            CONSTRAINT ck_registry_claim_financed CHECK (state <> 'financed' OR financed_at IS NOT NULL),
            CONSTRAINT ck_registry_claim_lapsed CHECK (reason IS DISTINCT FROM 'lapsed' OR financed_at IS NULL),
            CONSTRAINT ck_registry_claim_released CHECK (
                (state = 'released') = (released_at IS NOT NULL) AND (state = 'released') = (reason IS NOT NULL)))""")
    run("CREATE UNIQUE INDEX uq_registry_claim_live ON registry_claim (claim) WHERE state <> 'released'")
    run("CREATE INDEX ix_registry_claim_lease ON registry_claim (leased_until) WHERE state = 'registered'")
    run("CREATE INDEX ix_registry_claim_peer_id ON registry_claim (peer_id, state)")
    state_machine("registry_claim", HELD_STATES, HELD_MOVES)
    keep_columns("registry_claim", "id", "claim", "peer_id", "registered_at")
    no_delete("registry_claim")
    require_event("registry_claim")
    grant("registry_claim", worker=CHANGE)
