"""Read the facts out of company accounts in inline XBRL, or in plain XBRL as filed before 2011. Pure and distrustful.

Nothing is fetched: schema references, stylesheets and links are never followed. No document type may declare
anything. At the door this runs in a process with little time and memory; size, element count and depth are bounded too.

Source: Inline XBRL 1.0 and 1.1; XBRL 2.1; XBRL Dimensions 1.0.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from lxml import etree

from marketplace.kernel.errors import InvalidInput, Problem
from marketplace.kernel.words import N_
from marketplace.rating.numbers import Unreadable, read_number

BYTES_MAX = 16 * 1024 * 1024
# Counted in the bytes before parsing: tags (opening and closing), equals signs (attributes), namespace declarations.
# The largest of the real filings tried has 51,000, 31,000 and 1,900.
TAGS_MAX = 250_000
EQUALS_MAX = 350_000
NAMESPACES_MAX = 10_000
REBOUND_MAX = 100
DEPTH_MAX = 200
CONTEXTS_MAX = 20_000
FACTS_MAX = 40_000
TEXT_MAX = 300
FAULTS_MAX = 20
IDENTIFIERS_MAX = 50
TEXTS_MAX = 10

INLINE = ("http://www.xbrl.org/2008/inlineXBRL", "http://www.xbrl.org/2013/inlineXBRL")
NUMERIC = frozenset(f"{{{space}}}nonFraction" for space in INLINE)
TAGGED = (*sorted(NUMERIC), *(f"{{{space}}}nonNumeric" for space in INLINE))
INSTANCE = "http://www.xbrl.org/2003/instance"
DIMENSIONS = "http://xbrl.org/2006/xbrldi"
NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
# Whose words count: the FRC's taxonomies since 2014, those of HMRC and Companies House before.
TAXONOMIES = ("http://xbrl.frc.org.uk/", "http://www.xbrl.org/uk/", "http://www.companieshouse.gov.uk/ef/xbrl/uk/")
UTF_8 = frozenset(("utf-8", "utf8", "us-ascii", "ascii"))
ENCODINGS = UTF_8 | {"iso-8859-1", "iso-8859-15", "windows-1252", "cp1252", "latin1"}
DECLARED = re.compile(rb"""(?:\xef\xbb\xbf)?\s*<\?xml[^>]*?encoding\s*=\s*["']([^"']{1,40})["']""")
# Honest documents end long before: the short question spares most of them the long one.
DEEP = etree.XPath(f"boolean({'/*' * 40})")
TOO_DEEP = etree.XPath(f"boolean({'/*' * (DEPTH_MAX + 1)})")
DOCTYPE = re.compile(rb"<!DOCTYPE[^>\[]{0,1000}(.?)", re.DOTALL)
PREFIX = re.compile(rb"""xmlns:([\w.-]{1,60})\s*=\s*["']([^"']{0,300})["']""")
DAY = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(T00:00:00(\.0+)?Z?)?")
CONTEXT, PERIOD = f"{{{INSTANCE}}}context", f"{{{INSTANCE}}}period"
ENTITY, IDENTIFIER = f"{{{INSTANCE}}}entity", f"{{{INSTANCE}}}identifier"
EXPLICIT, TYPED = f"{{{DIMENSIONS}}}explicitMember", f"{{{DIMENSIONS}}}typedMember"

Dimensions = frozenset[tuple[str, str]]
WHOLE: Dimensions = frozenset()  # split by nothing


class Context(NamedTuple):
    """When, and split by what, a fact holds. `start` is None for an instant."""

    start: date | None
    end: date
    dimensions: Dimensions


class Fact(NamedTuple):
    """One tagged number after format, scale and sign."""

    name: str
    context: Context
    value: Decimal
    decimals: str | None


@dataclass
class Facts:
    """All that was read, as yet without meaning."""

    numbers: list[Fact] = field(default_factory=list)
    texts: dict[str, list[str]] = field(default_factory=dict)
    identifiers: list[tuple[str, str]] = field(default_factory=list)
    faults: list[Problem] = field(default_factory=list)

    def fault(self, where: str, rule: str, words: str, **params: object) -> None:
        """Note a fault, up to a bound."""
        if len(self.faults) < FAULTS_MAX:
            self.faults.append(Problem(where, rule, words, params))


UNREADABLE = {
    "format": N_("“%(text)s” has the number format “%(format)s”, which is not known; the figure was left out."),
    "number": N_("“%(text)s” is not a number; the figure was left out."),
    "scale": N_("The scale “%(scale)s” is not possible; the figure was left out."),
    "sign": N_("“%(text)s” has a sign that is neither empty nor “-”; the figure was left out."),
    "range": N_("“%(text)s” is larger than any company; the figure was left out."),
}


def read_facts(content: bytes) -> Facts:
    """Return the facts of an accounts document.

    Raises: InvalidInput("filing_refused"); its rule is empty, size, kind, encoding, doctype, malformed, depth or facts.
    """
    root = _parse(content)
    facts = Facts()
    contexts = _contexts(root, facts)
    tagged = _plain_facts(root) if root.tag == f"{{{INSTANCE}}}xbrl" else _inline_facts(root, _prefixes(content), facts)
    for count, (name, element, text) in enumerate(tagged):
        if count >= FACTS_MAX:
            raise refused("facts", N_("The document holds more facts than accounts do."))
        _take(facts, contexts, name, element, text)
    if not facts.numbers:
        facts.fault("filing", "no_figures", N_("No figure could be read from the document."))
    return facts


def refused(rule: str, words: str, **params: object) -> InvalidInput:
    """Return the refusal of a whole document."""
    return InvalidInput("filing_refused", N_("These accounts cannot be read."),
                        problems=[Problem("filing", rule, words, params)])  # fmt: skip


def _parse(content: bytes) -> Any:
    content = _as_utf_8(content, _check_bytes(content))
    parser = etree.XMLParser(encoding="utf-8", resolve_entities=False, load_dtd=False, no_network=True,
                             dtd_validation=False, attribute_defaults=False, huge_tree=False, recover=False,
                             remove_comments=True, remove_pis=True)  # fmt: skip
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError as error:
        if error.code == etree.ErrorTypes.ERR_NO_MEMORY:
            raise MemoryError from None
        if "depth" in str(error):
            raise refused("depth", N_("The document is nested too deeply.")) from None
        line = error.lineno or 1
        raise refused("malformed", N_("The document is not well-formed XML (line %(line)s)."), line=line) from None
    except (ValueError, LookupError):
        raise refused("encoding", N_("The document's characters cannot be decoded.")) from None
    declared = root.getroottree().docinfo.internalDTD
    if declared is not None and list(declared.iterentities()):
        raise refused("doctype", N_("The document declares entities; accounts must not."))
    if DEEP(root) and TOO_DEEP(root):
        raise refused("depth", N_("The document is nested too deeply."))
    return root


def _check_bytes(content: bytes) -> str:
    """Refuse what no honest set of accounts is, and return the encoding that it declares."""
    if not content.strip():
        raise refused("empty", N_("The file is empty."))
    if len(content) > BYTES_MAX:
        raise refused("size", N_("The file is larger than %(most)s MB."), most=BYTES_MAX // 2**20)
    if content[:1024].lstrip().startswith(b"%PDF"):
        raise refused("kind", N_("A PDF of accounts cannot be read. Send the iXBRL file that was filed."))
    if content[:2] == b"PK":
        raise refused("kind", N_("A ZIP archive cannot be read. Send the iXBRL file inside it."))
    if b"\x00" in content[:4096]:
        raise refused("encoding", N_("Only UTF-8 and Western European encodings are read."))
    declared = DECLARED.match(content)
    encoding = declared[1].decode("ascii", "replace").lower() if declared else "utf-8"
    if encoding not in ENCODINGS:
        raise refused("encoding", N_("Only UTF-8 and Western European encodings are read."))
    for doctype in DOCTYPE.finditer(content) if b"<!DOCTYPE" in content else ():
        if doctype[1] != b">":
            raise refused("doctype", N_("The document declares entities; accounts must not."))
    for mark, most in ((b"<", TAGS_MAX), (b"=", EQUALS_MAX), (b"xmlns", NAMESPACES_MAX)):
        if len(content) > most * len(mark) and content.count(mark) > most:
            raise refused("size", N_("The document holds more elements than accounts do."))
    return encoding


def _as_utf_8(content: bytes, encoding: str) -> bytes:
    """Return the document in UTF-8. libxml2 would load a table from a file for some encodings: nothing is opened here.

    Raises: InvalidInput("filing_refused") when a byte means nothing in the declared encoding.
    """
    if encoding in UTF_8:
        return content
    try:
        return content.decode(encoding).encode()
    except UnicodeDecodeError:
        raise refused("encoding", N_("The document's characters cannot be decoded.")) from None


def _contexts(root: Any, facts: Facts) -> dict[str, Context | None]:
    found: dict[str, Context | None] = {}
    for count, element in enumerate(root.iter(CONTEXT)):
        if count >= CONTEXTS_MAX:
            raise refused("facts", N_("The document holds more facts than accounts do."))
        name = element.get("id") or ""
        context, identifier = _context(element)
        if identifier is not None and len(facts.identifiers) < IDENTIFIERS_MAX:
            facts.identifiers.append((_text(identifier), identifier.get("scheme") or ""))
        if context is None:
            facts.fault(f"context {name[:60]}", "context_date",
                        N_("The dates of this context cannot be read; its figures were left out."))  # fmt: skip
        # Two contexts under one name leave open which is meant: neither is believed.
        if name in found and found[name] != context:
            facts.fault(f"context {name[:60]}", "context_twice",
                        N_("Two contexts bear the same name; their figures were left out."))  # fmt: skip
            context = None
        found[name] = context
    return found


def _context(element: Any) -> tuple[Context | None, Any]:
    """Return the context, None when its dates cannot be read, and the element that names the company, if any.

    One walk over the children: there are dozens of contexts a document, and paths cost more than all the rest.
    """
    identifier, split = None, False
    days: dict[str, date | None] | None = None
    for child in element:
        if child.tag == ENTITY:
            for inner in child:
                if inner.tag == IDENTIFIER:
                    identifier = inner if identifier is None else identifier
                    split = split or len(inner) > 0
                else:
                    split = True
        elif child.tag == PERIOD:
            days = _days(child) if days is None else days
            split = split or any(len(inner) for inner in child)
        else:
            split = True
    days = days or {}
    end = days.get("instant") or days.get("endDate")
    start = days.get("startDate")
    if end is None or ("startDate" in days and (start is None or start > end)):
        return None, identifier
    return Context(start, end, _members(element) if split else WHOLE), identifier


def _days(period: Any) -> dict[str, date | None]:
    return {child.tag.rpartition("}")[2]: _day(_text(child)) for child in period if isinstance(child.tag, str)}


def _members(element: Any) -> Dimensions:
    return frozenset(
        (_local(member.get("dimension") or ""), "typed" if member.tag == TYPED else _local(_text(member)))
        for member in element.iter(EXPLICIT, TYPED)
    )


@lru_cache(maxsize=1_024)
def _day(text: str) -> date | None:
    matched = DAY.fullmatch(text)
    try:
        return date.fromisoformat(matched[1]) if matched else None
    except ValueError:
        return None


def _prefixes(content: bytes) -> dict[str, str | None]:
    """Return what each prefix is bound to anywhere in the document; None when to more than one name.

    lxml would walk to the root for every element that is asked, which a document of many declarations makes slow.
    """
    found: dict[str, str | None] = {}
    for prefix, name in PREFIX.findall(content):
        key, space = prefix.decode("utf-8", "replace"), name.decode("utf-8", "replace")
        found[key] = space if found.get(key, space) == space else None
    return found


def _inline_facts(root: Any, prefixes: Mapping[str, str | None], facts: Facts) -> Iterator[tuple[str, Any, str | None]]:
    believed: dict[str, bool] = {}
    unknown: set[str] = set()
    rebound = 0
    for element in root.iter(*TAGGED):
        prefix, _, local = (element.get("name") or "").strip().rpartition(":")
        known = believed.get(prefix)
        if known is None:
            space = prefixes.get(prefix, "")
            if space is None:
                rebound += 1
                known = (element.nsmap.get(prefix, "") if rebound <= REBOUND_MAX else "").startswith(TAXONOMIES)
            else:
                known = believed[prefix] = space.startswith(TAXONOMIES)
        if local and known:
            yield local, element, None
        elif prefix[:60] not in unknown and len(unknown) < 50:
            unknown.add(prefix[:60])
            if element.tag in NUMERIC:
                words = N_("This figure is tagged in a vocabulary that is not known; it was left out.")
                facts.fault(f"{prefix[:60]}:{local[:60]}", "taxonomy", words)


def _plain_facts(root: Any) -> Iterator[tuple[str, Any, str | None]]:
    for element in root.iter():
        if not isinstance(element.tag, str) or element.get("contextRef") is None:
            continue
        name = etree.QName(element)
        # Companies House's own templates left facts in the instance namespace itself.
        if (name.namespace or "").startswith((*TAXONOMIES, INSTANCE)):
            yield name.localname, element, _text(element) if len(element) == 0 else ""


def _take(facts: Facts, contexts: Mapping[str, Context | None], name: str, element: Any, plain: str | None) -> None:
    numeric = element.get("unitRef") is not None if plain is not None else element.tag in NUMERIC
    if not numeric:
        kept = facts.texts.setdefault(name, [])
        if len(kept) < TEXTS_MAX and (text := _text(element) if plain is None else plain):
            kept.append(text[:TEXT_MAX])
        return
    if (element.get(NIL) or "").strip() in ("true", "1"):
        return
    reference = element.get("contextRef") or ""
    if reference not in contexts:
        facts.fault(name[:80], "no_context", N_("The figure points to a context that is not there; it was left out."))
        return
    context = contexts[reference]
    if context is None:
        return
    form = scale = sign = None
    if plain is None:
        text, form, scale, sign = _text(element), element.get("format"), element.get("scale"), element.get("sign")
    else:
        text = plain
    try:
        value = read_number(text, form, scale, sign)
    except Unreadable as error:
        facts.fault(name[:80], error.rule, UNREADABLE[error.rule],
                    text=text[:40], format=(form or "")[:40], scale=(scale or "")[:20])  # fmt: skip
        return
    facts.numbers.append(Fact(name, context, value, element.get("decimals")))


def _text(element: Any) -> str:
    if len(element) == 0:
        return str(element.text or "")[: 4 * TEXT_MAX].strip()
    found, size = [], 0
    for piece in element.itertext():
        found.append(piece[: 4 * TEXT_MAX])
        size += len(found[-1])
        if size > 4 * TEXT_MAX:
            break
    return "".join(found).strip()


def _local(name: str) -> str:
    return name.strip().rpartition(":")[2]
