"""What tests of several rooms share."""

from collections.abc import Callable
from typing import Any

from marketplace.kernel.actors import Actor, Role
from marketplace.perform import Result, Tx, Verb, perform

SYSTEM = Actor.system("test")


def do(body: Callable[[Tx], Any], actor: Actor = SYSTEM, key: str | None = None) -> Any:
    """Perform a body as if it were a verb, through the one way through, and return what it returned."""

    def run(tx: Tx, _: None) -> Result:
        tx.record("test", actor.request_id)
        return {"result": body(tx)}

    verb = Verb("test", run, frozenset(Role))
    return perform(verb, None, actor, idempotency_key=key)["result"]
