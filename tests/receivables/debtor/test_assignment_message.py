"""tsin.008.001.01: element order, cardinality, lengths and references, held to a table of the message's structure.

The table below is our own writing of what the schema asks of the elements we use; names are the standard's.
Source: ISO 20022 InvoiceAssignmentNotificationV01 (tsin.008.001.01).
"""

import re
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from marketplace.receivables.debtor.assignment_message import (
    NAMESPACE,
    Assignment,
    Party,
    assignment_message,
    letter_identifier,
)
from marketplace.receivables.debtor.notice_text import REASSIGNMENT, PayTo

MANY = 10**9
DAY, AMOUNT, ID = r"\d{4}-\d\d-\d\d", r"\d{1,18}(\.\d{1,5})?", r"[A-Za-z_][\w.-]*"
TEXT = {n: rf"(?s)\S(.{{0,{n - 2}}}\S)?" for n in (35, 70, 140, 256, 2000)}
PARTY = ("QualifiedParty", 1)
# type → ordered children (name, type or pattern, least, most)
STRUCTURE: dict[str, list[tuple[str, str, int, int]]] = {
    "Document": [("InvcAssgnmtNtfctn", "Notification", 1, 1)],
    "Notification": [("Hdr", "Letter", 1, 1), ("NtfctnList", "List", 1, MANY), ("NtfctnCnt", r"\d{1,15}", 0, 1),
                     ("ItmCnt", r"\d{1,15}", 0, 1), ("CtrlSum", r"\d+(\.\d{1,17})?", 0, 1), ("AttchdMsg", "", 0, 0)],
    "Letter": [("ApplCntxt", TEXT[35], 0, 1), ("LttrIdr", "Document1", 1, 1), ("Dt", DAY, 1, 1),
               ("RltdLttr", "Document1", 0, MANY), ("RltdMsg", "Document1", 0, MANY), ("CnttIdr", TEXT[35], 0, MANY),
               ("InstrPrty", "HIGH|NORM|URGT", 0, 1), ("Orgtr", "QualifiedParty", 1, 1),
               ("PmryRcpt", "QualifiedParty", 1, MANY), ("Sndr", "QualifiedParty", 0, MANY),
               ("AuthstnUsr", "QualifiedParty", 1, MANY), ("RspnRcpt", "QualifiedParty", 0, MANY),
               ("CpyRcpt", "QualifiedParty", 0, MANY), ("OthrPty", "QualifiedParty", 0, MANY),
               ("AssoctdDoc", "Document1", 0, MANY), ("AddtlInf", TEXT[2000], 0, 1)],
    "Document1": [("Id", "ID", 1, 1), ("Issr", "IDREF", 0, 1), ("ItmListIdr", TEXT[35], 0, 1),
                  ("ItmIdr", TEXT[35], 0, 1), ("Dt", DAY, 0, 1), ("Vrsn", ".{1,6}", 0, 1),
                  ("ElctrncOrgnl", "true|false|0|1", 1, 1), ("Dgst", "Digest", 0, 2)],
    "Digest": [("DgstAlgo", "HS25|HS38|HS51", 1, 1), ("Dgst", TEXT[140], 1, 1)],
    "QualifiedParty": [("Id", "ID", 1, 1), ("Pty", "Single", 1, MANY), ("ShrtId", "", 0, 0), ("Role", "", 0, 0),
                       ("RoleDesc", TEXT[256], 0, 1)],
    "Single": [("BasePty", "TradeParty", 1, 1), ("RltvIdr", TEXT[35], 0, 5)],
    "TradeParty": [("PtyId", "PartyId", 1, 1), ("LglOrg", "LegalOrg", 0, 1), ("TaxPty", "TaxParty", 0, MANY)],
    "PartyId": [("Id", "PartyChoice", 0, 1), ("Nm", TEXT[35], 0, 1), ("CtryOfRes", "[A-Z]{2}", 0, 1)],
    "PartyChoice": [("OrgId", "OrgId", 1, 1)],
    "OrgId": [("BIC", "[A-Z0-9]{8,11}", 0, 1), ("Othr", "OtherId", 0, MANY)],
    "OtherId": [("Id", TEXT[35], 1, 1)],
    "LegalOrg": [("Id", TEXT[35], 0, 1), ("Nm", TEXT[140], 0, 1)],
    "TaxParty": [("TaxId", TEXT[35], 0, 1), ("TaxTp", TEXT[35], 0, 1), ("RegnId", TEXT[35], 0, 1)],
    "List": [("Idr", TEXT[35], 1, 1), ("IsseDt", DAY, 1, 1), ("RltdDoc", "IDREF", 0, MANY), ("AmtCutOffDt", DAY, 0, 1),
             ("Assgne", "IDREF", 1, 1), ("Assgnr", "IDREF", 1, 1), ("NtfctnInf", "Parties", 0, MANY),
             ("FinItm", "Item", 0, MANY), ("ItmCnt", r"\d{1,15}", 1, 1), ("CtrlSum", r"\d+(\.\d{1,17})?", 0, 1)],
    "Parties": [("NtifngPty", "IDREF", 1, 1), ("NtfctnRcvr", "IDREF", 1, 1), ("AckRcvr", "IDREF", 0, MANY)],
    "Item": [("ItmCntxt", "Context", 1, 1), ("FinDocRef", "IDREF", 0, MANY), ("CdtDbtInd", "CRDT|DBIT", 1, 1),
             ("TtlAmt", "Totals", 1, 1), ("DueAmt", "AMOUNT", 0, 1), ("InstlmtInf", "", 0, 0),
             ("AddtlInf", TEXT[2000], 0, 1), ("AssoctdDoc", "IDREF", 0, MANY)],
    "Context": [("Idr", TEXT[35], 1, 1), ("IsseDt", DAY, 1, 1), ("RltdItm", "IDREF", 0, MANY),
                ("DocPurp", ".{1,4}", 0, 1),
                ("LangCd", "[a-z]{2}", 0, 1), ("Issr", "IDREF", 0, 1), ("Rcpt", "IDREF", 0, 1), ("Buyr", "IDREF", 0, 1),
                ("Sellr", "IDREF", 0, 1), ("SellrFinAgt", "IDREF", 0, 1), ("BuyrFinAgt", "IDREF", 0, 1),
                ("GovngCtrct", "IDREF", 0, MANY), ("LglCntxt", "IDREF", 0, 1), ("Ccy", "[A-Z]{3}", 0, 1),
                ("DbtAcct", "Account", 0, 1), ("CdtAcct", "Account", 0, 1)],
    "Account": [("IBAN", r"[A-Z]{2}\d{2}[a-zA-Z0-9]{1,30}", 1, 1)],
    "Totals": [("TtlTaxblAmt", "AMOUNT", 1, 1), ("TtlTaxAmt", "AMOUNT", 1, 1), ("Adjstmnt", "", 0, 0),
               ("TtlInvcAmt", "AMOUNT", 1, 1), ("PmtDueDt", DAY, 1, 1)],
}  # fmt: skip

FACTS = Assignment(
    identifier=letter_identifier("DB-26-0001", 1), kind="assignment",
    issued_at=datetime(2026, 8, 3, 14, 2, 7, tzinfo=UTC),
    ref="DB-26-0001", invoice="TPC-20418", issued_on=date(2026, 7, 1), due_on=date(2026, 9, 1), currency="GBP",
    face_minor=4_860_000, total_minor=5_860_000, net_minor=4_883_333, vat_minor=976_667,
    seller=Party("Thornfield Castings Ltd", "07100001", "GB123456789", "GB"),
    debtor=Party("Kestrel Aerospace UK Ltd", "07714421", None, "GB"), agent=Party("Duebill Operations Ltd"),
    assignees=(Party("Fenwick Lane Capital LLP", "OC300001"), Party("阿爾德威奇應收賬款有限公司")),
    pay_to=PayTo("Duebill Operations Ltd client account", "GB33BUKB20201555555555", "RF71 DB26 0001"),
    phrase="amber kettle 91", notice_sha256="ab" * 32,
)  # fmt: skip


def faults(content: bytes) -> list[str]:
    """Return where a message leaves the structure."""
    root = etree.fromstring(content)
    identifiers = [node.text for node in root.iter(f"{{{NAMESPACE}}}Id") if _is(node, "ID")]
    found = [f"{one} is there twice" for one in set(identifiers) if identifiers.count(one) > 1]
    _judge(root, "Document", "Document", found, set(identifiers))
    return found


def _is(node: etree._Element, kind: str) -> bool:
    parent = etree.QName(node.getparent()).localname
    return kind == "ID" and parent in {name for rows in STRUCTURE.values() for name, of, _, _ in rows
                                       if of in ("Document1", "QualifiedParty")}  # fmt: skip


def _judge(node: etree._Element, kind: str, path: str, found: list[str], identifiers: set[str | None]) -> None:
    if kind not in STRUCTURE:
        text = node.text or ""
        if len(node):
            found.append(f"{path} holds elements")
        elif kind == "IDREF":
            found += [] if text in identifiers else [f"{path} refers to {text!r}, which is not there"]
        elif kind == "AMOUNT":
            whole = re.fullmatch(AMOUNT, text) and re.fullmatch("[A-Z]{3}", node.get("Ccy", ""))
            found += [] if whole else [f"{path} is no amount"]
        elif not re.fullmatch(ID if kind == "ID" else kind, text):
            found.append(f"{path} is {text!r}")
        return
    expected = STRUCTURE[kind]
    names = [etree.QName(child).localname for child in node]
    order = [name for name, _, _, _ in expected]
    if any(name not in order for name in names):
        found.append(f"{path} holds {set(names) - set(order)}")
        return
    if [order.index(name) for name in names] != sorted(order.index(name) for name in names):
        found.append(f"{path} is out of order: {names}")
    for name, of, least, most in expected:
        children = [child for child in node if etree.QName(child).localname == name]
        if not least <= len(children) <= most:
            found.append(f"{path}/{name} is there {len(children)} times")
        for child in children:
            _judge(child, of, f"{path}/{name}", found, identifiers)


def test_the_notice_is_true_to_the_structure() -> None:
    assert faults(assignment_message(FACTS)) == []


def test_it_says_who_owes_whom_and_where_to_pay() -> None:
    root = etree.fromstring(assignment_message(FACTS))

    def said(path: str) -> list[str]:
        return [
            str(node.text) for node in root.findall(".//" + "/".join(f"{{{NAMESPACE}}}{p}" for p in path.split("/")))
        ]

    assert said("NtfctnList/Assgne") == ["assignees"]
    assert said("NtfctnList/Assgnr") == ["seller"]
    assert said("OthrPty/Pty/BasePty/LglOrg/Nm") == ["Fenwick Lane Capital LLP", "阿爾德威奇應收賬款有限公司"]
    assert said("DueAmt") == ["48600.00"]
    assert said("TtlInvcAmt") == ["58600.00"]
    assert said("CdtAcct/IBAN") == ["GB33BUKB20201555555555"]
    assert said("Dgst/Dgst") == ["ab" * 32]
    assert "RF71DB260001" in said("FinItm/AddtlInf")[0]


def test_its_end_is_the_same_the_other_way_round() -> None:
    ends = replace(FACTS, identifier=letter_identifier("DB-26-0001", 2), kind=REASSIGNMENT,
                   ends=(letter_identifier("DB-26-0001", 1), date(2026, 8, 3)))  # fmt: skip
    content = assignment_message(ends)
    assert faults(content) == []
    assert b"<Assgne>seller</Assgne>" in content
    assert b"<Assgnr>assignees</Assgnr>" in content
    assert b"<RltdLttr>" in content
    assert b"<Id>DB-26-0001-N1</Id>" in content


@pytest.mark.parametrize("spoil", [
    lambda x: x.replace(b"<Assgne>assignees</Assgne>", b"<Assgne>nobody</Assgne>"),
    lambda x: x.replace(b"<CdtDbtInd>DBIT</CdtDbtInd>", b""),
    lambda x: x.replace(b"<Id>seller</Id>", b"<Id>agent</Id>"),
    lambda x: x.replace(b'<DueAmt Ccy="GBP">', b"<DueAmt>"),
    lambda x: x.replace(b"<PmryRcpt>", b"<Primary>").replace(b"</PmryRcpt>", b"</Primary>"),
])  # fmt: skip
def test_the_table_finds_what_is_wrong(spoil: object) -> None:
    assert faults(spoil(assignment_message(FACTS)))  # type: ignore[operator]


printable = st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=200)


@given(printable, printable, st.integers(1, 10**12), st.integers(0, 10**12), st.sampled_from(["GBP", "JPY", "HKD"]),
       st.lists(printable, min_size=1, max_size=5))  # fmt: skip
def test_any_names_and_amounts_stay_true_to_it(
    name: str, number: str, face: int, more: int, currency: str, owners: list[str]
) -> None:
    facts = replace(FACTS, seller=Party(name, name), invoice=number, face_minor=face, total_minor=face + more,
                    currency=currency, net_minor=None, vat_minor=None, assignees=tuple(Party(one) for one in owners),
                    pay_to=PayTo(name, None, "RF71 DB26 0001"))  # fmt: skip
    assert faults(assignment_message(facts)) == []
    assert assignment_message(facts) == assignment_message(facts)
