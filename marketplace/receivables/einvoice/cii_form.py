"""Check the form of a CII invoice: what may stand once only, what must stand together, what may not stand.

Source: CEN/TS 16931-3-3; ids as in the CEN validation artefacts 1.3 (CII-SR, CII-DT, BR-03, BR-52 to BR-65).
"""

from collections.abc import Iterator

from lxml import etree

from marketplace.kernel.errors import Problem
from marketplace.kernel.words import N_
from marketplace.receivables.einvoice.ubl_form import INCOMPLETE, UNFIT
from marketplace.receivables.einvoice.xml_reading import Reading, content

RAM = "{urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100}"
TRANSACTION = "rsm:SupplyChainTradeTransaction"
SETTLEMENT = f"{TRANSACTION}/ram:ApplicableHeaderTradeSettlement"
LINE = f"{TRANSACTION}/ram:IncludedSupplyChainTradeLineItem"
NO_CURRENCY = N_("Only the VAT total may name a currency; %(element)s does.")
# Rule → (context, paths that must each hold a text there).
NEEDED = {
    "BR-52": (".//ram:AdditionalReferencedDocument", ("ram:IssuerAssignedID",)),
    "BR-54": (".//ram:ApplicableProductCharacteristic", ("ram:Description", "ram:Value")),
    "BR-55": (f"{SETTLEMENT}/ram:InvoiceReferencedDocument", ("ram:IssuerAssignedID",)),
}
# Rule → (element, attribute it must have).
ATTRIBUTED = {
    "BR-64": (f"{LINE}/ram:SpecifiedTradeProduct/ram:GlobalID", "schemeID"),
    "BR-65": (f"{LINE}/ram:SpecifiedTradeProduct/ram:DesignatedProductClassification/ram:ClassCode", "listID"),
}
PERIODS = {
    "BR-CO-19": f"{SETTLEMENT}/ram:BillingSpecifiedPeriod",
    "BR-CO-20": f"{LINE}/ram:SpecifiedLineTradeSettlement/ram:BillingSpecifiedPeriod",
}
# Rule → attributes that an identifier, a code or an amount may not have.
FORBIDDEN = {
    "CII-DT-001": "schemeName",
    "CII-DT-002": "schemeAgencyName",
    "CII-DT-003": "schemeDataURI",
    "CII-DT-004": "schemeURI",
    "CII-DT-013": "languageID",
    "CII-DT-014": "languageLocaleID",
    "CII-DT-032": "currencyCodeListVersionID",
}


def check_form(reading: Reading, root: etree._Element) -> None:
    """Note every broken rule of form in `reading.faults`, and the codes that stand in attributes."""
    reading.faults += _head(reading, root)
    reading.faults += _incomplete(reading, root)
    reading.faults += _attributes(reading, root)
    for note in reading.texts(root, "rsm:ExchangedDocument/ram:IncludedNote/ram:SubjectCode"):
        reading.code("BR-CL-08", "BT-21", note)


def _head(reading: Reading, root: etree._Element) -> Iterator[Problem]:
    context = "rsm:ExchangedDocumentContext/ram:GuidelineSpecifiedDocumentContextParameter"
    for rule, path, element in (
        ("CII-SR-009", context, "GuidelineSpecifiedDocumentContextParameter"),
        ("CII-SR-010", f"{context}/ram:ID", "ID"),
        ("CII-SR-014", "rsm:ExchangedDocument/ram:TypeCode", "TypeCode"),
    ):
        if len(list(reading.all(root, path))) != 1:
            yield Problem(element, rule, UNFIT, {"element": element})
    issued = reading.first(root, "rsm:ExchangedDocument/ram:IssueDateTime/udt:DateTimeString")
    if issued is not None and issued.get("format") != "102":
        yield Problem("BT-2", "BR-03", INCOMPLETE, {"element": "IssueDateTime"})


def _incomplete(reading: Reading, root: etree._Element) -> Iterator[Problem]:
    for rule, (context, paths) in NEEDED.items():
        if any(reading.text(node, path) is None for node in reading.all(root, context) for path in paths):
            element = context.rpartition(":")[2]
            yield Problem(element, rule, INCOMPLETE, {"element": element})
    for rule, (path, attribute) in ATTRIBUTED.items():
        parent, _, name = path.rpartition("/")
        nodes = [list(reading.all(node, name)) for node in reading.all(root, parent)]
        if any(found and not any(one.get(attribute) for one in found) for found in nodes):
            yield Problem(name, rule, INCOMPLETE, {"element": name})
    for rule, path in PERIODS.items():
        bounds = ("ram:StartDateTime", "ram:EndDateTime")
        if any(all(reading.first(node, bound) is None for bound in bounds) for node in reading.all(root, path)):
            yield Problem("BG-14/BG-26", rule, INCOMPLETE, {"element": "BillingSpecifiedPeriod"})
    if any(
        (content(node) or "") != "VAT"
        for node in reading.all(root, f"{SETTLEMENT}/ram:ApplicableTradeTax/ram:TypeCode")
    ):
        yield Problem("BG-23", "CII-DT-037", UNFIT, {"element": "ApplicableTradeTax"})


def _attributes(reading: Reading, root: etree._Element) -> Iterator[Problem]:
    told = set()
    for element in root.iter(f"{RAM}*"):
        name = etree.QName(element).localname
        if currency := element.get("currencyID"):
            reading.code("BR-CL-03", "currencyID", currency)
            if name != "TaxTotalAmount" and name not in told:
                told.add(name)
                yield Problem(name, "CII-DT-031", NO_CURRENCY, {"element": name})
        if mime := element.get("mimeCode"):
            reading.code("BR-CL-24", "BT-125", mime)
        for rule, attribute in FORBIDDEN.items():
            if attribute in element.attrib and rule not in told:
                told.add(rule)
                yield Problem(name, rule, UNFIT, {"element": name})
