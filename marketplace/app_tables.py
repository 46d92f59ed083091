"""Every room's tables in one metadata: for migrations and for the test that compares the two."""

import importlib

from marketplace.db import Base

ROOMS = (
    "audit",
    "parties",
    "ledger",
    "title",
    "receivables",
    "rating",
    "payments",
    "banking",
    "trading",
    "servicing",
    "exchange",
    "jobs",
)

for room in ROOMS:
    importlib.import_module(f"marketplace.{room}.tables")
importlib.import_module("marketplace.receivables.bulk.tables")
importlib.import_module("marketplace.rating.register.tables")

metadata = Base.metadata
