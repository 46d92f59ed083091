"""The table of who may do what names every verb there is, and no other."""

import importlib
import pkgutil

import marketplace
from marketplace.parties.rules import MAY
from marketplace.perform import Verb

NOT_IMPORTED = ("__main__", "guardian", "launch")


def test_every_verb_is_in_the_table_and_the_table_names_nothing_else() -> None:
    found = set()
    for module in pkgutil.walk_packages(marketplace.__path__, "marketplace."):
        if not module.name.endswith(NOT_IMPORTED):
            things = vars(importlib.import_module(module.name)).values()
            found |= {thing.name for thing in things if isinstance(thing, Verb)}
    assert found == set(MAY)
