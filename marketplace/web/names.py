"""Words for names that the record keeps as identifiers: verbs, jobs, subjects, alerts, and how accounts were read.

The record itself is never translated: an event's bytes show the names as they are stored.
"""

from flask_babel import gettext

from marketplace.kernel.words import N_

VERBS = (
    N_("accept award"), N_("accept evidence"), N_("accept offer"), N_("acknowledge notice"), N_("add peer"),
    N_("age receivable"), N_("answer many"), N_("answer one"), N_("answer peer"), N_("apply debtor payment"),
    N_("approve dilution"), N_("ask buy back"), N_("ask for debts link"), N_("ask register again"), N_("assign title"),
    N_("begin bulk upload"), N_("book chargeback"), N_("buy back receivable"), N_("cancel lot"), N_("check claims"),
    N_("claim call"), N_("clear bulk upload"), N_("close alert"), N_("close lot"), N_("close review"),
    N_("close session"), N_("confirm call"), N_("confirm dilution"), N_("confirm receivable"), N_("correct bulk rows"),
    N_("cover dilution"), N_("create api key"), N_("create mandate"), N_("decide model"), N_("decide money"),
    N_("decide override"), N_("default receivable"), N_("demand buy back"), N_("dispute receivable"),
    N_("draft receivable"), N_("drop bulk upload"), N_("end api key"), N_("end mandate"), N_("end offer"),
    N_("end relation"), N_("end title"), N_("expire award"), N_("expire links"), N_("expire offer"),
    N_("expire receivable"), N_("export bundle"), N_("export claims"), N_("fail call"), N_("file accounts"),
    N_("fund account"), N_("import claims"), N_("issue debtor link"), N_("issue debts link"), N_("issue notice"),
    N_("keep bulk pieces"), N_("keep credit note"), N_("keep document"), N_("know at provider"), N_("leave bulk rows"),
    N_("list bulk rows"), N_("list receivable"), N_("look up"), N_("mark applied"), N_("move collection"),
    N_("move model"), N_("name lots"), N_("note bulk rows"), N_("note learning"), N_("note outcomes"),
    N_("note payments"), N_("note register document"), N_("note register line"), N_("note register trouble"),
    N_("note registry"), N_("note watch"), N_("offer holding"), N_("open collection"), N_("open debtor link"),
    N_("open lot"), N_("open registry"), N_("open review"), N_("open session"), N_("override grade"), N_("park call"),
    N_("pause mandate"), N_("place bid"), N_("place bids"), N_("place hold"), N_("post entry"), N_("postpone event"),
    N_("promise payment"), N_("propose bank suspense"), N_("propose manual entry"), N_("propose model"),
    N_("propose override"), N_("propose payout file"), N_("propose payout rail"), N_("propose payout refused"),
    N_("propose period close"), N_("propose suspense"), N_("raise alert"), N_("rate party"), N_("rate receivable"),
    N_("receive by bank"), N_("receive event"), N_("reconcile"), N_("reconcile bank"), N_("record dilution"),
    N_("record exchange answer"), N_("record register answer"), N_("refuse award"), N_("refuse dilution"),
    N_("refuse sign in"), N_("register organisation"), N_("register title"), N_("register user"),
    N_("reinstate chargeback"), N_("reinstate organisation"), N_("reinstate user"), N_("reject award"),
    N_("reject receivable"), N_("relate organisations"), N_("release review"), N_("relist receivable"),
    N_("renew debtor link"), N_("renew keys"), N_("replay auction"), N_("request payout"), N_("resolve dispute"),
    N_("resolve holds"), N_("resume mandate"), N_("retry call"), N_("reverse receipt"), N_("revive title"),
    N_("revoke debtor link"), N_("revoke peer"), N_("run job again"), N_("seal bulk upload"), N_("seal session"),
    N_("send payout again"), N_("set debtor contact"), N_("set payout rail"), N_("set session caps"),
    N_("settle award"), N_("settle event"), N_("sign in"), N_("sign out"), N_("start debtor payment"),
    N_("start payout"), N_("suspend organisation"), N_("suspend user"), N_("sweep registry"), N_("take back by bank"),
    N_("take back payment"), N_("take bank file"), N_("take bulk rows"), N_("tombstone title"), N_("transfer title"),
    N_("trust issuer"),
    N_("unpack bulk upload"), N_("upload document"), N_("withdraw bid"), N_("withdraw cash"), N_("withdraw demand"),
    N_("withdraw model"), N_("withdraw offer"), N_("withdraw receivable"), N_("write call"), N_("write notice"),
    N_("write off receivable"), N_("write payout file"),
)  # fmt: skip
JOBS = (
    N_("age receivables"), N_("apply payments"), N_("ask after silence"), N_("ask companies register"),
    N_("ask registry"), N_("build bundles"), N_("close lots"), N_("close sessions"), N_("console"), N_("debtor link"),
    N_("demand buy backs"), N_("demo"), N_("expire awards"), N_("expire offers"), N_("learn model"),
    N_("learn payments"), N_("open lots"), N_("rate parties"), N_("rate receivables"), N_("rerate parties"),
    N_("reverse receipts"), N_("run bulk"), N_("run inbox"), N_("run outbox"), N_("sequence events"),
    N_("settle awards"), N_("take answers"), N_("take bank folder"), N_("verify invariants"), N_("watch ratings"),
    N_("webhook"), N_("write notices"),
)  # fmt: skip
SUBJECTS = (
    N_("api key"), N_("award"), N_("bank entry"), N_("bank message"), N_("bid"), N_("bids"), N_("bulk upload"),
    N_("bundle"), N_("buy back"), N_("call"), N_("call session"), N_("chargeback"), N_("closed period"),
    N_("collection"), N_("companies register"), N_("debtor"), N_("debtor payment"), N_("decision"),
    N_("dilution proposal"), N_("dispute"), N_("document"), N_("draft"), N_("entry"), N_("exchange"),
    N_("exchange claim"), N_("funding"), N_("grade override"), N_("hold"), N_("incoming event"), N_("investor"),
    N_("job wish"), N_("learning run"), N_("lot"), N_("lots"), N_("mandate"), N_("money decision"), N_("notice"),
    N_("offer"), N_("operator"), N_("organisation"), N_("outgoing call"), N_("override"), N_("payment"),
    N_("payment alert"), N_("payout"), N_("payout file"), N_("peer"), N_("provider account"), N_("rating model"),
    N_("rating outcome"), N_("rating watch"), N_("receipt reversal"), N_("receivable"), N_("reconciliation"),
    N_("registry"), N_("registry claim"), N_("regulator"), N_("relation"), N_("review"), N_("row"), N_("seller"),
    N_("system"), N_("title"), N_("user account"),
)  # fmt: skip
MATTERS = (
    N_("bank money left"), N_("bank money missing"), N_("bank money suspended"), N_("bank money taken back"),
    N_("bank money unmatched"), N_("bank reconciliation"), N_("before first statement"), N_("between two reads"),
    N_("booked by hand"), N_("call refused"), N_("call unknown"), N_("chargeback differs"), N_("chargeback lost"),
    N_("chargeback missing"), N_("chargeback not booked"), N_("chargeback open"), N_("chargeback won"),
    N_("debtor payment received"), N_("debtor payment suspended"), N_("debtor payment unmatched"), N_("distribute"),
    N_("entry differs"), N_("late claim"), N_("late rate unknown"), N_("line changed"), N_("line gone"),
    N_("manual entry"), N_("no bank account"),
    N_("not as asked"), N_("open late claim"), N_("own money moved"), N_("entry by two missing"),
    N_("own move missing"), N_("payout failed"),
    N_("payout file paid"), N_("payout file returned"), N_("payout not as asked"), N_("processing cost"),
    N_("provider fee differs"), N_("provider fee missing"), N_("receipt differs"), N_("receipt missing"),
    N_("receipt not booked"), N_("receipt not ours"), N_("receipt parked"), N_("receive late interest"),
    N_("reconciliation break"), N_("regain loss"), N_("register insolvency"), N_("reinstatement differs"),
    N_("reinstatement missing"), N_("reversal differs"), N_("reversal missing"), N_("reversal not booked"),
    N_("reverse bank money suspended"), N_("reverse debtor payment received"), N_("statement gap"),
    N_("suspense applied"), N_("told twice"), N_("transfer differs"), N_("transfer holding"), N_("transfer missing"),
    N_("transfer not ours yet"),
)  # fmt: skip
# The chart of accounts and its pools.
ACCOUNTS = (
    N_("advance in transit"), N_("bank borrower"), N_("bank lender"), N_("bank platform"), N_("bank unexplained"),
    N_("borrower"), N_("debtor receipts"), N_("investor cash"), N_("lender"), N_("platform"), N_("platform fees"),
    N_("platform loss"), N_("platform reserve"), N_("processing costs"), N_("provider borrower"), N_("provider lender"),
    N_("provider platform"), N_("residual in transit"), N_("return in transit"), N_("seller advance"),
    N_("seller cash"), N_("seller residual"), N_("suspense"), N_("withdrawal in transit"),
)  # fmt: skip
# What alerts hold, and the codes of calls, pay-outs and money without a reference.
FACTS = (
    N_("about"), N_("account"), N_("advance"), N_("amount"), N_("asked"), N_("breaks"), N_("call kind"), N_("checkout"),
    N_("code"), N_("company number"), N_("currency"), N_("customer"), N_("dispute id"), N_("half year"),
    N_("iban ends"), N_("law"), N_("no reference"), N_("organisation id"), N_("payment id"), N_("payout file id"),
    N_("payout id"), N_("policy"), N_("purpose"), N_("receivable id"), N_("received"), N_("refund"), N_("residual"),
    N_("return"), N_("reversal"), N_("said on"), N_("sent"), N_("state"), N_("transfer"), N_("unexplained"),
    N_("unknown reference"), N_("what"), N_("why"), N_("withdrawal"), N_("wrong currency"),
)  # fmt: skip
NAMES = frozenset((*VERBS, *JOBS, *SUBJECTS, *MATTERS, *ACCOUNTS, *FACTS))
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
