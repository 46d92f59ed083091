"""The seven ways in which Duebill says no. Codes are stable; words are for people and translated at the door."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from marketplace.kernel.words import N_


@dataclass(frozen=True)
class Problem:
    """One thing wrong with one field: which rule it breaks, and what to do about it."""

    field: str
    rule: str
    words: str
    params: Mapping[str, object] = dataclasses.field(default_factory=dict)

    def said(self) -> str:
        """Return the English words with their parameters filled in."""
        return self.words % self.params if self.params else self.words


class MarketplaceError(Exception):
    """Base of every refusal. Never thrown directly.

    `words` may hold `%(name)s` places that `params` fills; `problems` names the fields at fault.
    """

    def __init__(
        self,
        code: str,
        words: str,
        params: Mapping[str, object] | None = None,
        problems: Sequence[Problem] = (),
    ) -> None:
        super().__init__(code)
        self.code = code
        self.words = words
        self.params: Mapping[str, object] = params or {}
        self.problems = tuple(problems)

    @classmethod
    def about(
        cls, field: str, code: str, words: str, params: Mapping[str, object] | None = None, *, rule: str | None = None
    ) -> Self:
        """Return a refusal for one field, which the same words are said beside; its rule is the code unless named."""
        return cls(code, words, params, [Problem(field, rule or code, words, params or {})])

    def said(self) -> str:
        """Return the English words with their parameters filled in."""
        return self.words % self.params if self.params else self.words

    def __str__(self) -> str:
        details = "; ".join(f"{p.field}: {p.said()}" for p in self.problems)
        return f"{self.code}: {self.said()}" + (f" ({details})" if details else "")


class InvalidInput(MarketplaceError):
    """What came in cannot be understood or breaks a rule of form; nothing changed."""

    @classmethod
    def of_field(cls, field: str, rule: str, words: str, params: Mapping[str, object] | None = None) -> Self:
        """Return the refusal of a form for one of its fields: the words stand beside it, not above."""
        return cls.of_fields([Problem(field, rule, words, params or {})])

    @classmethod
    def of_fields(cls, problems: Sequence[Problem]) -> Self:
        """Return the refusal of a form for what is wrong with its fields."""
        return cls("invalid_fields", N_("Some fields need another look."), problems=problems)


class NotPermitted(MarketplaceError):
    """The actor's role may not do this."""


class NotFound(MarketplaceError):
    """There is no such thing, or it is not the actor's: from outside the two look alike."""


class Conflict(MarketplaceError):
    """Somebody else, or an earlier request, already did something that excludes this."""


class RuleBroken(MarketplaceError):
    """Well-formed, permitted, but against a rule of the market."""


class GatewayFailed(MarketplaceError):
    """A provider outside refused or did not answer."""


class IntegrityBreach(MarketplaceError):
    """Duebill's own books contradict themselves. Stop and look."""
