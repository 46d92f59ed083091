"""Read what a bank says of an account: statements (camt.053) and notifications (camt.054), pure.

No schema comes with any package that is kept well, and none may be copied here: what is relied on is checked in code,
element by element, and what is not is ignored. Amounts are whole minor units; a file that contradicts itself is refused
whole.

Source: ISO 20022 camt.053.001 and camt.054.001, versions 02 and later (element names are the same in all of them).
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

from lxml import etree
from marshmallow import ValidationError
from stdnum import iso11649

from marketplace.kernel.errors import InvalidInput, Problem
from marketplace.kernel.money import EXPONENTS
from marketplace.kernel.words import N_
from marketplace.parties.schemas import plain_iban
from marketplace.receivables.einvoice.xml_guard import parse_guarded

NAMESPACE = re.compile(r"urn:iso:std:iso:20022:tech:xsd:(camt\.05[34])\.001\.(\d\d)", re.ASCII)
BODIES = {"camt.053": ("BkToCstmrStmt", "Stmt"), "camt.054": ("BkToCstmrDbtCdtNtfctn", "Ntfctn")}
MOVEMENTS_MAX = 5_000
TEXT_MAX = 140
REFS = ("EndToEndId", "AcctSvcrRef", "TxId", "InstrId", "PmtInfId")
BATCH = ("PmtInfId", "MsgId")
AMOUNT = re.compile(r"(\d{1,13})(?:\.(\d{1,5}))?", re.ASCII)
CODE = re.compile(r"[A-Z0-9]{4}", re.ASCII)
# Our own references as people type them into a free text: RF, check digits, then DB, the year, the number.
TYPED = re.compile(r"\bRF\s?\d\s?\d\s?D\s?B\s?\d\s?\d(?:\s?\d){4,8}\b", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Movement:
    """Money that came to an account or left it, once. `key` is the bank's own name for it on that account.

    `bank_ref` is the bank's name for the whole entry: of a batch's parts, which one file tells and another does not.
    `reversal` marks one that undoes an earlier one of the other direction. `names` are the references by which the
    earlier one, or an order of ours, may be found. The sender is told for money that came in, where the bank tells it;
    `return_code` (external code set, as AC04) for what came back.
    """

    iban: str
    key: str
    bank_ref: str
    currency: str
    minor: int
    incoming: bool
    reversal: bool
    booked_on: date
    reference: str | None
    text: str
    names: tuple[str, ...]
    sender_name: str | None = None
    sender_iban: str | None = None
    return_code: str | None = None


@dataclass(frozen=True)
class Balance:
    """What the bank says an account held at the end of a statement, in minor units (below zero when overdrawn)."""

    iban: str
    currency: str
    minor: int
    on: date


@dataclass(frozen=True)
class BankMessage:
    """One file: its kind and id, what moved, what each statement closed with; `pending` entries are not booked yet."""

    kind: str
    message_id: str
    movements: tuple[Movement, ...]
    closing: tuple[Balance, ...] = field(default=())
    pending: int = 0


def refusal(code: str, words: str, **params: object) -> InvalidInput:
    """Make the error for a file that cannot be taken, told at its field."""
    return InvalidInput(code, words, params, (Problem("document", code, words, params),))


def creditor_reference(text: str | None) -> str | None:
    """Return a sound structured creditor reference without blanks, or None.

    Source: ISO 11649, check digits by ISO 7064 MOD 97-10.
    """
    bare = re.sub(r"\s", "", text or "").upper()
    return bare if bare.isascii() and iso11649.is_valid(bare) else None


def receivable_ref(reference: str | None) -> str | None:
    """Return the receivable's ref that a creditor reference of ours names: `RF..DB260001` → `DB-26-0001`."""
    ours = re.fullmatch(r"RF\d\dDB(\d\d)(\d{4,8})", reference or "", re.ASCII)
    return f"DB-{ours[1]}-{ours[2]}" if ours else None


def read_camt(content: bytes) -> BankMessage:
    """Read a statement or notification file.

    Raises: InvalidInput naming the rule: "empty", what the XML guard refuses, "not_a_bank_file", "missing",
    "bad_value", "no_reference", "does_not_add_up", "too_many_entries".
    """
    if not content.strip():
        raise refusal("empty", N_("The file is empty."))
    root = parse_guarded(content)
    space = NAMESPACE.fullmatch(etree.QName(root).namespace or "")
    if space is None or etree.QName(root).localname != "Document":
        raise refusal("not_a_bank_file", N_("This is no bank statement (camt.053) or notification (camt.054)."))
    kind, (body_name, report_name) = space[1], BODIES[space[1]]
    body = _one(root, body_name)
    message_id = _text(_one(body, "GrpHdr/MsgId"), 35)
    movements: list[Movement] = []
    closing: list[Balance] = []
    pending = 0
    reports = _all(body, report_name)
    if not reports:
        raise refusal("missing", N_("The element %(name)s is missing."), name=report_name)
    for report in reports:
        found, waiting = _movements(report)
        _refuse_twice([*{(one.iban, one.bank_ref) for one in movements}, *{(one.iban, one.bank_ref) for one in found}])
        movements += found
        pending += waiting
        if len(movements) > MOVEMENTS_MAX:
            raise refusal("too_many_entries", N_("The file has more than %(most)s entries."), most=MOVEMENTS_MAX)
        if kind == "camt.053":
            closing += _balances(report, found)
    return BankMessage(kind, message_id, tuple(movements), tuple(closing), pending)


# -- one account --------------------------------------------------------------------------------------------------


def _movements(report: etree._Element) -> tuple[list[Movement], int]:
    """Return what one report books, and how many of its entries are only pending or informative."""
    iban, currency = _account(report)
    found: list[Movement] = []
    refs: list[tuple[str, str]] = []
    waiting = 0
    for entry in _all(report, "Ntry"):
        state = (_maybe(entry, "Sts/Cd") or _maybe(entry, "Sts") or "").strip()
        if state not in ("BOOK", "PDNG", "INFO", "FUTR"):
            raise refusal("bad_value", N_("%(name)s cannot be “%(value)s”."), name="Ntry/Sts", value=state[:20])
        if state != "BOOK":
            waiting += 1
            continue
        parts = list(_entry(entry, iban, currency))
        _refuse_twice([(iban, one.key) for one in parts])
        refs.append((iban, parts[0].bank_ref))
        found += parts
    _refuse_twice(refs)
    return found, waiting


def _refuse_twice(names: list[tuple[str, str]]) -> None:
    twice = next((name for (_, name), times in Counter(names).items() if times > 1), None)
    if twice is not None:
        raise refusal("reference_twice", N_("Two entries have the reference %(name)s."), name=twice)


def _account(report: etree._Element) -> tuple[str, str | None]:
    said = _text(_one(report, "Acct/Id/IBAN"), 34)
    try:
        return plain_iban(said), _maybe(report, "Acct/Ccy")
    except ValidationError as error:
        raise refusal("bad_value", N_("%(name)s cannot be “%(value)s”."), name="IBAN", value=said) from error


def _entry(entry: etree._Element, iban: str, account_currency: str | None) -> Iterator[Movement]:
    """Yield one movement for an entry, or one for each transaction of a batch, which must add up to it."""
    currency, minor = _amount(_one(entry, "Amt"))
    if minor == 0:
        raise refusal("bad_value", N_("%(name)s cannot be “%(value)s”."), name="Ntry/Amt", value="0")
    if account_currency is not None and currency != account_currency:
        raise refusal("bad_value", N_("%(name)s cannot be “%(value)s”."), name="Ntry/Amt/@Ccy", value=currency)
    key = _reference(entry)
    incoming, reversal = _direction(entry), _flag(entry, "RvslInd")
    booked_on = _day(entry)
    details = _all(entry, "NtryDtls/TxDtls")
    if len(details) < 2:
        source = details[0] if details else entry
        yield _movement(source, entry, iban, (key, key), currency, minor, incoming, reversal, booked_on)
        return
    total = 0
    for index, part in enumerate(details, start=1):
        stated = part.find("{*}Amt") if part.find("{*}Amt") is not None else part.find("{*}AmtDtls/{*}TxAmt/{*}Amt")
        if stated is None:
            raise refusal("missing", N_("The element %(name)s is missing."), name="TxDtls/Amt")
        part_currency, part_minor = _amount(stated)
        if part_currency != currency:
            raise refusal("bad_value", N_("%(name)s cannot be “%(value)s”."), name="TxDtls/Amt/@Ccy",
                          value=part_currency)  # fmt: skip
        if part_minor == 0:
            raise refusal("bad_value", N_("%(name)s cannot be “%(value)s”."), name="TxDtls/Amt", value="0")
        total += part_minor
        name = _maybe(part, "Refs/AcctSvcrRef") or str(index)
        yield _movement(part, entry, iban, (f"{key}/{name}", key), currency, part_minor, incoming, reversal, booked_on)
    if total != minor:
        raise refusal("does_not_add_up", N_("The parts of entry %(name)s do not add up to it."), name=key)


def _reference(entry: etree._Element) -> str:
    """Return the bank's own name for an entry: its reference, or else its number with the day of booking.

    Banks that give no AcctSvcrRef may count their entries anew each day.
    """
    if name := _maybe(entry, "AcctSvcrRef"):
        return name
    number = _maybe(entry, "NtryRef")
    if not number:
        raise refusal("no_reference", N_("An entry has neither AcctSvcrRef nor NtryRef: it could be booked twice."))
    _one(entry, "BookgDt")  # statement and notification agree on this day, and perhaps not on the day of value
    return f"{_date(entry, 'BookgDt')}:{number}"


def _movement(
    part: etree._Element, entry: etree._Element, iban: str, named: tuple[str, str], currency: str, minor: int,
    incoming: bool, reversal: bool, booked_on: date,
) -> Movement:  # fmt: skip
    free = " ".join(text for node in _all(part, "RmtInf/Ustrd") if (text := (node.text or "").strip()))
    reference = creditor_reference(_maybe(part, "RmtInf/Strd/CdtrRefInf/Ref"))
    typed = TYPED.search(free)
    names = [_maybe(part, f"Refs/{name}") for name in REFS]
    returned, code = part.find("{*}RtrInf") is not None, _maybe(part, "RtrInf/Rsn/Cd") or ""
    if not incoming or reversal or returned:  # of ours: a whole file that the bank booked, or gave back, at once
        names += [_maybe(one, name) for one in (*_all(part, "Refs"), *_all(entry, "NtryDtls/Btch")) for name in BATCH]
    return Movement(
        iban, named[0][:105], named[1], currency, minor, incoming, reversal or returned, booked_on,
        reference or creditor_reference(typed[0] if typed else None),
        (free or _maybe(entry, "AddtlNtryInf") or "")[:TEXT_MAX],
        tuple(dict.fromkeys(name for name in names if name and name != "NOTPROVIDED")),
        *(_sender(part) if incoming and not (reversal or returned) else (None, None)),
        code if CODE.fullmatch(code) else None,
    )  # fmt: skip


def _sender(part: etree._Element) -> tuple[str | None, str | None]:
    """Return who sent the money, and from which account, where that is told and sound."""
    name = _maybe(part, "RltdPties/Dbtr/Nm") or _maybe(part, "RltdPties/Dbtr/Pty/Nm")
    told = _maybe(part, "RltdPties/DbtrAcct/Id/IBAN")
    try:
        iban = plain_iban(told) if told else None
    except ValidationError:
        iban = None
    return (name or "")[:TEXT_MAX] or None, iban


def _balances(report: etree._Element, found: list[Movement]) -> list[Balance]:
    """Return the closing balance of a statement; opening, entries and closing must agree where all are told."""
    told: dict[str, tuple[str, int, date]] = {}
    for one in _all(report, "Bal"):
        currency, minor = _amount(_one(one, "Amt"))
        told[_maybe(one, "Tp/CdOrPrtry/Cd") or ""] = (currency, minor if _direction(one) else -minor, _date(one, "Dt"))
    opened, closed = told.get("OPBD") or told.get("PRCD"), told.get("CLBD")
    if closed is None:
        return []
    if opened is not None:
        moved = sum(one.minor if one.incoming else -one.minor for one in found)
        if opened[0] != closed[0] or opened[1] + moved != closed[1]:
            raise refusal("does_not_add_up", N_("Opening balance, entries and closing balance do not add up."))
    return [Balance(_account(report)[0], *closed)]


# -- single values ------------------------------------------------------------------------------------------------


def _all(node: etree._Element, path: str) -> list[etree._Element]:
    return list(node.findall("/".join(f"{{*}}{name}" for name in path.split("/"))))


def _one(node: etree._Element, path: str) -> etree._Element:
    found = _all(node, path)
    if len(found) != 1:
        raise refusal("missing", N_("The element %(name)s must be there once."), name=path)
    return found[0]


def _text(node: etree._Element, most: int) -> str:
    said = (node.text or "").strip()
    if not 1 <= len(said) <= most or any(ord(letter) < 32 for letter in said):
        raise refusal("bad_value", N_("%(name)s cannot be “%(value)s”."), name=etree.QName(node).localname,
                      value=said[:40])  # fmt: skip
    return said


def _maybe(node: etree._Element, path: str) -> str | None:
    found = _all(node, path)
    if not found or not (found[0].text or "").strip():
        return None
    return _text(found[0], TEXT_MAX * 4)


def _amount(node: etree._Element) -> tuple[str, int]:
    """Return currency and minor units; more decimals than the currency has are refused unless they are zeros."""
    currency, said = node.get("Ccy", ""), (node.text or "").strip()
    digits = AMOUNT.fullmatch(said)
    if currency not in EXPONENTS:
        raise refusal("bad_value", N_("%(name)s cannot be “%(value)s”."), name="@Ccy", value=currency[:10])
    places = EXPONENTS[currency]
    decimals = (digits[2] or "") if digits else ""
    if digits is None or decimals[places:].strip("0"):
        raise refusal("bad_value", N_("%(name)s cannot be “%(value)s”."), name="Amt", value=said[:40])
    return currency, int(digits[1]) * 10**places + int(decimals[:places].ljust(places, "0") or "0")


def _direction(node: etree._Element) -> bool:
    said = _text(_one(node, "CdtDbtInd"), 4)
    if said not in ("CRDT", "DBIT"):
        raise refusal("bad_value", N_("%(name)s cannot be “%(value)s”."), name="CdtDbtInd", value=said)
    return said == "CRDT"


def _flag(node: etree._Element, name: str) -> bool:
    said = _maybe(node, name) or "false"
    if said not in ("true", "false", "1", "0"):
        raise refusal("bad_value", N_("%(name)s cannot be “%(value)s”."), name=name, value=said[:20])
    return said in ("true", "1")


def _day(entry: etree._Element) -> date:
    return _date(entry, "BookgDt") if _all(entry, "BookgDt") else _date(entry, "ValDt")


def _date(node: etree._Element, name: str) -> date:
    said = _maybe(node, f"{name}/Dt") or _maybe(node, f"{name}/DtTm") or ""
    try:
        return date.fromisoformat(said[:10])
    except ValueError as error:
        raise refusal("bad_value", N_("%(name)s cannot be “%(value)s”."), name=name, value=said[:30]) from error
