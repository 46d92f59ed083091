"""Parse somebody else's XML: no document type, no entities, no network, bounded size, depth and count.

Source: OWASP ASVS 5.0 V1.5; libxml2's own limits stay on (huge_tree is never used).
"""

import codecs
import re
from collections.abc import Mapping

from lxml import etree

from marketplace.kernel.errors import InvalidInput, Problem
from marketplace.kernel.words import N_

XML_BYTES_MAX = 10 * 1024 * 1024
ELEMENTS_MAX = 100_000
EQUALS_MAX = 500_000  # each attribute has one
DEPTH_MAX = 64
ATTRIBUTES_MAX = 200

# Encodings an e-invoice is really written in. Anything rarer is refused rather than guessed.
ENCODINGS = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "ascii",
    "ascii": "ascii",
    "iso-8859-1": "latin-1",
    "iso-8859-15": "iso8859-15",
    "windows-1252": "cp1252",
}
# How a file in UTF-8 or UTF-16 begins, with a byte order mark or without: stronger than what it declares.
MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    b"<\x00": "utf-16-le",
    b"\x00<": "utf-16-be",
}
# Source: XML 1.0 (fifth edition) §2.8, production 23; white space bounded.
BLANK = r"[ \t\r\n]{1,20}"
EQUALS = r"[ \t\r\n]{0,20}=[ \t\r\n]{0,20}"
ENCODING = r"[A-Za-z][\w.-]{0,40}"
DECLARATION = re.compile(
    rf"""<\?xml{BLANK}version{EQUALS}(?:"1\.[0-9]+"|'1\.[0-9]+')"""
    rf"""(?:{BLANK}encoding{EQUALS}(?:"({ENCODING})"|'({ENCODING})'))?"""
    rf"""(?:{BLANK}standalone{EQUALS}(?:"(?:yes|no)"|'(?:yes|no)'))?[ \t\r\n]{{0,20}}\?>""",
    re.ASCII,
)
DECLARED = re.compile(r"<\?xml[ \t\r\n]")
PROLOG_STEP = re.compile(r"\s+|<\?.*?\?>|<!--.*?-->", re.DOTALL)


def refusal(code: str, words: str, params: Mapping[str, object] | None = None) -> InvalidInput:
    """Make the error for a document that cannot be read: the code is also the rule the file breaks."""
    return InvalidInput(code, words, params, (Problem("document", code, words, params or {}),))


def parse_guarded(content: bytes) -> etree._Element:
    """Return the root element of an XML document.

    Raises: InvalidInput("too_large" | "too_many_elements" | "not_well_formed" | "forbidden_doctype" |
    "too_deep").
    """
    if len(content) > XML_BYTES_MAX:
        raise refusal("too_large", N_("The XML is larger than %(most)s MB."), {"most": XML_BYTES_MAX // 2**20})
    if content.count(b"<") > 3 * ELEMENTS_MAX or content.count(b"=") > EQUALS_MAX:
        raise refusal("too_many_elements", N_("The XML has more elements than an invoice can need."))
    text = _decoded(content)
    _refuse_doctype(text)
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(text.encode(), parser)
    except etree.XMLSyntaxError as fault:
        if "depth" in (fault.msg or "").lower():
            raise _too_deep() from None
        raise not_well_formed(fault.lineno) from None
    except (ValueError, UnicodeError):
        raise not_well_formed(None) from None
    if root is None:
        raise not_well_formed(None)
    if root.getroottree().docinfo.doctype:
        raise _doctype()
    _measure(root)
    return root


def not_well_formed(line: int | None) -> InvalidInput:
    """Make the refusal for text that is not XML."""
    if line:
        return refusal("not_well_formed", N_("The XML is not well-formed: see line %(line)s."), {"line": line})
    return refusal("not_well_formed", N_("The XML is not well-formed, or its encoding is not what it declares."))


def _decoded(content: bytes) -> str:
    """Decode by byte order mark, then by declaration, then as UTF-8; return text without declaration or
    mark."""
    encoding = next((name for mark, name in MARKS.items() if content.startswith(mark)), None)
    if encoding is None:
        declaration = DECLARATION.match(content[:500].decode("latin-1"))
        name = (declaration[1] or declaration[2] or "utf-8").lower() if declaration else "utf-8"
        if name not in ENCODINGS:
            raise not_well_formed(1)
        encoding = ENCODINGS[name]
    try:
        text = content.decode(encoding)
    except UnicodeError:
        raise not_well_formed(None) from None
    text = text.removeprefix("\ufeff")
    if "\x00" in text:
        raise not_well_formed(None)
    if not DECLARED.match(text):
        return text
    declaration = DECLARATION.match(text)
    if declaration is None:
        raise not_well_formed(1)
    return "\n" * declaration[0].count("\n") + text[declaration.end() :]


def _refuse_doctype(text: str) -> None:
    at = 0
    while step := PROLOG_STEP.match(text, at):
        at = step.end()
    if text[at : at + 9].upper() == "<!DOCTYPE":
        raise _doctype()


def _doctype() -> InvalidInput:
    return refusal("forbidden_doctype", N_("The XML carries a document type declaration. An invoice never needs one."))


def _too_deep() -> InvalidInput:
    return refusal("too_deep", N_("The XML is nested deeper than %(most)s levels."), {"most": DEPTH_MAX})


def _measure(root: etree._Element) -> None:
    depth = count = 0
    for event, element in etree.iterwalk(root, events=("start", "end")):
        depth += 1 if event == "start" else -1
        if event == "start":
            count += 1
            if depth > DEPTH_MAX:
                raise _too_deep()
            if count > ELEMENTS_MAX or len(element.attrib) > ATTRIBUTES_MAX:
                raise refusal("too_many_elements", N_("The XML has more elements than an invoice can need."))
