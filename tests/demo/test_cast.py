"""The people of the demonstration and of the simulator enter an empty market by its own verbs."""

from flask import Flask

from marketplace.demo.cast import PEOPLE, Cast
from marketplace.kernel.actors import Role


def test_everybody_may_enter_an_empty_market(context: Flask) -> None:
    cast = Cast()
    for person in PEOPLE:
        cast.enter(person)
    assert len(cast.actors) == len(PEOPLE)
    assert len(cast.of_role(Role.OPERATOR)) == 2
