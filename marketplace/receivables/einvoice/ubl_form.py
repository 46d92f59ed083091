"""Check the form of a UBL invoice: what may stand once only, and what must stand together.

Source: CEN/TS 16931-3-2; ids as in the CEN validation artefacts 1.3 (UBL-SR, UBL-DT, UBL-CR, BR-52 to BR-65).
"""

from collections.abc import Iterator

from lxml import etree

from marketplace.kernel.errors import Problem
from marketplace.kernel.words import N_
from marketplace.receivables.einvoice.xml_reading import REPEATED, Reading, content

SELLER, BUYER = "cac:AccountingSupplierParty/cac:Party", "cac:AccountingCustomerParty/cac:Party"
INCOMPLETE = N_("%(element)s is there, but something it needs is not.")
UNFIT = N_("%(element)s cannot stand here, or not in this way.")

# Rule → (context, path below it) of which there may be one. The context "." is the document.
ONCE = {
    "UBL-SR-01": (".", "cac:ContractDocumentReference/cbc:ID"),
    "UBL-SR-02": (".", "cac:ReceiptDocumentReference/cbc:ID"),
    "UBL-SR-03": (".", "cac:DespatchDocumentReference/cbc:ID"),
    "UBL-SR-05": (".", "cac:PaymentTerms/cbc:Note"),
    "UBL-SR-06": (".//cac:BillingReference", "cac:InvoiceDocumentReference"),
    "UBL-SR-08": (".", "cac:InvoicePeriod"),
    "UBL-SR-09": (".", f"{SELLER}/cac:PartyLegalEntity/cbc:RegistrationName"),
    "UBL-SR-10": (".", f"{SELLER}/cac:PartyName/cbc:Name"),
    "UBL-SR-11": (".", f"{SELLER}/cac:PartyLegalEntity/cbc:CompanyID"),
    "UBL-SR-14": (".", f"{SELLER}/cac:PartyLegalEntity/cbc:CompanyLegalForm"),
    "UBL-SR-15": (".", f"{BUYER}/cac:PartyLegalEntity/cbc:RegistrationName"),
    "UBL-SR-16": (".", f"{BUYER}/cac:PartyIdentification/cbc:ID"),
    "UBL-SR-17": (".", f"{BUYER}/cac:PartyLegalEntity/cbc:CompanyID"),
    "UBL-SR-22": (".//cac:TaxRepresentativeParty", "cac:PartyName/cbc:Name"),
    "UBL-SR-23": (".//cac:TaxRepresentativeParty", "cac:PartyTaxScheme/cbc:CompanyID"),
    "UBL-SR-24": (".", "cac:Delivery"),
    "UBL-SR-25": (".//cac:Delivery", "cac:DeliveryParty/cac:PartyName/cbc:Name"),
    "UBL-SR-26": (".//cac:PaymentMeans", "cbc:PaymentID"),
    "UBL-SR-27": (".//cac:PaymentMeans", "cbc:PaymentMeansCode"),
    "UBL-SR-28": (".//cac:PaymentMeans", "cac:PaymentMandate/cbc:ID"),
    "UBL-SR-30": (".//cac:AllowanceCharge", "cbc:AllowanceChargeReason"),
    "UBL-SR-32": (".//cac:TaxSubtotal", "cac:TaxCategory/cbc:TaxExemptionReason"),
    "UBL-SR-33": (".//cac:AdditionalDocumentReference", "cbc:DocumentDescription"),
    "UBL-SR-34": ("LINE", "cbc:Note"),
    "UBL-SR-35": ("LINE", "cac:OrderLineReference/cbc:LineID"),
    "UBL-SR-36": ("LINE", "cac:InvoicePeriod"),
    "UBL-SR-37": ("LINE", "cac:Price/cac:AllowanceCharge/cbc:Amount"),
    "UBL-SR-39": (".", "cac:ProjectReference/cbc:ID"),
    "UBL-SR-40": (".", f"{BUYER}/cac:PartyName/cbc:Name"),
    "UBL-SR-45": (".", "cac:PaymentMeans/cbc:PaymentDueDate"),
    "UBL-SR-49": (".", "cac:InvoicePeriod/cbc:DescriptionCode"),
    "UBL-SR-50": ("LINE", "cac:Item/cbc:Description"),
    "UBL-SR-51": (".//*[cac:AddressLine]", "cac:AddressLine"),
    "UBL-SR-52": ("LINE", "cac:DocumentReference"),
    "UBL-SR-54": (".", "cac:PaymentMeans/cac:CardAccount"),
    "UBL-SR-55": (".", "cac:PaymentMeans/cac:PaymentMandate"),
    "UBL-SR-56": (".", "cac:OriginatorDocumentReference/cbc:ID"),
}
# Rule → (context, paths that must each hold a text there).
NEEDED = {
    "BR-52": (".//cac:AdditionalDocumentReference", ("cbc:ID",)),
    "BR-54": (".//cac:AdditionalItemProperty", ("cbc:Name", "cbc:Value")),
    "BR-55": (".//cac:BillingReference", ("cac:InvoiceDocumentReference/cbc:ID",)),
    "UBL-SR-07": (".//cac:BillingReference", ("cac:InvoiceDocumentReference/cbc:ID",)),
    "UBL-SR-53": (".//cac:PartyTaxScheme", ("cac:TaxScheme/cbc:ID", "cbc:CompanyID")),
}
# Rule → (element, attribute it must have).
ATTRIBUTED = {
    "BR-64": ("LINE/cac:Item/cac:StandardItemIdentification/cbc:ID", "schemeID"),
    "BR-65": ("LINE/cac:Item/cac:CommodityClassification/cbc:ItemClassificationCode", "listID"),
    "UBL-DT-06": (".//cbc:EmbeddedDocumentBinaryObject", "mimeCode"),
    "UBL-DT-07": (".//cbc:EmbeddedDocumentBinaryObject", "filename"),
}
LINES = ("cac:InvoiceLine", "cac:CreditNoteLine")


def check_form(reading: Reading, root: etree._Element) -> None:
    """Note every broken rule of form in `reading.faults`."""
    reading.faults += _counted(reading, root)
    reading.faults += _incomplete(reading, root)
    reading.faults += _tax_schemes(reading, root)
    reading.faults += _payee(reading, root)
    reading.faults += _references(reading, root)
    reading.faults += _periods(reading, root)
    reading.faults += _amounts(root)


def _at(reading: Reading, root: etree._Element, context: str) -> Iterator[etree._Element]:
    if context == ".":
        yield root
    elif context.startswith("LINE"):
        for line in LINES:
            yield from reading.all(root, context.replace("LINE", line))
    else:
        yield from reading.all(root, context)


def _counted(reading: Reading, root: etree._Element) -> Iterator[Problem]:
    for rule, (context, path) in ONCE.items():
        for node in _at(reading, root, context):
            if len(list(reading.all(node, path))) > 1:
                if rule == "UBL-SR-30" and reading.text(node, "cbc:ChargeIndicator") in ("true", "1"):
                    rule = "UBL-SR-31"
                yield Problem(_name(path), rule, REPEATED, {"element": _name(path)})
                break
    means = list(reading.all(root, "cac:PaymentMeans"))
    for rule, name in (("UBL-SR-44", "PaymentID"), ("UBL-SR-47", "PaymentMeansCode")):
        if len({said for node in means for said in reading.texts(node, f"cbc:{name}")}) > 1:
            yield Problem(name, rule, REPEATED, {"element": name})
    if sum(code.get("name") is not None for node in means for code in reading.all(node, "cbc:PaymentMeansCode")) > 1:
        yield Problem("BT-82", "UBL-SR-46", REPEATED, {"element": "PaymentMeansCode"})
    for line in _at(reading, root, "LINE"):
        if len(list(reading.all(line, "cac:Item/cac:ClassifiedTaxCategory"))) != 1:
            yield Problem("BT-151", "UBL-SR-48", UNFIT, {"element": "ClassifiedTaxCategory"})
            break


def _incomplete(reading: Reading, root: etree._Element) -> Iterator[Problem]:
    for rule, (context, paths) in NEEDED.items():
        if any(reading.text(node, path) is None for node in reading.all(root, context) for path in paths):
            yield Problem(_name(context), rule, INCOMPLETE, {"element": _name(context)})
    for rule, (path, attribute) in ATTRIBUTED.items():
        if any(node.get(attribute) is None for node in _at(reading, root, path)):
            yield Problem(_name(path), rule, INCOMPLETE, {"element": _name(path)})


def _tax_schemes(reading: Reading, root: etree._Element) -> Iterator[Problem]:
    for party, vat_rule, other_rule in ((SELLER, "UBL-SR-12", "UBL-SR-13"), (BUYER, "UBL-SR-18", None)):
        schemes = list(reading.all(root, f"{party}/cac:PartyTaxScheme"))
        if party == SELLER and len(schemes) > 2:
            yield Problem("BT-31/BT-32", "UBL-SR-42", REPEATED, {"element": "PartyTaxScheme"})
        kinds = [
            (reading.text(scheme, "cac:TaxScheme/cbc:ID") or "").upper() == "VAT"
            for scheme in schemes
            if reading.text(scheme, "cbc:CompanyID")
        ]
        for rule, count in ((vat_rule, kinds.count(True)), (other_rule, kinds.count(False))):
            if rule and count > 1:
                yield Problem("BT-31/BT-48", rule, REPEATED, {"element": "PartyTaxScheme"})


def _payee(reading: Reading, root: etree._Element) -> Iterator[Problem]:
    """Judge a payee, which is there only if it is not the seller."""
    creditors = [node for node in reading.all(root, ".//cac:PartyIdentification/cbc:ID") if _is_creditor(node)]
    if len(creditors) > 1:
        yield Problem("BT-90", "UBL-SR-29", REPEATED, {"element": "PartyIdentification"})
    seller = set(reading.texts(root, f"{SELLER}/cac:PartyLegalEntity/cbc:RegistrationName"))
    for payee in reading.all(root, "cac:PayeeParty"):
        other = any(name not in seller for name in reading.texts(payee, "cac:PartyName/cbc:Name")) and bool(seller)
        identifiers = [node for node in reading.all(payee, "cac:PartyIdentification/cbc:ID") if not _is_creditor(node)]
        for rule, count in (
            ("UBL-SR-19", len(list(reading.all(payee, "cac:PartyName/cbc:Name")))),
            ("UBL-SR-20", len([node for node in identifiers if node.get("schemeID") is not None])),
            ("UBL-SR-21", len(list(reading.all(payee, "cac:PartyLegalEntity/cbc:CompanyID")))),
        ):
            if count > 1 or not other:
                yield Problem("BG-10", rule, UNFIT, {"element": "PayeeParty"})


def _is_creditor(node: etree._Element) -> bool:
    return (node.get("schemeID") or "").upper() == "SEPA"


def _references(reading: Reading, root: etree._Element) -> Iterator[Problem]:
    objects = 0
    for node in reading.all(root, "cac:AdditionalDocumentReference"):
        kind, number = reading.text(node, "cbc:DocumentTypeCode"), reading.first(node, "cbc:ID")
        scheme = number.get("schemeID") if number is not None else None
        project = kind == "50" and etree.QName(root).localname == "CreditNote"
        if kind == "130":
            objects += 1
            reading.code("BR-CL-07", "BT-18", scheme)
            for rule, path in (("UBL-CR-666", "cac:Attachment"), ("UBL-CR-673", "cbc:DocumentDescription")):
                if reading.first(node, path) is not None:
                    yield Problem("BT-18", rule, UNFIT, {"element": _name(path)})
        elif not project and (kind or scheme is not None):
            yield Problem("BT-122", "UBL-SR-43", UNFIT, {"element": "AdditionalDocumentReference"})
    if objects > 1:
        yield Problem("BT-18", "UBL-SR-04", REPEATED, {"element": "AdditionalDocumentReference"})
    for note in reading.texts(root, "cbc:Note"):
        _, _, rest = note.partition("#")
        subject, closed, _ = rest.partition("#")
        if closed and len(subject) == 3:
            reading.code("BR-CL-08", "BT-21", subject)


def _periods(reading: Reading, root: etree._Element) -> Iterator[Problem]:
    for rule, context in (("BR-CO-19", "cac:InvoicePeriod"), ("BR-CO-20", "LINE/cac:InvoicePeriod")):
        for node in _at(reading, root, context):
            bounds = [reading.first(node, f"cbc:{name}") for name in ("StartDate", "EndDate")]
            if rule == "BR-CO-19":
                bounds.append(reading.first(node, "cbc:DescriptionCode"))
            if all(bound is None for bound in bounds):
                yield Problem("BG-14/BG-26", rule, INCOMPLETE, {"element": "InvoicePeriod"})


def _amounts(root: etree._Element) -> Iterator[Problem]:
    for element in root.iter("{*}*"):
        name = etree.QName(element).localname
        if not name.endswith("Amount") or name.endswith("PriceAmount"):
            continue
        parent = element.getparent()
        above = parent.getparent() if parent is not None else None
        if above is not None and etree.QName(above).localname == "Price":
            continue
        if len((content(element) or "").partition(".")[2]) > 2:
            yield Problem(name, "UBL-DT-01", UNFIT, {"element": name})
            return


def _name(path: str) -> str:
    return path.rpartition("/")[2].partition(":")[2].rstrip("]")
