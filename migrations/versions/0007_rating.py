"""Accounts on file, ratings of parties and of receivables, and why some cannot be rated. Nothing here ever changes."""

from migrations.helpers import append_only, grant, require_event, run

revision = "0007"
down_revision = "0006"

GRADES = "'A+', 'A', 'A-', 'B+', 'B', 'B-', 'C', 'D', 'E'"
LEVELS = "'micro', 'micro-prior', 'small', 'small-prior', 'full'"
REASONS = "'no_accounts', 'accounts_stale', 'accounts_thin'"
KEEP = "SELECT, INSERT"


def upgrade() -> None:
    """Create the tables in the order they refer to each other."""
    _filing()
    _party_rating()
    _receivable_rating()
    _rating_obstacle()
    for table in ("filing", "party_rating", "receivable_rating", "rating_obstacle"):
        append_only(table)
        require_event(table)
        grant(table, web=KEEP, worker=KEEP)


def _filing() -> None:
    run("""
        CREATE TABLE filing (
            id uuid CONSTRAINT pk_filing PRIMARY KEY,
            organisation_id uuid NOT NULL CONSTRAINT fk_filing_organisation_id REFERENCES organisation (id),
            filename text NOT NULL CONSTRAINT ck_filing_filename CHECK (length(filename) BETWEEN 1 AND 200),
            size_bytes bigint NOT NULL,
            sha256 char(64) NOT NULL,
            content bytea NOT NULL,
            company_number text CONSTRAINT ck_filing_company_number CHECK (company_number ~ '^[A-Z0-9]{8}$'),
            company_name text,
            period_end date NOT NULL,
            prior_period_end date,
            dormant boolean NOT NULL,
            read jsonb NOT NULL,
            faults jsonb NOT NULL,
            attested_reason text CONSTRAINT ck_filing_attested_reason
                CHECK (length(attested_reason) BETWEEN 10 AND 500),
            filed_by uuid,
            filed_by_role text NOT NULL CONSTRAINT ck_filing_filed_by_role
                CHECK (filed_by_role IN ('seller', 'operator', 'system')),
            filed_at timestamptz NOT NULL DEFAULT market_now(),
            CONSTRAINT ck_filing_size CHECK (size_bytes = length(content)),
            CONSTRAINT ck_filing_sha256 CHECK (sha256 = encode(sha256(content), 'hex')),
            CONSTRAINT ck_filing_prior CHECK (prior_period_end < period_end),
            CONSTRAINT ck_filing_attested CHECK (company_number IS NOT NULL OR attested_reason IS NOT NULL),
            CONSTRAINT uq_filing_organisation_id_sha256 UNIQUE (organisation_id, sha256))""")
    run("CREATE INDEX ix_filing_organisation_id_period_end ON filing (organisation_id, period_end)")


def _party_rating() -> None:
    run(f"""
        CREATE TABLE party_rating (
            id uuid CONSTRAINT pk_party_rating PRIMARY KEY,
            organisation_id uuid NOT NULL CONSTRAINT fk_party_rating_organisation_id REFERENCES organisation (id),
            filing_id uuid NOT NULL CONSTRAINT fk_party_rating_filing_id REFERENCES filing (id),
            level text NOT NULL CONSTRAINT ck_party_rating_level CHECK (level IN ({LEVELS})),
            ratios jsonb NOT NULL,
            prior_ppm integer NOT NULL CONSTRAINT ck_party_rating_prior CHECK (prior_ppm BETWEEN 1 AND 999999),
            floor_ppm integer NOT NULL CONSTRAINT ck_party_rating_floor CHECK (floor_ppm BETWEEN 0 AND 1000000),
            pd_ppm integer NOT NULL,
            grade text NOT NULL CONSTRAINT ck_party_rating_grade CHECK (grade IN ({GRADES})),
            challenger_ppm integer NOT NULL CONSTRAINT ck_party_rating_challenger
                CHECK (challenger_ppm BETWEEN 0 AND 1000000),
            z_milli integer,
            reasons jsonb NOT NULL,
            missing jsonb NOT NULL,
            model_version text NOT NULL,
            policy_version text NOT NULL,
            rated_at timestamptz NOT NULL DEFAULT market_now(),
            CONSTRAINT ck_party_rating_pd CHECK (pd_ppm BETWEEN floor_ppm AND 1000000))""")
    run("CREATE INDEX ix_party_rating_organisation_id_rated_at ON party_rating (organisation_id, rated_at)")
    run("CREATE INDEX ix_party_rating_filing_id ON party_rating (filing_id)")


def _receivable_rating() -> None:
    run("""
        CREATE TABLE receivable_rating (
            id uuid CONSTRAINT pk_receivable_rating PRIMARY KEY,
            receivable_id uuid NOT NULL CONSTRAINT fk_receivable_rating_receivable_id REFERENCES receivable (id),
            debtor_rating_id uuid NOT NULL
                CONSTRAINT fk_receivable_rating_debtor_rating_id REFERENCES party_rating (id),
            seller_id uuid NOT NULL CONSTRAINT fk_receivable_rating_seller_id REFERENCES organisation (id),
            seller_rating_id uuid CONSTRAINT fk_receivable_rating_seller_rating_id REFERENCES party_rating (id),
            tenor_days integer NOT NULL CONSTRAINT ck_receivable_rating_tenor CHECK (tenor_days >= 1),
            pd_tenor_ppm integer NOT NULL CONSTRAINT ck_receivable_rating_pd CHECK (pd_tenor_ppm BETWEEN 0 AND 1000000),
            expected_loss_ppm integer NOT NULL CONSTRAINT ck_receivable_rating_expected_loss
                CHECK (expected_loss_ppm BETWEEN 0 AND 1000000),
            expected_loss_recourse_ppm integer NOT NULL,
            indicative_bps integer NOT NULL CONSTRAINT ck_receivable_rating_indicative CHECK (indicative_bps >= 0),
            advance_bps integer NOT NULL CONSTRAINT ck_receivable_rating_advance CHECK (advance_bps BETWEEN 0 AND 10000),
            inputs jsonb NOT NULL,
            model_version text NOT NULL,
            policy_version text NOT NULL,
            rated_at timestamptz NOT NULL DEFAULT market_now(),
            CONSTRAINT ck_receivable_rating_recourse
                CHECK (expected_loss_recourse_ppm BETWEEN 0 AND expected_loss_ppm),
            CONSTRAINT ck_receivable_rating_unrated_seller
                CHECK (seller_rating_id IS NOT NULL OR expected_loss_recourse_ppm = expected_loss_ppm))""")
    run("CREATE INDEX ix_receivable_rating_receivable_id_rated_at ON receivable_rating (receivable_id, rated_at)")


def _rating_obstacle() -> None:
    run(f"""
        CREATE TABLE rating_obstacle (
            id uuid CONSTRAINT pk_rating_obstacle PRIMARY KEY,
            receivable_id uuid NOT NULL CONSTRAINT fk_rating_obstacle_receivable_id REFERENCES receivable (id),
            organisation_id uuid NOT NULL CONSTRAINT fk_rating_obstacle_organisation_id REFERENCES organisation (id),
            reason text NOT NULL CONSTRAINT ck_rating_obstacle_reason CHECK (reason IN ({REASONS})),
            met_at timestamptz NOT NULL DEFAULT market_now())""")
    run("CREATE INDEX ix_rating_obstacle_receivable_id_met_at ON rating_obstacle (receivable_id, met_at)")
