"""The one table from refusals to HTTP statuses, and how the API words them (RFC 9457)."""

from typing import Any

from flask import Response, jsonify, request

from marketplace.kernel.errors import (
    Conflict,
    GatewayFailed,
    IntegrityBreach,
    InvalidInput,
    MarketplaceError,
    NotFound,
    NotPermitted,
    RuleBroken,
)

BY_KIND: dict[type[MarketplaceError], int] = {
    InvalidInput: 422,
    NotPermitted: 403,
    NotFound: 404,
    Conflict: 409,
    RuleBroken: 422,
    GatewayFailed: 502,
    IntegrityBreach: 500,
}

BY_CODE: dict[str, int] = {
    "not_signed_in": 401,
    "wrong_credentials": 401,
    "key_missing": 401,
    "document_too_large": 413,
    "too_many_attempts": 429,
    "bad_signature": 400,
    "read_only": 503,
}


def status_of(error: MarketplaceError) -> int:
    """Return the HTTP status of a refusal: by its code where that says more, else by its kind."""
    return BY_CODE.get(error.code) or BY_KIND.get(type(error), 500)


def problem_json(status: int, code: str, words: str, problems: list[dict[str, Any]] | None = None) -> Response:
    """Return a problem document. `type` is the stable code; `errors` names the fields.

    Source: RFC 9457 §3.1.
    """
    body: dict[str, Any] = {
        "type": f"urn:duebill:problem:{code}", "title": words, "status": status, "code": code, "instance": request.path,
    }  # fmt: skip
    if problems:
        body["errors"] = problems
    response = jsonify(body)
    response.status_code = status
    response.mimetype = "application/problem+json"
    return response


def refused(error: MarketplaceError) -> Response:
    """Return the problem document of a refusal."""
    fields = [{"field": p.field, "rule": p.rule, "words": p.said()} for p in error.problems]
    return problem_json(status_of(error), error.code, error.said(), fields)
