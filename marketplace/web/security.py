"""What the browser is told to refuse, how large and how often requests may be, and one log line a request."""

import secrets
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import structlog
from flask import Flask, Response, current_app, g, request
from flask_wtf.csrf import CSRFProtect
from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.exceptions import TooManyRequests

from marketplace.db import db
from marketplace.kernel import log_lines
from marketplace.kernel.ids import new_id
from marketplace.kernel.policy import Policy
from marketplace.parties.windows import hit
from marketplace.web.session import request_id, signed_in_person

SAFE = {"GET", "HEAD", "OPTIONS"}
BESIDE_THE_FILE = 1_000_000  # what a form may carry beside its document
# Doors that take more than one document, from people who are signed in: how many bytes and how many parts.
LARGE: dict[str, Callable[[Policy], tuple[int, int]]] = {}
OUTSIDE = "/api/"  # no cookies there: keys and signatures instead

csrf = CSRFProtect()
log = structlog.get_logger("duebill.web")


def csp_nonce() -> str:
    """Return this response's nonce; made when first asked for."""
    if "csp_nonce" not in g:
        g.csp_nonce = secrets.token_urlsafe(16)
    return str(g.csp_nonce)


def _begin() -> None:
    g.began = time.perf_counter()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=str(request_id()))


def _end(_error: BaseException | None) -> None:
    """What a thread says between two requests belongs to neither."""
    structlog.contextvars.clear_contextvars()


def _leave_out_nul() -> None:
    """Leave out of an address what no column can hold, before a page asks the database for it."""
    if b"%00" in request.query_string:
        kept = [(name, value.replace("\0", "")) for name, value in request.args.items(multi=True)]
        request.args = ImmutableMultiDict(kept)


def _widen() -> None:
    """Let a signed-in person send more where many documents are taken."""
    wide = LARGE.get(request.endpoint or "")
    if wide is not None and signed_in_person() is not None:
        size, parts = wide(current_app.extensions["duebill"].policy)
        request.max_content_length, request.max_form_parts = size + BESIDE_THE_FILE, parts + 100


def _limit_posts() -> None:
    """Count unsafe requests per person, or per address for visitors.

    Raises: TooManyRequests.
    """
    if request.method in SAFE or request.path.startswith(OUTSIDE) or request.endpoint in (None, "static"):
        return
    g.count_post = True  # where a token is looked up now, whoever it belongs to is counted in the same statement
    person = signed_in_person()
    g.pop("count_post", None)
    wait = g.pop("post_waits", None)
    if wait is None:
        who = f"user {person.user_id}" if person else f"address {request.remote_addr}"
        wait = hit(db.engine, f"post {who}", current_app.extensions["duebill"].policy.session.posts_per_minute_max, 60)
    if wait:
        raise TooManyRequests(retry_after=wait)


def _headers(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", _policy())
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=(), payment=()"
    response.headers["X-Request-ID"] = str(request_id())
    if g.get("https"):
        response.headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
    if request.endpoint not in ("static", "bootstrap.static"):
        response.headers.setdefault("Cache-Control", "no-store")
        response.vary.add("Cookie")
    return response


def _policy() -> str:
    # A form may lead on to the payment page, and browsers hold a redirect after a form to form-action too.
    provider = urlsplit(current_app.extensions["duebill"].settings.stripe_api_base)
    pay = f"{provider.scheme}://{provider.netloc} https://checkout.stripe.com"
    nonce = f" 'nonce-{g.csp_nonce}'" if "csp_nonce" in g else ""
    return (
        f"default-src 'none'; script-src 'self'{nonce}; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        f"connect-src 'self'; form-action 'self' {pay}; base-uri 'none'; frame-ancestors 'none'; object-src 'none'"
    )


def _write_line(response: Response) -> Response:
    """Log the request: its rule instead of its address, for addresses may hold a debtor's token."""
    if request.endpoint not in ("static", "bootstrap.static"):
        took = int((time.perf_counter() - g.get("began", time.perf_counter())) * 1000)
        rule = request.url_rule.rule if request.url_rule else "-"
        log.info("request", method=request.method, rule=rule, status=response.status_code, took_ms=took)
    return response


def install(app: Flask) -> None:
    """Wire headers, limits, CSRF and the log to the application."""
    house = app.extensions["duebill"]
    https = house.settings.base_url.startswith("https://")

    def note_https() -> None:
        g.https = https

    app.config.update(
        MAX_CONTENT_LENGTH=house.policy.listing.document_bytes_max + BESIDE_THE_FILE,
        MAX_FORM_MEMORY_SIZE=BESIDE_THE_FILE,
        WTF_CSRF_TIME_LIMIT=None,  # as long as the session it is bound to
        WTF_CSRF_SSL_STRICT=https,
        SEND_FILE_MAX_AGE_DEFAULT=3600,
    )
    log_lines.write_json(30 if app.testing else 20)
    app.before_request(_begin)
    app.teardown_request(_end)
    app.before_request(note_https)
    app.before_request(_leave_out_nul)
    app.before_request(_widen)
    csrf.init_app(app)
    app.before_request(_limit_posts)
    app.after_request(_write_line)
    app.after_request(_headers)
    app.jinja_env.globals["csp_nonce"] = csp_nonce
    app.jinja_env.globals["once_key"] = lambda: str(new_id())
