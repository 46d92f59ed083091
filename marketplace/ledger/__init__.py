"""Double entry: who is owed which penny."""
