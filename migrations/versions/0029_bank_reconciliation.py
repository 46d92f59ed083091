"""What the bank says its account holds against what our books say lies there, day by day."""

from migrations.helpers import append_only, grant, require_event, run

revision = "0029"
down_revision = "0028"

DECISIONS = (
    "'manual_entry', 'write_off', 'suspense_apply', 'suspense_return', 'close_period', 'payout_file', 'payout_rail', "
    "'payout_refused', 'bank_suspense_apply', 'bank_suspense_return', 'bank_suspense_own'"
)


def upgrade() -> None:
    """Create the comparisons, and let two people say that money which came by the bank is the market's own."""
    run("""
        CREATE TABLE bank_reconciliation (
            id uuid CONSTRAINT pk_bank_reconciliation PRIMARY KEY,
            at timestamptz NOT NULL DEFAULT market_now(),
            iban text NOT NULL, currency char(3) NOT NULL, stated_on date NOT NULL,
            stated_minor bigint NOT NULL, ledger_minor bigint NOT NULL,
            explained_minor bigint NOT NULL, unexplained_minor bigint NOT NULL,
            breaks jsonb NOT NULL,
            CONSTRAINT ck_bank_reconciliation_sum CHECK (
                stated_minor = ledger_minor + explained_minor + unexplained_minor))""")
    run("CREATE INDEX ix_bank_reconciliation_iban_currency_at ON bank_reconciliation (iban, currency, at)")
    append_only("bank_reconciliation")
    require_event("bank_reconciliation")
    grant("bank_reconciliation", web="SELECT, INSERT", worker="SELECT, INSERT")
    run("ALTER TABLE money_decision DROP CONSTRAINT ck_money_decision_kind")
    run(f"ALTER TABLE money_decision ADD CONSTRAINT ck_money_decision_kind CHECK (kind IN ({DECISIONS}))")
    run("DROP TRIGGER entry_decided_by_two ON entry")
    run("""
        CREATE CONSTRAINT TRIGGER entry_decided_by_two AFTER INSERT ON entry DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (NEW.kind IN ('manual_entry', 'suspense_applied', 'return_requested', 'own_money_moved'))
        EXECUTE FUNCTION decided_by_two()""")
