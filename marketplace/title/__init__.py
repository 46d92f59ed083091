"""Who owns which unit of which receivable."""
