"""Turn what came in into a command, or into problems that name the field and the rule."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError

from marketplace.kernel.canonical import UNREADABLE
from marketplace.kernel.errors import InvalidInput, Problem
from marketplace.kernel.words import N_

# What marshmallow says of itself, in English and to programmers, and what we say for it.
OWN_WORDS = tuple((re.compile(pattern), words) for pattern, words in (
    (r"Missing data for required field\.|Field may not be null\.", N_("Fill this in.")),
    (r"Not a valid (?:integer|number)\.|Number too large\.", N_("Enter a whole number.")),
    (r"Not a valid (?:string|boolean|UUID|list|mapping type)\.|Invalid (?:input|value)( type)?\.|Must be one of: .*",
     N_("Choose something that is there.")),
    (r"Not a valid (?:date|datetime|time)\.", N_("Enter a date like 2 Oct 2026.")),
    (r"Must be greater than or equal to 1 and less than or equal to \d{13,}\.",
     N_("Enter an amount above zero that this market can count.")),
    (r"Must be greater than or equal to (?P<least>[^ ]+) and less than or equal to (?P<most>[^ ]+)\.",
     N_("Enter a number from %(least)s to %(most)s.")),
    (r"Must be greater than or equal to (?P<least>[^ ]+)\.", N_("Enter %(least)s or more.")),
    (r"Must be less than or equal to (?P<most>[^ ]+)\.", N_("Enter %(most)s or less.")),
    (r"Length must be between (?P<least>\d+) and (?P<most>\d+)\.", N_("Enter %(least)s to %(most)s characters.")),
    (r"Longer than maximum length (?P<most>\d+)\.", N_("Enter %(most)s characters or fewer.")),
    (r"Shorter than minimum length (?P<least>\d+)\.", N_("Enter %(least)s characters or more.")),
))  # fmt: skip


def load(schema: type[Schema], values: Mapping[str, Any], **known: Any) -> Any:
    """Return the command that `schema` makes of the values; `known` adds what the door knows (ids, files).

    Empty texts count as absent, as a browser sends them. Unknown fields are left out.

    Raises: InvalidInput("invalid_fields") with one Problem a field.
    """
    given = {name: value.strip() if isinstance(value, str) else value for name, value in values.items()}
    given = {name: value for name, value in given.items() if value not in ("", None)} | known
    odd = [Problem(name, "characters", UNREADABLE) for name, value in given.items() if unreadable(value)]
    if odd:
        raise InvalidInput.of_fields(odd)
    try:
        return _reader(schema).load(given)
    except ValidationError as error:
        messages: Mapping[str, Any] = error.normalized_messages()  # type: ignore[no-untyped-call]
        raise InvalidInput.of_fields(_problems(messages)) from error


@cache
def _reader(schema: type[Schema]) -> Schema:
    """Return the one reader of a schema: to make one costs more than a form, and reading leaves nothing in it."""
    return schema(unknown=EXCLUDE)


def unreadable(value: Any) -> bool:
    """Say whether a text holds what no database text can: a NUL, or half of a character."""
    return isinstance(value, str) and any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in value)


def _problems(messages: Mapping[str, Any], path: str = "") -> "list[Problem]":
    found: list[Problem] = []
    for name, said in messages.items():
        where = f"{path}.{name}" if path else str(name)
        if isinstance(said, Mapping):
            found += _problems(said, where)
        else:
            found += [_problem(where, str(words)) for words in said]
    return found


def _problem(where: str, said: str) -> Problem:
    """Return one problem, in our words where the reader of forms spoke its own: those are translated, figures apart."""
    for pattern, words in OWN_WORDS:
        match = pattern.fullmatch(said)
        if match:
            return Problem(where, "form", words, match.groupdict())
    return Problem(where, "form", said)
