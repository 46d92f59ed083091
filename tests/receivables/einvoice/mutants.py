"""Invoices changed at random: bytes, elements, values. And a second reader that says what such a file claims."""

import copy
import random
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from xml.etree import ElementTree

from lxml import etree

VALUES = ("", "0", "-1", "1.005", "1.234,56", "1e9", "NaN", "-0.00", " 7 ", "99999999999999999999", "EUR", "JPY",
          "XXX", "380", "381", "325", "393", "2026-02-30", "20260101", "01/02/2026", "DE", "S", "O", "K", "\u202eabc",
          "\u0000", "１２３", "<b/>", "factoring")  # fmt: skip
JUNK = (b"\x00", b"\xff\xfe", b"<!DOCTYPE a>", b"<!--", b"-->", b"<![CDATA[", b"]]>", b"&#0;", b"&lt;", b"&x;",
        b"<?x?>", b"</a>", b"<a>", b'"', b"'", b"\xed\xa0\x80", b"\xef\xbf\xbe", b"xmlns=''", b" " * 4000)  # fmt: skip
# The money, days and names that a claim hangs on, as UBL and as CII call them.
CLAIM = {
    "BT-115": ("PayableAmount", "DuePayableAmount"),
    "BT-112": ("TaxInclusiveAmount", "GrandTotalAmount"),
    "BT-5": ("DocumentCurrencyCode", "InvoiceCurrencyCode"),
    "BT-113": ("PrepaidAmount", "TotalPrepaidAmount"),
    "BT-114": ("PayableRoundingAmount", "RoundingAmount"),
}


@dataclass(frozen=True)
class Mutant:
    """A changed file and how it came about."""

    seed: int
    content: bytes


def mutants(files: list[bytes], count: int, first_seed: int = 0) -> Iterator[Mutant]:
    """Yield `count` files, each changed in one to four ways; the same seed gives the same file."""
    for seed in range(first_seed, first_seed + count):
        chance = random.Random(seed)
        content = chance.choice(files)
        way = _in_structure if chance.random() < 0.7 and not content.startswith(b"%PDF") else _in_bytes
        yield Mutant(seed, way(content, chance))


def _in_bytes(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(changed) + 1)
        match chance.randrange(5):
            case 0 if at < len(changed):
                changed[at] ^= 1 << chance.randrange(8)
            case 1:
                changed[at:at] = chance.choice(JUNK)
            case 2:
                del changed[at : at + chance.randint(1, 400)]
            case 3:
                other = chance.randrange(len(changed) + 1)
                changed[at:at] = changed[other : other + chance.randint(1, 2000)]
            case _:
                del changed[at : len(changed) if chance.random() < 0.2 else at + 1]
    return bytes(changed)


def _in_structure(content: bytes, chance: random.Random) -> bytes:
    root = copy.deepcopy(etree.fromstring(content, etree.XMLParser(remove_comments=True, remove_pis=True)))
    for _ in range(chance.randint(1, 3)):
        element = chance.choice([one for one in root.iter("{*}*") if one is not root])
        parent = element.getparent()
        if parent is None:
            continue
        match chance.randrange(6):
            case 0:
                parent.remove(element)
            case 1:
                element.addnext(copy.deepcopy(element))
            case 2:
                twin = copy.deepcopy(element)
                _say(chance.choice(list(twin.iter("{*}*"))), chance)
                element.addprevious(twin)
            case 3:
                parent.append(element)
            case 4 if element.attrib:
                element.attrib[chance.choice(list(element.attrib))] = chance.choice(("", "USD", "0", "ZZZ"))
            case _:
                _say(element, chance)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def _say(element: etree._Element, chance: random.Random) -> None:
    if len(element) == 0 and (said := chance.choice(VALUES)).isprintable():
        element.text = said


def claims(xml: bytes) -> dict[str, set[str]]:
    """Return everything a file says for each of the terms of its claim, read without any of our code."""
    said: dict[str, set[str]] = {term: set() for term in CLAIM}
    for element in ElementTree.fromstring(xml).iter():
        name = element.tag.rpartition("}")[2]
        for term, names in CLAIM.items():
            if name in names and (text := "".join(element.itertext()).strip()):
                said[term].add(text)
    return said


def adds_up(said: dict[str, set[str]]) -> bool:
    """Say whether the amount due is positive and the total less what was prepaid, plus rounding."""
    try:
        due, total, prepaid, rounding = (Decimal(next(iter(said[term]), "0")) for term in
                                         ("BT-115", "BT-112", "BT-113", "BT-114"))  # fmt: skip
    except InvalidOperation:
        return False
    return due > 0 and due == total - prepaid + rounding
