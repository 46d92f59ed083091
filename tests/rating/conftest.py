"""What this room's tests share with those of receivables: people, an invoice, its listing."""

from tests.receivables.conftest import drafted, invoice, listed, people, today

__all__ = ["drafted", "invoice", "listed", "people", "today"]
