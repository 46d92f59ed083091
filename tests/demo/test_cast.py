"""The people of the demonstration and of the simulator enter an empty market by its own verbs."""

from flask import Flask

from marketplace.banking import orders
from marketplace.db import db
from marketplace.demo.cast import OWN_IBAN, PEOPLE, Cast
from marketplace.kernel.actors import Role


def test_everybody_may_enter_an_empty_market(context: Flask) -> None:
    cast = Cast()
    for person in PEOPLE:
        cast.enter(person)
    assert len(cast.actors) == len(PEOPLE)
    assert len(cast.of_role(Role.OPERATOR)) == 2


def test_two_operators_open_the_account_that_the_market_pays_from(context: Flask) -> None:
    cast = Cast()
    for person in PEOPLE:
        cast.enter(person)
    cast.open_own_account()
    assert orders.house(db.session()).iban == OWN_IBAN
    db.session.rollback()
