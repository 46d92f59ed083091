"""Duebill: a marketplace for receivables that a company can host itself."""
