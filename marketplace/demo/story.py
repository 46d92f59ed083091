"""The life of a folder of invoices, through the same verbs and jobs as a real market, at simulated dates."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from itertools import cycle
from uuid import UUID
from zlib import crc32

from schwifty import IBAN

from marketplace.db import db
from marketplace.demo.agenda import Agenda
from marketplace.demo.cast import CONSOLE, PEOPLE, SELLERS, Cast, Person
from marketplace.demo.companies import iban, sellers
from marketplace.demo.market_clock import MarketClock
from marketplace.demo.outside import Outside
from marketplace.jobs.runner import run_job
from marketplace.jobs.schedule import job
from marketplace.kernel.actors import Actor, Role
from marketplace.kernel.errors import Conflict, MarketplaceError
from marketplace.kernel.money import EXPONENTS
from marketplace.parties import queries as parties
from marketplace.payments import queries as payments
from marketplace.payments.actions import fund_account, start_debtor_payment
from marketplace.payments.schemas import FundAccount, StartDebtorPayment
from marketplace.perform import perform
from marketplace.rating.actions import file_accounts
from marketplace.rating.schemas import FileAccounts
from marketplace.receivables import queries as receivables
from marketplace.receivables.debtor.confirmation import confirm_receivable, issue_debtor_link
from marketplace.receivables.debtor.notice import acknowledge_notice
from marketplace.receivables.drafting import draft_receivable
from marketplace.receivables.einvoice.neutral import ReadInvoice
from marketplace.receivables.einvoice.reading import read_einvoice
from marketplace.receivables.listing import list_receivable
from marketplace.receivables.schemas import (
    AcknowledgeNotice,
    ConfirmReceivable,
    DraftReceivable,
    IssueDebtorLink,
    ListReceivable,
    Terms,
)
from marketplace.servicing import queries as servicing
from marketplace.trading import queries as trading
from marketplace.trading.actions import accept_award, place_bid
from marketplace.trading.schemas import AcceptAward, PlaceBid

LENT = "Demonstration: accounts of another company stand in for this party's own."
ATTESTED = "Compared with the company's own register: the number there is not a British one."
SECTORS = {company.name: company.sector for company in sellers()}
LINK = re.compile(r"/d/([\w.-]+)")
NO_DAY = date(2020, 1, 1)  # where a document that bears no date is put down, to be refused
CALLS_MAX = 5
READERS = 2
WORKDAY_MINUTES = 9 * 60
PURSE_MINOR = 5_000_000_000  # each investor's cash in each currency


@dataclass(frozen=True)
class Paper:
    """A file handed to the story."""

    name: str
    content: bytes = field(repr=False)


@dataclass
class Refusals:
    """What the market would not take, by stable code."""

    documents: list[tuple[str, str]] = field(default_factory=list)
    duplicates: list[tuple[str, str]] = field(default_factory=list)
    filings: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    held: list[tuple[str, str]] = field(default_factory=list)

    def by_reason(self) -> dict[str, int]:
        """Return how often each reason was given, most frequent first."""
        codes = Counter(code for _, given in self.documents for code in given.split(","))
        return dict(codes.most_common())


@dataclass(frozen=True)
class Behaviour:
    """How a debtor pays: (days after the due date, parts per thousand of what is outstanding)."""

    payments: tuple[tuple[int, int], ...]


ON_TIME = Behaviour(((0, 1_000),))
LATE = Behaviour(((12, 1_000),))
EARLY = Behaviour(((-4, 1_000),))
BROKEN = Behaviour(((21, 300), (131, 450)))
HABITS = (BROKEN, ON_TIME, ON_TIME, LATE, EARLY, ON_TIME, ON_TIME)  # the oldest debt has had time to be recovered


class Story:
    """Registers people, hands in documents, lets investors bid and debtors pay, moment by moment."""

    def __init__(
        self,
        clock: MarketClock,
        outside: Outside,
        say: Callable[[str], None],
        filings: Sequence[Paper] = (),
        accounts: Mapping[str, Paper] | None = None,
    ) -> None:
        self.agenda = Agenda(clock)
        self.cast = Cast()
        self.refused = Refusals()
        self._clock = clock
        self._outside = outside
        self._filings: Iterator[Paper] = cycle(filings) if filings else iter(())
        self._tries_left = 200 * len(filings)
        self._accounts = accounts or {}
        self._filed: set[UUID] = set()
        self._habits = cycle(HABITS)
        self._say = say
        self.told_month = ""
        self.first_day: date | None = None
        self.currencies: list[str] = []
        self._sellers: dict[str, Actor] = {}

    # -- opening ---------------------------------------------------------------------------------------------------

    def open(self, first_day: date, currencies: Sequence[str]) -> None:
        """Begin three days before the first document: people enter and investors bring their cash."""
        self._clock.begin_at(_moment(first_day - timedelta(days=3), 8))
        for person in PEOPLE:
            self.cast.enter(person)
        self.cast.open_own_account()
        for investor in self.cast.of_role(Role.INVESTOR):
            for currency in currencies:
                self._bring_cash(investor, currency)
        self._outside.settle()

    def _bring_cash(self, investor: Actor, currency: str, minor: int = PURSE_MINOR) -> None:
        made = perform(fund_account, FundAccount(minor, currency, "https://duebill.example/investor/cash"), investor)
        self._pay(UUID(made["funding_id"]))

    def _pay(self, payment_id: UUID) -> None:
        """Pay on the page that the outbox opens, after the provider has come to know the payer."""
        for _ in range(CALLS_MAX):
            db.session.rollback()
            pay_url = payments.funding_or_payment(db.session(), payment_id).pay_url
            if pay_url is not None:
                return self._outside.pay(pay_url)
            run_job(job("run_outbox"))
        raise RuntimeError("the provider opened no payment page")

    # -- listing ---------------------------------------------------------------------------------------------------

    def hand_in(self, papers: Sequence[Paper]) -> None:
        """Put every document on the agenda for the day after its own date; say what is no document at all."""
        with ThreadPoolExecutor(READERS) as pool:
            for paper, read in zip(papers, pool.map(_read, papers), strict=True):
                self._put_down(paper, read)

    def _put_down(self, paper: Paper, read: ReadInvoice | MarketplaceError) -> None:
        if isinstance(read, MarketplaceError):
            if read.code in ("not_a_document", "unknown_format"):
                self.refused.skipped.append(paper.name)
                self._say(f"skipped {paper.name}: not a document")
            else:
                self.refused.documents.append((paper.name, read.code))
            return
        if read.listable == "no":  # the verb reads with the same reader and would refuse it for the same reasons
            self.refused.documents.append((paper.name, ",".join(read.reasons)))
            return
        day = read.issued_on or self.first_day or NO_DAY
        self.first_day = min(self.first_day or day, day)
        currency = read.fields.get("BT-5")
        if currency in EXPONENTS and currency not in self.currencies:
            self.currencies.append(currency)
        hour = _moment(day + timedelta(days=1), 8) + timedelta(minutes=crc32(paper.name.encode()) % WORKDAY_MINUTES)
        self.agenda.at(hour, lambda: self.list_paper(paper, read))

    def list_paper(self, paper: Paper, read: ReadInvoice) -> UUID | None:
        """Let the seller that the document names draft and list it; keep why not, if not."""
        try:
            seller = self.seller_of(read)
            draft = perform(draft_receivable, DraftReceivable(paper.name, paper.content), seller)
            command = ListReceivable(UUID(draft["draft_id"]), completed(read), Terms())
            listed = perform(list_receivable, command, seller)
        except Conflict as error:
            self.refused.duplicates.append((paper.name, error.code))
            return None
        except MarketplaceError as error:
            codes = [problem.rule for problem in error.problems] or [error.code]
            self.refused.documents.append((paper.name, ",".join(codes)))
            return None
        receivable_id = UUID(listed["receivable_id"])
        self._accounts_of(receivable_id)
        if listed["state"] != "awaiting_confirmation":
            self.refused.held.append((paper.name, str(listed.get("reason") or listed["state"])))
        else:
            self.agenda.at(self._clock.now() + timedelta(hours=25), lambda: self.confirm(receivable_id))
        return receivable_id

    def seller_of(self, read: ReadInvoice) -> Actor:
        """Return the actor of the company that issued the document, registering it at its first one."""
        name = read.seller.name or "A seller without a name"
        key = (read.seller.legal_id.text if read.seller.legal_id else None) or read.seller.vat_id or name
        if key not in self._sellers:
            person = Person(
                f"seller{len(self._sellers) + 1}@duebill.example", f"Finance at {name}"[:120], Role.SELLER, name,
                "lists invoices", sector=SECTORS.get(name), country=read.seller.country or "GB",
                legal_id=read.seller.legal_id.text if read.seller.legal_id else None, vat_id=read.seller.vat_id,
                iban=next((account for account in read.accounts if _is_iban(account)), None) or _made_iban(name),
            )  # fmt: skip
            named = SELLERS.get(name)
            self._sellers[key] = self.cast.enter(named(person) if named else person, signs_in=named is not None)
        return self._sellers[key]

    def _accounts_of(self, receivable_id: UUID) -> None:
        """Put the next filings of the folder on file for debtor and seller, where they have none."""
        receivable = receivables.receivable(db.session(), receivable_id)
        names = parties.organisations(db.session(), [receivable.debtor_id, receivable.seller_id])
        for party in (receivable.debtor_id, receivable.seller_id):
            if party not in self._filed and names[party].legal_name in self._accounts:
                self._filed.add(party)
                attested = None if names[party].country == "GB" else ATTESTED
                operator = self.cast.of_role(Role.OPERATOR)[0]
                self.file(party, self._accounts[names[party].legal_name], attested, operator)
            while party not in self._filed and self._tries_left > 0:
                self._tries_left -= 1
                paper = next(self._filings, None)
                if paper is not None and self.file(party, paper, LENT, CONSOLE):
                    self._filed.add(party)

    def file(self, organisation_id: UUID, paper: Paper, reason: str | None, actor: Actor) -> bool:
        """Put one filing on a party's file; return whether it was taken."""
        try:
            perform(file_accounts, FileAccounts(organisation_id, paper.name, paper.content, reason), actor)
            return True
        except MarketplaceError as error:
            if (paper.name, error.code) not in self.refused.filings:
                self.refused.filings.append((paper.name, error.code))
            return False

    # -- confirmation, rating, auction -----------------------------------------------------------------------------

    def confirm(self, receivable_id: UUID) -> None:
        """Let the debtor say yes by its link; then rate and open the lot."""
        receivable = receivables.receivable(db.session(), receivable_id)
        token = self._link(receivable_id, "confirm")
        debtor = Actor(Role.DEBTOR, None, receivable.debtor_id, on_behalf_of="debtor_link")
        today = self._clock.now().date()
        yes = ConfirmReceivable(token, receivable.face_minor, max(receivable.due_on, today), False,
                                answered_by="Accounts payable")  # fmt: skip
        perform(confirm_receivable, yes, debtor)
        run_job(job("rate_receivables"))
        run_job(job("open_lots"))
        lot = trading.lot_of(db.session(), receivable_id)
        if lot is None:
            return
        self.agenda.at(lot.opened_at + (lot.closes_at - lot.opened_at) / 24, lambda: self.bid(lot.id))
        self.agenda.at(lot.closes_at + timedelta(seconds=1), lambda: self.close(lot.id))

    def _link(self, receivable_id: UUID, purpose: str) -> str:
        """Return the token in the debtor's newest letter; an operator has a new one written where it has run out."""
        letters = [mail for mail in receivables.outgoing_mail(db.session(), receivable_id) if mail.kind == purpose]
        newest = max(letters, key=lambda mail: mail.queued_at, default=None)
        found = LINK.search(newest.body) if newest else None
        if found is None:
            operator = self.cast.of_role(Role.OPERATOR)[0]
            sent = perform(issue_debtor_link, IssueDebtorLink(receivable_id, purpose), operator)
            found = LINK.search(str(sent["address"]))
        assert found is not None
        return found.group(1)

    def bid(self, lot_id: UUID) -> None:
        """Let every investor bid a little apart from the indicative rate, about half of what is sought each."""
        lot = trading.lot(db.session(), lot_id)
        for step, investor in enumerate(self.cast.of_role(Role.INVESTOR)):
            size = lot.lot_size_minor
            cash = max(-(-lot.target_minor * (55 - 10 * step) // 100 // size) * size, lot.minimum_minor)
            rate = min(lot.reserve_bps, max(1, lot.indicative_bps - 20 + 35 * step))
            try:
                perform(place_bid, PlaceBid(lot_id, rate, cash, 0), investor)
            except MarketplaceError as error:
                self._say(f"a bid was refused: {error.said()}")

    def close(self, lot_id: UUID) -> None:
        """Let the deadline pass, the seller accept, and the award settle."""
        run_job(job("close_lots"))
        lot = trading.lot(db.session(), lot_id)
        db.session.rollback()
        if lot.state != "awaiting_seller":
            return
        seller = next(actor for actor in self._sellers.values() if actor.organisation_id == lot.seller_id)
        perform(accept_award, AcceptAward(lot_id, None), seller)
        run_job(job("settle_awards"))
        run_job(job("write_notices"))
        self._outside.settle()
        self._acknowledge(lot.receivable_id)
        collection = servicing.collection(db.session(), lot.receivable_id)
        self._plan_payments(collection, next(self._habits))

    def _acknowledge(self, receivable_id: UUID) -> None:
        receivable = receivables.receivable(db.session(), receivable_id)
        debtor = Actor(Role.DEBTOR, None, receivable.debtor_id, on_behalf_of="debtor_link")
        number = max(notice.number for notice in receivables.notices(db.session(), receivable_id))
        token = self._link(receivable_id, "account")
        perform(acknowledge_notice, AcknowledgeNotice(token, number, "Accounts payable"), debtor)

    # -- collection ------------------------------------------------------------------------------------------------

    def _plan_payments(self, collection: servicing.Collection, habit: Behaviour) -> None:
        receivable_id, due_on = collection.receivable_id, collection.due_on
        for days, share in habit.payments:
            when = _moment(due_on + timedelta(days=days), 11)
            self.agenda.at(when, lambda share=share: self.pay(receivable_id, share))  # type: ignore[misc]
        last = max(days for days, _ in habit.payments)
        for days in (1, 31, 61, 90, 91):
            if days <= last + 1:
                self.agenda.at(_moment(due_on + timedelta(days=days), 6), _night)
        for days, _share in habit.payments:
            self.agenda.at(_moment(due_on + timedelta(days=days + 1), 6), _night)

    def pay(self, receivable_id: UUID, share: int) -> None:
        """Let the debtor pay a share (in thousandths) of what is outstanding, on the provider's page."""
        receivable = receivables.receivable(db.session(), receivable_id)
        left = servicing.collection(db.session(), receivable_id).outstanding_minor
        minor = max(1, left * share // 1_000)
        debtor = Actor(Role.DEBTOR, None, receivable.debtor_id, on_behalf_of="debtor_link")
        command = StartDebtorPayment(receivable_id, receivable.debtor_id, receivable.currency, minor,
                                     f"Invoice {receivable.number}", "https://duebill.example/d/paid")  # fmt: skip
        made = perform(start_debtor_payment, command, debtor)
        self._pay(UUID(made["payment_id"]))
        self._outside.settle()


def completed(read: ReadInvoice) -> dict[str, object]:
    """Return what a seller types into the form because the document does not say it; what it says stays as it is.

    The debtor's register number is looked up by its name (here: made from it), a missing due date is thirty days
    after the issue.
    """
    typed: dict[str, object] = {}
    if read.buyer.legal_id is None and not read.buyer.vat_id and read.buyer.name:
        typed["debtor_legal_id"] = str(int.from_bytes(sha256(read.buyer.name.encode()).digest()[:4]) % 10**8).zfill(8)
    if not read.buyer.country:
        typed["debtor_country"] = read.seller.country or "GB"
    if read.due_on is None and read.issued_on is not None:
        typed["due_on"] = read.issued_on + timedelta(days=30)
    return typed


def _read(paper: Paper) -> ReadInvoice | MarketplaceError:
    try:
        return read_einvoice(paper.content, paper.name)
    except MarketplaceError as error:
        return error


def _made_iban(name: str) -> str:
    """Return an account for a seller whose documents name none that is an IBAN."""
    return iban("GB", f"DUEB{int.from_bytes(sha256(name.encode()).digest()[:6]) % 10**14:014d}")


def _is_iban(text: str) -> bool:
    return bool(IBAN(text, allow_invalid=True).is_valid)


def _night() -> None:
    """Do what the market does each night: what is late ages, and debtors are rated by how they pay here."""
    for name in ("age_receivables", "learn_payments", "rate_parties"):
        run_job(job(name))


def _moment(day: date, hour: int) -> datetime:
    return datetime.combine(day, time(hour), UTC)
