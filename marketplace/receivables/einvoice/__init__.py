"""Reading e-invoices, and judging what they say."""
