"""A property that is worked out when it is first asked for, and then kept."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

Value = TypeVar("Value")


class lazily(Generic[Value]):
    """Like functools.cached_property, without its lock: pairs are compared by the thousand, and by one thread each.

    What it decorates must be pure: two threads that ask at once work it out twice, to the same value.
    """

    def __init__(self, work_out: Callable[[Any], Value]) -> None:
        self.work_out, self.__doc__, self.name = work_out, work_out.__doc__, work_out.__name__

    @overload
    def __get__(self, owner: None, kind: type) -> "lazily[Value]": ...
    @overload
    def __get__(self, owner: object, kind: type) -> Value: ...
    def __get__(self, owner: object | None, kind: type) -> "lazily[Value] | Value":
        if owner is None:
            return self
        found = owner.__dict__[self.name] = self.work_out(owner)
        return found
