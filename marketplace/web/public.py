"""What anybody may open: the landing page, signing in and out, how grades work, how to check the record."""

import ipaddress
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, current_app, g, jsonify, redirect, render_template, request, send_file, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from werkzeug.exceptions import NotFound

from marketplace.db import db
from marketplace.kernel.actors import Actor
from marketplace.kernel.errors import InvalidInput, MarketplaceError, NotPermitted
from marketplace.parties import actions, queries, sessions, windows
from marketplace.parties.schemas import RefuseSignIn, SignIn, SignInSchema, SignOut
from marketplace.perform import perform
from marketplace.reports import board, health, shell
from marketplace.schemas import load
from marketplace.web import format as formats
from marketplace.web import languages, session
from marketplace.web.example import CURRENCY, example
from marketplace.web.forms import say, status_of
from marketplace.web.navigation import home_of, local_or

blueprint = Blueprint("public", __name__)

WINDOW_SECONDS = 15 * 60
YEAR_SECONDS = 365 * 24 * 3600
VERIFIER = Path(shell.__file__).resolve().parent.parent / "audit" / "verify.py"


@blueprint.get("/")
def landing() -> ResponseReturnValue:
    """What this market is, its last awards, and one invoice seen through."""
    return render_template(
        "public/landing.html",
        board=board.board(db.session()),
        example=example(),
        currency=CURRENCY,
        demo=_settings().demo,
    )


@blueprint.get("/sign-in")
def sign_in() -> ResponseReturnValue:
    """The sign-in form; in a demonstration, the people one may be."""
    person = session.signed_in_person()
    if person is not None and not request.args.get("again"):
        return redirect(local_or(request.args.get("next"), home_of(person.role)), 303)
    return _sign_in_form()


@blueprint.post("/sign-in")
def open_session() -> ResponseReturnValue:
    """Check the e-mail and password, open a session, go where the person was going."""
    given = request.form.to_dict()
    try:
        form = load(SignInSchema, given)
    except InvalidInput as error:
        return _sign_in_form(error, given.get("email", "")), 422
    wait = _count_attempt(form["email"])
    if wait:
        return _sign_in_form(None, form["email"], wait=wait), 429, {"Retry-After": str(wait)}
    token = sessions.new_token()
    actor = Actor.system("sign_in")
    try:
        found = perform(
            actions.sign_in,
            SignIn(form["email"], form["password"], sessions.token_hash(token), session.current_token_hash()),
            actor,
        )
    except NotPermitted as error:
        perform(actions.refuse_sign_in, RefuseSignIn(form["email"], error.code), actor)
        return _sign_in_form(error, form["email"]), status_of(error)
    _forgive_attempt(form["email"])
    policy = current_app.extensions["duebill"].policy
    person = sessions.opened_by(db.engine, token, policy.session.idle_minutes)
    if person is None:
        raise NotPermitted("not_signed_in", "Sign in first.")
    session.begin(token, person)
    response = redirect(local_or(request.form.get("next"), home_of(person.role)), 303)
    if languages.COOKIE not in request.cookies:
        _remember_language(response, found["locale"])
    return response


@blueprint.post("/sign-out")
def sign_out() -> ResponseReturnValue:
    """End the session here and on the server."""
    actor = session.current_actor()
    ended = session.end()
    if ended is not None and actor is not None:
        perform(actions.sign_out, SignOut(ended), actor)
        say(gettext("You are signed out."))
    return redirect(url_for("public.landing"), 303)


@blueprint.get("/language/<code>")
def language(code: str) -> ResponseReturnValue:
    """Remember the reader's language in a cookie and go back."""
    if code not in languages.CODES:
        raise NotFound
    response = redirect(local_or(request.args.get("next"), url_for("public.landing")), 303)
    _remember_language(response, code)
    return response


@blueprint.get("/grades")
def grades() -> ResponseReturnValue:
    """How grades work: nine of them, what each says, what is assumed, what is not proved."""
    policy = current_app.extensions["duebill"].policy.rating
    bounds = (policy.pd_floor_ppm, *policy.grade_bounds_ppm)
    scale = list(zip(formats.GRADES, bounds[:-1], bounds[1:], strict=True))
    return render_template("public/grades.html", scale=scale, rating=policy)


@blueprint.get("/verify")
def verify() -> ResponseReturnValue:
    """How to prove, without trusting this market, that its record was not changed."""
    return render_template("public/verify.html", keys=shell.signing_keys(db.session()), has_verifier=VERIFIER.is_file())


@blueprint.get("/verify/keys.txt")
def verify_keys() -> ResponseReturnValue:
    """The public keys, one a line, newest first."""
    lines = [key.verifier_key for key in shell.signing_keys(db.session())]
    return _text("".join(f"{line}\n" for line in lines))


@blueprint.get("/verify/checkpoint.txt")
def verify_checkpoint() -> ResponseReturnValue:
    """The last checkpoint as it was signed: what a witness keeps."""
    last = shell.shell(db.session()).checkpoint
    if last is None:
        raise NotFound
    return _text(last.note)


@blueprint.get("/verify/verify.py")
def verifier() -> ResponseReturnValue:
    """The verifier: one file, standard library only."""
    if not VERIFIER.is_file():
        raise NotFound
    return send_file(VERIFIER, mimetype="text/x-python", as_attachment=True, download_name="verify.py")


@blueprint.get("/healthz")
def healthz() -> ResponseReturnValue:
    """Say that this process answers, and nothing of anything else: a database that is away is no reason to kill it."""
    return _text("ok\n")


@blueprint.get("/readyz")
def readyz() -> ResponseReturnValue:
    """Say whether people may be sent here: database, schema, and somebody who keeps time. 503 when not."""
    g.without_database = True  # no session is looked up: the answer must come without one
    found = health.readiness(db.session())
    answer = jsonify(ready=found.ready, database=found.database, migrations=found.migrations, clock=found.clock,
                     leader_silent_seconds=found.leader_silent_seconds)  # fmt: skip
    return answer, 200 if found.ready else 503


def _sign_in_form(error: MarketplaceError | None = None, email: str = "", wait: int = 0) -> str:
    people = queries.active_people(db.session()) if _settings().demo else []
    wanted = request.form.get("next") or request.args.get("next") or ""
    return render_template(
        "public/sign_in.html",
        error=error,
        problems=error.problems if error else (),
        email=email,
        wait=wait,
        wanted=local_or(wanted, ""),
        people=people,
        demo_password=_settings().demo_password if people else "",
    )


def _count_attempt(email: str) -> int:
    """Count an attempt by e-mail and by address; return the seconds to wait where either is used up."""
    most = current_app.extensions["duebill"].policy.session.sign_in_attempts_max
    return max(windows.hit(db.engine, key, most, WINDOW_SECONDS) for key in _attempt_keys(email))


def _forgive_attempt(email: str) -> None:
    for key in _attempt_keys(email):
        windows.give_back(db.engine, key, WINDOW_SECONDS)


def _attempt_keys(email: str) -> tuple[str, str]:
    return f"sign-in e-mail {email.strip().lower()}", f"sign-in address {_network(request.remote_addr or '')}"


def _network(address: str) -> str:
    """Return the address; of IPv6 the /64 that one household holds."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network(f"{address}/64", strict=False)) if known.version == 6 else address


def _remember_language(response: Any, code: str) -> None:
    secure = bool(current_app.config["SESSION_COOKIE_SECURE"])
    response.set_cookie(languages.COOKIE, code, max_age=YEAR_SECONDS, secure=secure, httponly=True, samesite="Lax")


def _settings() -> Any:
    return current_app.extensions["duebill"].settings


def _text(words: str) -> Response:
    return Response(words, mimetype="text/plain; charset=utf-8")
