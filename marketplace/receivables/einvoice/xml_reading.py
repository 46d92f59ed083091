"""Walk a parsed invoice: text at a path, every text at a path, and a note of what should have stood once
only."""

from collections.abc import Iterator, Mapping

from lxml import etree

from marketplace.kernel.errors import Problem
from marketplace.kernel.words import N_
from marketplace.receivables.einvoice.neutral import CodeUse, Identifier

REPEATED = N_("%(element)s stands more than once; it is not clear which one counts.")


class Reading:
    """One pass over one document: finds texts, and collects coded values and faults of form on the way."""

    def __init__(self, namespaces: Mapping[str, str]) -> None:
        self.namespaces = dict(namespaces)
        self.codes: dict[CodeUse, None] = {}
        self.faults: list[Problem] = []

    def all(self, node: etree._Element | None, path: str) -> Iterator[etree._Element]:
        """Yield the elements at a namespaced path below the node."""
        if node is not None:
            yield from node.iterfind(path, self.namespaces)

    def first(self, node: etree._Element | None, path: str) -> etree._Element | None:
        """Return the first element at a path, or None."""
        return next(self.all(node, path), None)

    def text(self, node: etree._Element | None, path: str) -> str | None:
        """Return the trimmed text of the first element at a path; an empty one counts as absent."""
        return content(self.first(node, path))

    def texts(self, node: etree._Element | None, path: str) -> tuple[str, ...]:
        """Return every non-empty text at a path, in document order."""
        return tuple(said for found in self.all(node, path) if (said := content(found)))

    def only(self, node: etree._Element | None, path: str, field: str) -> etree._Element | None:
        """Return the first element at a path and note a fault if there is a second one."""
        found = list(self.all(node, path))
        if len(found) > 1:
            self.faults.append(Problem(field, "repeated", REPEATED, {"element": path.rpartition("/")[2]}))
        return found[0] if found else None

    def only_text(self, node: etree._Element | None, path: str, field: str) -> str | None:
        """Return the text of an element that may stand once only."""
        return content(self.only(node, path, field))

    def identifier(
        self, node: etree._Element | None, path: str, rule: str | None = None, field: str = ""
    ) -> Identifier | None:
        """Return the first identifier at a path with its scheme; the scheme is checked against the
        rule's list."""
        return self.as_identifier(self.first(node, path), rule, field)

    def as_identifier(self, found: etree._Element | None, rule: str | None, field: str) -> Identifier | None:
        """Return an element as identifier with scheme."""
        said = content(found)
        if found is None or said is None:
            return None
        scheme = found.get("schemeID")
        if rule:
            self.code(rule, field, scheme)
        return Identifier(said, (scheme or "").strip() or None)

    def code(self, rule: str, field: str, text: str | None) -> str | None:
        """Remember a coded value for the code-list rules, and return it. An attribute that is there but empty
        is a value, and in no list."""
        if text is not None:
            self.codes[CodeUse(rule, field, text.strip())] = None
        return text


def content(element: etree._Element | None) -> str | None:
    """Return an element's own text, trimmed; None when absent or empty."""
    if element is None or len(element):
        return None
    return (element.text or "").strip() or None
