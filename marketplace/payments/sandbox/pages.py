"""The hosted payment page, served by the sandbox itself."""

from html import escape
from pathlib import Path
from string import Template
from typing import Any

from marketplace.kernel.money import exponent
from marketplace.payments.sandbox import money_in
from marketplace.payments.sandbox.desk import PLATFORM, Desk
from marketplace.payments.sandbox.faults import Refused
from marketplace.payments.sandbox.store import Store

PAGE = Template((Path(__file__).parent / "page.html").read_text(encoding="utf-8"))
SIGNS = {"gbp": "£", "eur": "€", "usd": "$"}
OUTCOMES = ("paid", "later", "later_fails", "declined")
FORM = """<form method="post">
<button class="first" name="outcome" value="paid">Pay now</button>
<button name="outcome" value="later">Pay by bank transfer
<small>The money arrives a few seconds later.</small></button>
<button name="outcome" value="later_fails">Pay by direct debit that bounces
<small>Accepted now, refused by the bank.</small></button>
<button name="outcome" value="declined">Have the payment declined
<small>Refused at once; you may try again.</small></button>
</form>"""


def shown_sum(minor: int, currency: str) -> str:
    """Return an amount for people: £1,234.50."""
    places = exponent(currency.upper())
    whole, rest = divmod(minor, 10**places)
    fraction = f".{rest:0{places}d}" if places else ""
    return f"{SIGNS.get(currency, currency.upper() + ' ')}{whole:,}{fraction}"


def show(store: Store, session_id: str, message: str = "") -> tuple[int, str]:
    """Return status and HTML of a session's page."""
    session = store.get("checkout.session", session_id, PLATFORM)
    if session is None:
        return 404, PAGE.substitute(title="Not found", words="There is no such payment page.", sum="", message="",
                                    form="", back="")  # fmt: skip
    words = store.hidden(session_id).get("words") or "Payment"
    state = session["status"]
    if state != "open":
        message = "This payment has been made." if state == "complete" else "This payment page has expired."
    back = session["cancel_url"] if state == "open" else _home(session)
    return 200, PAGE.substitute(
        title=escape(f"Pay {shown_sum(session['amount_total'], session['currency'])}"), words=escape(words),
        sum=escape(shown_sum(session["amount_total"], session["currency"])),
        message=f'<p class="bad" role="alert">{escape(message)}</p>' if message else "",
        form=FORM if state == "open" else "",
        back=f'<a href="{escape(back)}">Back without paying</a>' if back and state == "open"
        else (f'<a href="{escape(back)}">Continue</a>' if back else ""),
    )  # fmt: skip


def pay(store: Store, base_url: str, session_id: str, outcome: str) -> tuple[int, str, str]:
    """Do what the payer chose; return status, HTML and where to go next (empty: stay)."""
    if outcome not in OUTCOMES:
        return 400, *show(store, session_id, "Choose one of the ways to pay.")[1:], ""
    try:
        with store.transaction():
            session = money_in.pay_session(Desk(store, PLATFORM, base_url=base_url), session_id, outcome)
    except Refused as refused:
        status, html = show(store, session_id, str(refused))
        return max(status, refused.status), html, ""
    if outcome == "declined":
        return 402, show(store, session_id, "The payment was declined. Try another way.")[1], ""
    return 303, "", _home(session)


def _home(session: dict[str, Any]) -> str:
    return str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"])
