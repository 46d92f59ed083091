"""The pages that say no: what happened, what did not, and one way on."""

from dataclasses import dataclass

from flask import current_app, g, redirect, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException, MethodNotAllowed, TooManyRequests

from marketplace.kernel.errors import MarketplaceError
from marketplace.kernel.words import N_
from marketplace.web.format import translated
from marketplace.web.session import request_id


@dataclass(frozen=True)
class Refusal:
    """Words and shape of one status."""

    title: str
    words: str
    shape: str


REFUSALS = {
    400: Refusal(
        N_("The request could not be read"),
        N_("Something in it was missing or malformed. Nothing was changed."),
        "signpost-split",
    ),
    401: Refusal(N_("Sign in first"), N_("This page is for people with an account."), "person-lock"),
    403: Refusal(N_("You may not do this"), N_("Your role does not include it. Nothing was changed."), "slash-circle"),
    404: Refusal(
        N_("There is nothing at this address"), N_("It may have moved, or you may not see it."), "signpost-split"
    ),
    405: Refusal(
        N_("This address does not take that"),
        N_("The page exists, but not for this kind of request. Nothing was changed."),
        "signpost-2",
    ),
    409: Refusal(
        N_("Somebody was faster"),
        N_("What you asked for has changed in the meantime. Nothing was changed by you."),
        "intersect",
    ),
    413: Refusal(N_("The file is too large"), N_("It was not read. Nothing was changed."), "file-earmark-x"),
    422: Refusal(N_("A rule of the market stands against it"), N_("Nothing was changed."), "x-octagon"),
    429: Refusal(
        N_("Too many at once"), N_("You asked more often than the market allows. Nothing is lost."), "hourglass-split"
    ),
    500: Refusal(
        N_("Something failed here"),
        N_("It is our fault, and it is logged under the reference below. No half of your request was kept."),
        "tools",
    ),
    502: Refusal(
        N_("The payment provider did not answer"),
        N_("We do not send twice; what was asked is looked up and finished."),
        "plug",
    ),
    503: Refusal(
        N_("The market is not reachable"),
        N_("Its database does not answer. Nothing was changed. Try again in a minute."),
        "plug",
    ),
    507: Refusal(
        N_("There is no room for what you sent"),
        N_("The disk on which files are put aside to be read is full. Yours was not read. Nothing was changed."),
        "device-hdd",
    ),
}


def page(status: int, *, title: str = "", words: str = "", wait: int | None = None) -> ResponseReturnValue:
    """Return the page of a status; the words of the refusal itself replace the general ones."""
    general = REFUSALS.get(status) or (REFUSALS[400] if status < 500 else REFUSALS[500])
    if status >= 500:
        g.without_database = True
        g.pop("frame", None)
    html = render_template(
        [f"errors/{status}.html", "errors/error.html"],
        status=status,
        title=title or gettext(general.title),
        words=words or gettext(general.words),
        shape=general.shape,
        wait=wait,
        reference=str(request_id()),
    )
    return (html, status, {"Retry-After": str(wait)}) if wait else (html, status)


def of_marketplace(error: MarketplaceError) -> ResponseReturnValue:
    """Return the page of a refusal that its view did not handle."""
    status = current_app.extensions["status_of"](error)
    said = translated(error.words, error.params)
    if error.code == "read_only":
        return page(status, title=gettext("The market can only be read"), words=said)
    if status >= 500:
        return page(status)
    return page(status, words="" if status == 404 else said)


def of_http(error: HTTPException) -> ResponseReturnValue:
    """Return the page of an HTTP error that Flask or Werkzeug raised."""
    if isinstance(error, CSRFError):
        return page(
            400,
            title=gettext("This form is too old"),
            words=gettext(
                "It was opened before you signed in, or in another window. Open it again and send it once more."
            ),
        )
    if isinstance(error, MethodNotAllowed) and request.method in ("GET", "HEAD"):
        return redirect(_page_above(), 303)
    status = error.code or 500
    if 300 <= status < 400:
        return error.get_response()
    wait = error.retry_after if isinstance(error, TooManyRequests) and isinstance(error.retry_after, int) else None
    if status == 413:
        most = (request.max_content_length or 0) // 1_000_000
        return page(413, words=gettext("At most %(most)s MB can be sent at once. It was not read.", most=most))
    return page(status, wait=wait)


def _page_above() -> str:
    """Return the nearest page above an address that only takes a form: its page, loaded anew or kept as a bookmark."""
    address, pages = request.path, current_app.url_map.bind_to_environ(request.environ)
    while address:
        address = address.rpartition("/")[0]
        if pages.test(address, "GET"):
            break
    return address or "/"


def wants_json() -> bool:
    """Say whether the API's wording is wanted: by address alone."""
    return request.path.startswith("/api/")
