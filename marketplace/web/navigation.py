"""What the top bar links to, per role: only pages that exist. And addresses that keep their filter."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, current_app, request, url_for
from flask_babel import gettext
from sqlalchemy.orm import Session
from werkzeug.routing import Rule

from marketplace.db import db
from marketplace.kernel.actors import Role
from marketplace.kernel.words import N_
from marketplace.web.session import current_actor

STATIC = Path(__file__).resolve().parent.parent / "static"


@dataclass(frozen=True)
class Item:
    """One entry of the bar. The first endpoint that exists is linked; the others count as being there too.

    What is needed less than daily is `tucked` away behind "More": twelve entries do not fit a bar.
    """

    label: str
    endpoints: tuple[str, ...]
    tucked: bool = False


@dataclass(frozen=True)
class Link:
    """An entry as the page shows it."""

    label: str
    href: str
    current: bool
    count: int
    tucked: bool


BARS: dict[Role | None, tuple[Item, ...]] = {
    None: (
        Item(N_("How it works"), ("public.landing",)),
        Item(N_("How grades work"), ("public.grades",)),
        Item(N_("Check it yourself"), ("public.verify",)),
    ),
    Role.SELLER: (
        Item(N_("Invoices"), ("seller.invoices", "seller.receivables", "seller.receivable", "seller.invoice")),
        Item(N_("New listing"), ("seller.new_listing", "seller.listing", "seller.draft")),
        Item(N_("Bulk upload"), ("seller.bulk_upload", "seller.bulk")),
        Item(N_("Money"), ("seller.money",)),
        Item(N_("Accounts"), ("seller.accounts",)),
        Item(N_("Requests"), ("seller.requests", "seller.buy_back")),
    ),
    Role.INVESTOR: (
        Item(N_("Market"), ("investor.market", "investor.lot", "investor.bid_file")),
        Item(N_("Offers"), ("investor.offers", "investor.offer")),
        Item(N_("Portfolio"), ("investor.portfolio", "investor.holding", "investor.title_chain")),
        Item(N_("Mandates"), ("investor.mandates", "investor.mandate")),
        Item(N_("Sessions"), ("investor.sessions", "investor.session"), tucked=True),
        Item(N_("Cash"), ("investor.cash",)),
        Item(N_("Statement"), ("investor.statement",)),
        Item(N_("Keys for programs"), ("investor.keys",), tucked=True),
    ),
    Role.OPERATOR: (
        Item(N_("Today"), ("operator.today",)),
        Item(N_("Queue"), ("operator.queue",)),
        Item(N_("Duplicates"), ("operator.duplicates", "operator.duplicate")),
        Item(N_("Defaults"), ("operator.defaults",)),
        Item(N_("Buy-backs"), ("operator.buy_backs",)),
        Item(N_("Suspense"), ("operator.suspense",)),
        Item(N_("Ledger"), ("operator.ledger_page",), tucked=True),
        Item(N_("Reconciliation"), ("operator.reconciliation",), tucked=True),
        Item(N_("Sessions"), ("operator.sessions",), tucked=True),
        Item(N_("Bank files"), ("operator.bank",), tucked=True),
        Item(N_("Bank pay-outs"), ("operator.bank_payouts",), tucked=True),
        Item(N_("Exchange"), ("operator.exchange",), tucked=True),
        Item(N_("Ratings"), ("operator.ratings",), tucked=True),
        Item(N_("Model"), ("operator.model",), tucked=True),
        Item(N_("Companies register"), ("operator.register",), tucked=True),
        Item(N_("People"), ("operator.people",), tucked=True),
        Item(N_("Jobs"), ("operator.jobs",), tucked=True),
        Item(N_("Approvals"), ("operator.approvals",), tucked=True),
    ),
    Role.REGULATOR: (
        Item(N_("Audit"), ("regulator.audit", "regulator.audit_home", "regulator.events", "regulator.event")),
        Item(N_("Periods"), ("regulator.periods",)),
        Item(N_("Outcomes"), ("regulator.outcomes",)),
        Item(N_("Defaults"), ("regulator.defaults",)),
        Item(N_("Replay"), ("regulator.replay", "regulator.award")),
        Item(N_("Exchange"), ("regulator.exchange",)),
        Item(N_("My look-ups"), ("regulator.look_ups", "regulator.lookups")),
    ),
}

HOMES: dict[Role, tuple[str, ...]] = {role: BARS[role][0].endpoints for role in BARS if role is not None}

# Numbers beside an entry: endpoint → a cheap count, put there by the door that owns the page.
COUNTS: dict[str, Callable[[Session], int]] = {}


def count_with(endpoint: str, count: Callable[[Session], int]) -> None:
    """Show a number beside the entry of this endpoint; none is shown at zero."""
    COUNTS[endpoint] = count


def bar() -> list[Link]:
    """Return the entries of the signed-in person's bar; for nobody, the public ones."""
    actor = current_actor()
    links = []
    for item in BARS.get(actor.role if actor else None, ()):
        endpoint = _existing(item.endpoints)
        if endpoint is None:
            continue
        href = url_for(endpoint)
        links.append(Link(gettext(item.label), href, _is_here(item, href), _count(endpoint), item.tucked))
    if sum(link.current for link in links) > 1:
        longest = max((link.href for link in links if link.current), key=len)
        links = [replace(link, current=link.current and link.href == longest) for link in links]
    return links


def home_of(role: Role) -> str:
    """Return the address of a role's first page; the landing page where that does not exist yet."""
    endpoint = _existing(HOMES.get(role, ()))
    return url_for(endpoint or "public.landing")


def _existing(endpoints: tuple[str, ...]) -> str | None:
    for endpoint in endpoints:
        rules = _rules(endpoint)
        if any("GET" in (rule.methods or ()) and not rule.arguments for rule in rules):
            return endpoint
    return None


def _rules(endpoint: str) -> list[Rule]:
    if endpoint not in current_app.view_functions:
        return []
    return list(current_app.url_map.iter_rules(endpoint))


def _is_here(item: Item, href: str) -> bool:
    if request.endpoint in item.endpoints:
        return True
    return href != "/" and (request.path == href or request.path.startswith(href.rstrip("/") + "/"))


def _count(endpoint: str) -> int:
    counted = COUNTS.get(endpoint)
    return counted(db.session()) if counted else 0


def address_with(**changes: Any) -> str:
    """Return this page's address with some of its arguments changed; None takes one away."""
    arguments: dict[str, Any] = request.args.to_dict(flat=False)
    for name, value in changes.items():
        arguments.pop(name, None)
        if value is not None:
            arguments[name] = [str(value)]
    return url_for(request.endpoint or "public.landing", **(request.view_args or {}), **arguments)


def is_local(address: str | None) -> bool:
    """Say whether an address stays on this site: a path, no scheme, no host, no back-slash tricks."""
    if not address or not address.startswith("/") or address.startswith(("//", "/\\")):
        return False
    if any(ord(letter) < 32 or letter == "\\" for letter in address):
        return False
    parts = urlsplit(address)
    return not parts.scheme and not parts.netloc


def local_or(address: str | None, otherwise: str) -> str:
    """Return the address if it is local, else the other one: no open redirects."""
    return address if address is not None and is_local(address) else otherwise


def sprite_url() -> str:
    """Return the address of Bootstrap's icon sprite, served by its own package."""
    return url_for("bootstrap.static", filename="icons/bootstrap-icons.svg")


@lru_cache(maxsize=256)
def _mark_of(filename: str, modified: int) -> str:
    return hashlib.sha256((STATIC / filename).read_bytes()).hexdigest()[:10]


def asset(filename: str) -> str:
    """Return the address of one of our own files, marked with its content so that a browser never shows an old one."""
    path = STATIC / filename
    return url_for("static", filename=filename, v=_mark_of(filename, path.stat().st_mtime_ns))


def install(app: Flask) -> None:
    """Give every template the bar and the address helpers."""
    app.jinja_env.globals.update(
        nav_links=bar, address_with=address_with, sprite_url=sprite_url, asset=asset, home_of=home_of
    )
