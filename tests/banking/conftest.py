"""A fresh market whose operator has an account at a bank."""

import pytest

from tests.banking.files import IBAN
from tests.trading.conftest import world
from tests.trading.world import World

__all__ = ["bank", "world"]


@pytest.fixture
def bank(world: World) -> World:
    """The market, with the operator's account entered."""
    with world.superuser() as owner:
        owner.execute("UPDATE organisation SET iban = %s WHERE kind = 'operator'", (IBAN,))
    return world
