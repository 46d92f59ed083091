"""Small state machines: one list of states, one table of transitions, used by code, database and docs alike."""

from collections.abc import Mapping
from enum import StrEnum

from marketplace.kernel.errors import RuleBroken
from marketplace.kernel.words import N_


class Machine:
    """The lawful moves of one noun."""

    def __init__(self, noun: str, states: type[StrEnum], moves: Mapping[StrEnum, tuple[StrEnum, ...]]) -> None:
        self.noun = noun
        self.states = states
        self.moves = {state: tuple(moves.get(state, ())) for state in states}

    def check(self, before: str, after: str) -> None:
        """Let a lawful move pass.

        Raises: RuleBroken("wrong_state").
        """
        if self.states(after) not in self.moves[self.states(before)]:
            raise RuleBroken("wrong_state", N_("A %(noun)s that is %(before)s cannot become %(after)s."),
                             {"noun": self.noun, "before": before, "after": after})  # fmt: skip

    def sql_check(self, column: str = "state") -> str:
        """Return the CHECK expression that lists the states."""
        return f"{column} IN ({', '.join(repr(str(state)) for state in self.states)})"

    def sql_moves(self) -> str:
        """Return the lawful moves as an SQL row list, for the transition trigger: ('a','b'), …"""
        return ", ".join(f"('{a}','{b}')" for a, after in self.moves.items() for b in after)
