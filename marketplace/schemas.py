"""Turn what came in into a command, or into problems that name the field and the rule."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError

from marketplace.kernel.errors import InvalidInput, Problem
from marketplace.kernel.words import N_

UNREADABLE = N_("This text holds characters that cannot be kept. Type it anew.")


def load(schema: type[Schema], values: Mapping[str, Any], **known: Any) -> Any:
    """Return the command that `schema` makes of the values; `known` adds what the door knows (ids, files).

    Empty texts count as absent, as a browser sends them. Unknown fields are left out.

    Raises: InvalidInput("invalid_fields") with one Problem a field.
    """
    given = {name: value.strip() if isinstance(value, str) else value for name, value in values.items()}
    given = {name: value for name, value in given.items() if value not in ("", None)} | known
    odd = [Problem(name, "characters", UNREADABLE) for name, value in given.items() if unreadable(value)]
    if odd:
        raise InvalidInput("invalid_fields", N_("Some fields need another look."), problems=odd)
    try:
        return _reader(schema).load(given)
    except ValidationError as error:
        messages: Mapping[str, Any] = error.normalized_messages()  # type: ignore[no-untyped-call]
        raise InvalidInput("invalid_fields", N_("Some fields need another look."),
                           problems=_problems(messages)) from error  # fmt: skip


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
            found += [Problem(where, "form", str(words)) for words in said]
    return found
