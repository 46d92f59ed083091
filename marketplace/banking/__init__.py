"""The second rail: files that a bank takes and gives (ISO 20022)."""
