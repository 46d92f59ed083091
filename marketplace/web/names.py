"""Words for names that the record keeps as identifiers: verbs, jobs, subjects, alerts, and how accounts were read.

The record itself is never translated: an event's bytes show the names as they are stored.
"""

from flask_babel import gettext

from marketplace.kernel.words import N_

VERBS = (
    N_("accept award"), N_("accept evidence"), N_("acknowledge notice"), N_("age receivable"),
    N_("apply debtor payment"), N_("approve"), N_("assign title"), N_("buy back receivable"),
    N_("cancel lot"), N_("claim call"), N_("clear suspense"), N_("close lot"), N_("close review"),
    N_("confirm call"), N_("confirm receivable"), N_("default receivable"), N_("demand recourse"),
    N_("dispute receivable"), N_("draft receivable"), N_("end title"), N_("expire award"),
    N_("expire links"), N_("expire receivable"), N_("export bundle"), N_("fail call"), N_("file accounts"),
    N_("fund account"), N_("issue debtor link"), N_("issue notice"), N_("keep document"),
    N_("know at provider"), N_("list receivable"), N_("look up"), N_("mark applied"), N_("move collection"),
    N_("note action"), N_("open collection"), N_("open debtor link"), N_("open lot"), N_("open review"),
    N_("override grade"), N_("park call"), N_("place bid"), N_("place hold"), N_("post entry"),
    N_("post manual entry"), N_("postpone event"), N_("promise payment"), N_("raise alert"),
    N_("rate party"), N_("rate receivable"), N_("receive event"), N_("reconcile"), N_("record job"),
    N_("refund suspense"), N_("refuse approval"), N_("refuse award"), N_("refuse sign in"),
    N_("register organisation"), N_("register title"), N_("register user"), N_("reinstate organisation"),
    N_("reinstate user"), N_("reject receivable"), N_("release review"), N_("replay auction"), N_("request approval"),
    N_("request payout"), N_("resolve dispute"), N_("resolve holds"), N_("retry call"), N_("reverse entry"),
    N_("run job"), N_("set bank account"), N_("set mandate"), N_("settle award"), N_("settle event"),
    N_("sign in"), N_("sign out"), N_("start debtor payment"), N_("start payout"), N_("stop mandate"),
    N_("suspend organisation"), N_("suspend user"), N_("tombstone title"), N_("upload document"),
    N_("withdraw bid"), N_("withdraw cash"), N_("withdraw receivable"), N_("write call"), N_("write notice"),
    N_("write off receivable"), N_("record register answer"), N_("note register trouble"),
    N_("note register document"), N_("note register line"), N_("ask register again"),
    N_("write payout file"), N_("set payout rail"), N_("propose payout file"), N_("propose payout rail"),
    N_("propose payout refused"), N_("propose bank suspense"), N_("send payout again"),
)  # fmt: skip
JOBS = (
    N_("age receivables"), N_("apply payments"), N_("ask after silence"), N_("build bundles"),
    N_("close lots"), N_("expire awards"), N_("open lots"), N_("rate parties"), N_("rate receivables"),
    N_("ask companies register"),
    N_("run inbox"), N_("run outbox"), N_("sequence events"), N_("settle awards"), N_("verify invariants"),
    N_("console"), N_("debtor link"), N_("demo"), N_("webhook"),
)  # fmt: skip
SUBJECTS = (
    N_("award"), N_("bid"), N_("bundle"), N_("collection"), N_("debtor"), N_("debtor payment"),
    N_("dispute"), N_("document"), N_("draft"), N_("funding"), N_("hold"), N_("incoming event"),
    N_("investor"), N_("lot"), N_("operator"), N_("organisation"), N_("outgoing call"), N_("payment alert"),
    N_("payout"), N_("provider account"), N_("receivable"), N_("reconciliation"), N_("regulator"),
    N_("companies register"), N_("review"), N_("seller"), N_("system"), N_("title"), N_("user account"),
    N_("bank entry"), N_("bank message"), N_("job wish"), N_("payout file"),
)  # fmt: skip
MATTERS = (
    N_("call refused"), N_("call unknown"), N_("chargeback lost"), N_("chargeback open"),
    N_("chargeback won"), N_("debtor payment suspended"), N_("distribute"), N_("funding not as asked"),
    N_("no bank account"), N_("payment not as asked"), N_("payout failed"), N_("payout not as asked"),
    N_("reconciliation break"), N_("register insolvency"), N_("bank money left"), N_("bank money missing"),
    N_("bank money suspended"), N_("bank money taken back"), N_("bank money unmatched"),
    N_("reverse bank money suspended"), N_("reverse debtor payment received"), N_("bank lender"),
    N_("own money moved"), N_("statement gap"), N_("before first statement"), N_("booked by hand"),
    N_("late rate unknown"), N_("late claim"), N_("open late claim"), N_("receive late interest"),
    N_("entry differs"), N_("bank reconciliation"),
    N_("told twice"), N_("between two reads"), N_("provider fee differs"), N_("provider fee missing"),
    N_("receipt not ours"), N_("receipt not booked"), N_("receipt parked"), N_("receipt missing"),
    N_("receipt differs"), N_("transfer not ours yet"), N_("transfer missing"), N_("transfer differs"),
    N_("own move missing"), N_("reversal not booked"), N_("reversal missing"), N_("reversal differs"),
    N_("chargeback not booked"), N_("chargeback missing"),
    N_("chargeback differs"), N_("reinstatement missing"), N_("reinstatement differs"), N_("processing costs"),
    N_("processing cost"),
    N_("bank borrower"), N_("bank platform"), N_("bank unexplained"), N_("payout file paid"),
)  # fmt: skip
NAMES = frozenset((*VERBS, *JOBS, *SUBJECTS, *MATTERS))
LEVELS = {
    "full": N_("Full accounts"),
    "small": N_("Small company"),
    "small-prior": N_("Small company, with the year before"),
    "micro": N_("Micro-entity"),
    "micro-prior": N_("Micro-entity, with the year before"),
}
# What the model sees, as the operators' page of its drift calls it.
RATIOS = {
    "equity": N_("Equity"),
    "working_capital": N_("Working capital"),
    "current_cover": N_("Current assets to what is due within a year"),
    "due_within": N_("Due within a year"),
    "due_after": N_("Due after a year"),
    "retained": N_("Retained profits"),
    "liquid": N_("Cash and the like"),
    "liquid_cover": N_("Cash to what is due within a year"),
    "debtors": N_("Owed by debtors"),
    "equity_change": N_("Equity, change in its share"),
    "equity_earned": N_("Equity, growth in the year"),
    "growth": N_("Assets, growth in the year"),
    "working_capital_change": N_("Working capital, change in its share"),
    "retained_change": N_("Retained profits, change in the year"),
    "liquid_change": N_("Cash, change in its share"),
    "profit": N_("Profit"),
    "operating_profit": N_("Operating profit"),
    "turnover": N_("Turnover"),
    "margin": N_("Profit to turnover"),
    "operating_cover": N_("Operating profit to what is due within a year"),
    "profit_change": N_("Profit, change in the year"),
    "loss_borne": N_("Equity left after the year's loss"),
    "profit_before": N_("Profit of the year before"),
    "grades": N_("Grades"),
}


def named(name: str) -> str:
    """Return an identifier as words, in the reader's language where there are words for it."""
    words = str(name).replace("_", " ")
    return str(gettext(words)) if words in NAMES else words


def ratio_word(name: str) -> str:
    """Return what the model sees, in words."""
    return str(gettext(RATIOS[name])) if name in RATIOS else name.replace("_", " ")


def level_word(level: str) -> str:
    """Return how a company's accounts were read, in words."""
    return str(gettext(LEVELS[level])) if level in LEVELS else level
