"""The commands of bin/market, one module per group."""
