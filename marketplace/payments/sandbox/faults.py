"""How the sandbox says no: Stripe's error object and status."""

from typing import Any


class Refused(Exception):
    """A request that Stripe would answer with an error object."""

    def __init__(
        self, status: int, words: str, *, code: str | None = None, param: str | None = None,
        type_: str = "invalid_request_error",
    ) -> None:  # fmt: skip
        super().__init__(words)
        self.status = status
        self.error: dict[str, Any] = {"type": type_, "message": words}
        if code:
            self.error["code"] = code
        if param:
            self.error["param"] = param

    def body(self) -> dict[str, Any]:
        """Return the reply."""
        return {"error": self.error}


def no_such(kind: str, object_id: str) -> Refused:
    """Return the refusal for an object that is not there, or is another account's."""
    return Refused(404, f"No such {kind}: '{object_id}'", code="resource_missing", param="id")


def short_of_money() -> Refused:
    """Return the refusal for a balance that cannot cover what is asked."""
    return Refused(400, "You have insufficient available funds in your Stripe account.", code="balance_insufficient")
