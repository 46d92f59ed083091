"""The database's history, one numbered step each; rules that must never break are written here in SQL."""
