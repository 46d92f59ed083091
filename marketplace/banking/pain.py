"""Write a file of credit transfers for the bank (pain.001), pure: the same orders give the same bytes.

`sepaxml` lays the message out and brings its schema; what it draws at random or from a clock (message id, time, payment
id) is replaced by ours, so that a file is known by its id for ever. Euro goes as SEPA credit transfer; any other
currency without a service level, and the bank takes its own scheme.

Source: ISO 20022 pain.001.001.09; EPC132-08, SEPA credit transfer, customer to bank (characters, lengths).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from importlib.resources import files

from lxml import etree
from sepaxml import SepaTransfer

from marketplace.kernel.errors import IntegrityBreach
from marketplace.kernel.money import exponent

SCHEMA = "pain.001.001.09"
ORDERS_MAX = 1_000
SEPA_MINOR_MAX = 99_999_999_999  # 999,999,999.99: the most that one SEPA credit transfer carries
NOT_SEPA = re.compile(r"[^A-Za-z0-9/\-?:().,'+ ]")
SPACE = {"p": f"urn:iso:std:iso:20022:tech:xsd:{SCHEMA}"}


@dataclass(frozen=True)
class Order:
    """One credit transfer: to whom, and by which reference it is known again in the bank's files."""

    end_to_end_id: str
    name: str
    iban: str
    minor: int
    words: str


@dataclass(frozen=True)
class OrderFile:
    """What a file orders: from whose account, on which day. `message_id` and each reference have at most 35 places."""

    message_id: str
    name: str
    iban: str
    currency: str
    execute_on: date
    made_at: datetime
    orders: Sequence[Order]

    @property
    def total_minor(self) -> int:
        """The sum of all orders."""
        return sum(order.minor for order in self.orders)


def write_pain(file: OrderFile) -> bytes:
    """Return the file's bytes, valid by the schema of its message.

    Raises: IntegrityBreach when what would be written is not valid: nothing of that kind may leave.
    """
    if exponent(file.currency) != 2:
        raise IntegrityBreach("two_places", "A bank file is written in currencies with two decimal places only.")
    made = SepaTransfer(
        {"name": _printable(file.name), "IBAN": file.iban, "currency": file.currency, "batch": True,
         "domestic": file.currency != "EUR"}, schema=SCHEMA, clean=True,
    )  # fmt: skip
    for order in file.orders:
        made.add_payment({
            "name": _printable(order.name), "IBAN": order.iban, "amount": order.minor,
            "execution_date": file.execute_on, "description": _printable(order.words),
            "endtoend_id": order.end_to_end_id,
        })  # fmt: skip
    root = etree.fromstring(made.export(validate=False))
    _ours(root, file)
    if not _schema().validate(root):
        raise IntegrityBreach("not_valid", f"The bank file is not valid: {_schema().error_log.last_error}")
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8"))


def _ours(root: etree._Element, file: OrderFile) -> None:
    """Put our own names and instant in place of the library's, and keep to the characters that every bank reads."""
    _set(root, ".//p:GrpHdr/p:MsgId", file.message_id)
    _set(root, ".//p:GrpHdr/p:CreDtTm", file.made_at.strftime("%Y-%m-%dT%H:%M:%SZ"))
    _set(root, ".//p:PmtInf/p:PmtInfId", file.message_id)
    _set(root, ".//p:PmtInf/p:BtchBookg", "false")  # booked one by one, so that the statement names each
    if file.currency != "EUR":
        _set(root, ".//p:PmtInf/p:ChrgBr", "SHAR")
    for agent in root.iterfind(".//p:DbtrAgt/p:FinInstnId", SPACE):  # the IBAN tells the bank; EPC wants it said so
        other = etree.SubElement(agent, etree.QName(SPACE["p"], "Othr"))
        etree.SubElement(other, etree.QName(SPACE["p"], "Id")).text = "NOTPROVIDED"
    for path in (".//p:Nm", ".//p:Ustrd"):
        for node in root.iterfind(path, SPACE):
            node.text = plain(node.text or "")


def plain(words: str) -> str:
    """Return a text in the characters of SEPA, the rest as blanks; never empty."""
    return " ".join(NOT_SEPA.sub(" ", words).split()) or "NOTPROVIDED"


def _printable(words: str) -> str:
    """Return a text without what XML cannot hold."""
    return "".join(letter if letter.isprintable() else " " for letter in words)


def _set(root: etree._Element, path: str, words: str) -> None:
    for node in root.iterfind(path, SPACE):
        node.text = words


@cache
def _schema() -> etree.XMLSchema:
    """Return the schema that comes with the library."""
    return etree.XMLSchema(etree.fromstring((files("sepaxml") / "schemas" / f"{SCHEMA}.xsd").read_bytes()))
