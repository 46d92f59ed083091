"""The notice of assignment as a message between systems: ISO 20022 tsin.008.001.01. Pure.

Source: ISO 20022 InvoiceAssignmentNotificationV01 (message set Factoring Services), element order and cardinality of
its schema. Parties are declared once in the letter's header and referred to by xs:IDREF from the list of items.
An end of an assignment is the same message the other way round: it relates to the earlier letter, assignor and
assignee change places, and the account to credit is the seller's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

from lxml import etree

from marketplace.kernel.money import exponent
from marketplace.receivables.debtor.notice_text import REASSIGNMENT, PayTo

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:tsin.008.001.01"
SHA_256 = "HS25"
Node = tuple[str, "str | list[Node]"]


class Party(NamedTuple):
    """An organisation as the message names it. `legal_id` is its number in its country's register."""

    name: str
    legal_id: str | None = None
    vat_id: str | None = None
    country: str | None = None


@dataclass(frozen=True)
class Assignment:
    """Everything the message says. Money in minor units; `net` and `vat` are None where the invoice did not split it.

    `assignees` own the receivable together after an assignment and did before its end; `agent` collects for them and
    sends the message. `ends` is the identifier and day of the letter that an end refers to.
    """

    identifier: str
    kind: str
    issued_at: datetime
    ref: str
    invoice: str
    issued_on: date
    due_on: date
    currency: str
    face_minor: int
    total_minor: int
    net_minor: int | None
    vat_minor: int | None
    seller: Party
    debtor: Party
    agent: Party
    assignees: tuple[Party, ...]
    pay_to: PayTo
    phrase: str
    notice_sha256: str
    language: str = "en"
    ends: tuple[str, date] | None = None


def letter_identifier(ref: str, number: int) -> str:
    """Return a letter's identifier, an xs:ID short enough for Max35Text: `DB-26-0001`, 1 → `DB-26-0001-N1`."""
    return f"{ref}-N{number}"[-35:]


def assignment_message(facts: Assignment) -> bytes:
    """Return the message as UTF-8 XML, the same bytes for the same facts."""
    root = etree.Element(f"{{{NAMESPACE}}}Document", nsmap={None: NAMESPACE})
    _put(root, ("InvcAssgnmtNtfctn", [_header(facts), _list(facts), ("NtfctnCnt", "1"), ("ItmCnt", "1"),
                                      ("CtrlSum", _decimal(facts.face_minor, facts.currency))]))  # fmt: skip
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True))


def _put(parent: etree._Element, node: Node) -> None:
    name, content = node
    made = etree.SubElement(parent, f"{{{NAMESPACE}}}{name.partition(' ')[0]}")
    if " " in name:  # an amount carries its currency: "DueAmt GBP"
        made.set("Ccy", name.partition(" ")[2])
    if isinstance(content, str):
        made.text = _clean(content)
        return
    for child in content:
        _put(made, child)


def _clean(words: str) -> str:
    """Return a text without what XML cannot hold and without spaces at its ends; a dash where nothing is left."""
    return "".join(letter for letter in words if letter.isprintable()).strip() or "–"


def _header(facts: Assignment) -> Node:
    day = facts.issued_at.date().isoformat()
    parts: list[Node] = [("LttrIdr", _document(facts.identifier, day))]
    parts.append(("Dt", day))
    if facts.ends is not None:
        earlier, when = facts.ends
        parts.append(("RltdLttr", _document(earlier, when.isoformat())))
    parts += [
        ("Orgtr", _party("agent", (facts.agent,), "Collection agent")),
        ("PmryRcpt", _party("debtor", (facts.debtor,), "Debtor")),
        ("AuthstnUsr", _party("authoriser", (facts.agent,), "Collection agent")),
        ("RspnRcpt", _party("acknowledged-to", (facts.agent,), "Receives the acknowledgement")),
        ("CpyRcpt", _party("seller", (facts.seller,), "Seller")),
        ("OthrPty", _party("assignees", facts.assignees, "Assignees, together")),
        ("AssoctdDoc", [("Id", "notice-pdf"), ("Dt", day), ("ElctrncOrgnl", "true"),
                        ("Dgst", [("DgstAlgo", SHA_256), ("Dgst", facts.notice_sha256)])]),
        ("AddtlInf", f"Before changing any account, check this phrase with the seller: {facts.phrase}"),
    ]  # fmt: skip
    return "Hdr", parts


def _document(identifier: str, day: str) -> list[Node]:
    return [("Id", identifier), ("Dt", day), ("ElctrncOrgnl", "true")]


def _party(identifier: str, together: tuple[Party, ...], role: str) -> list[Node]:
    parties: list[Node] = [("Pty", [("BasePty", list(_trade_party(one)))]) for one in together]
    return [("Id", identifier), *parties, ("RoleDesc", role)]


def _trade_party(one: Party) -> Iterator[Node]:
    """Yield a TradeParty1: PtyId/Nm holds 35 characters, LglOrg/Nm holds 140."""
    identity: list[Node] = []
    if one.legal_id:
        identity.append(("Id", [("OrgId", [("Othr", [("Id", one.legal_id[:35])])])]))
    identity.append(("Nm", one.name[:35]))
    if one.country:
        identity.append(("CtryOfRes", one.country))
    yield "PtyId", identity
    yield "LglOrg", [*([("Id", one.legal_id[:35])] if one.legal_id else []), ("Nm", one.name[:140])]
    if one.vat_id:
        yield "TaxPty", [("TaxId", one.vat_id[:35]), ("TaxTp", "VAT")]


def _list(facts: Assignment) -> Node:
    day, back = facts.issued_at.date().isoformat(), facts.kind == REASSIGNMENT
    assignee, assignor = ("seller", "assignees") if back else ("assignees", "seller")
    return "NtfctnList", [
        ("Idr", facts.identifier),
        ("IsseDt", day),
        ("Assgne", assignee),
        ("Assgnr", assignor),
        ("NtfctnInf", [("NtifngPty", "agent"), ("NtfctnRcvr", "debtor"), ("AckRcvr", "acknowledged-to")]),
        ("FinItm", _item(facts)),
        ("ItmCnt", "1"),
        ("CtrlSum", _decimal(facts.face_minor, facts.currency)),
    ]


def _item(facts: Assignment) -> list[Node]:
    currency = facts.currency
    context: list[Node] = [
        ("Idr", facts.invoice[:35]),
        ("IsseDt", facts.issued_on.isoformat()),
        ("LangCd", facts.language.partition("_")[0]),
        ("Issr", "seller"),
        ("Rcpt", "debtor"),
        ("Buyr", "debtor"),
        ("Sellr", "seller"),
        ("Ccy", currency),
    ]
    if facts.pay_to.iban:
        context.append(("CdtAcct", [("IBAN", facts.pay_to.iban)]))
    net, vat = facts.net_minor, facts.vat_minor
    if net is None or vat is None or net + vat != facts.total_minor or vat < 0:
        net, vat = facts.total_minor, 0
    due: list[Node] = [(f"DueAmt {currency}", _decimal(facts.face_minor, currency))]
    return [
        ("ItmCntxt", context),
        ("CdtDbtInd", "DBIT"),
        ("TtlAmt", [(f"TtlTaxblAmt {currency}", _decimal(net, currency)),
                    (f"TtlTaxAmt {currency}", _decimal(vat, currency)),
                    (f"TtlInvcAmt {currency}", _decimal(facts.total_minor, currency)),
                    ("PmtDueDt", facts.due_on.isoformat())]),
        *due,
        ("AddtlInf", _instruction(facts)),
    ]  # fmt: skip


def _instruction(facts: Assignment) -> str:
    account = facts.pay_to.iban or "the account told on the debtor's page"
    return (f"{facts.ref}, invoice {facts.invoice}. Pay to {facts.pay_to.name}, {account}, "
            f"reference {facts.pay_to.reference.replace(' ', '')}.")[:2000]  # fmt: skip


def _decimal(minor: int, currency: str) -> str:
    digits = exponent(currency)
    whole, rest = divmod(minor, 10**digits)
    return f"{whole}.{rest:0{digits}d}" if digits else str(whole)
