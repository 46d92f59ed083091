"""Read a UBL 2.1 invoice or credit note (Peppol BIS Billing 3, XRechnung) into the neutral form.

Source: CEN/TS 16931-3-2, the binding of EN 16931 to UBL 2.1.
"""

from lxml import etree

from marketplace.kernel.errors import Problem
from marketplace.kernel.words import N_
from marketplace.receivables.einvoice import neutral
from marketplace.receivables.einvoice.exact_numbers import day
from marketplace.receivables.einvoice.parts import (
    TRUE,
    ChargePaths,
    TaxPaths,
    VatRowPaths,
    read_charge,
    read_tax,
    read_vat_row,
)
from marketplace.receivables.einvoice.structure import structure_faults
from marketplace.receivables.einvoice.ubl_form import check_form
from marketplace.receivables.einvoice.xml_reading import Reading, content

NAMESPACES = {
    "cac": "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2",
    "cbc": "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2",
}
OTHER_CURRENCY = N_("%(element)s is in another currency than the invoice.")
INVOICE = "{urn:oasis:names:specification:ubl:schema:xsd:Invoice-2}Invoice"
CREDIT_NOTE = "{urn:oasis:names:specification:ubl:schema:xsd:CreditNote-2}CreditNote"

# Terms that are one text at one place: term → path. Those marked once only are the ones money hangs on.
HEADER = {
    "BT-1": "cbc:ID",
    "BT-2": "cbc:IssueDate",
    "BT-5": "cbc:DocumentCurrencyCode",
    "BT-6": "cbc:TaxCurrencyCode",
    "BT-7": "cbc:TaxPointDate",
    "BT-8": "cac:InvoicePeriod/cbc:DescriptionCode",
    "BT-10": "cbc:BuyerReference",
    "BT-11": "cac:ProjectReference/cbc:ID",
    "BT-12": "cac:ContractDocumentReference/cbc:ID",
    "BT-13": "cac:OrderReference/cbc:ID",
    "BT-14": "cac:OrderReference/cbc:SalesOrderID",
    "BT-20": "cac:PaymentTerms/cbc:Note",
    "BT-23": "cbc:ProfileID",
    "BT-24": "cbc:CustomizationID",
    "BT-72": "cac:Delivery/cbc:ActualDeliveryDate",
    "BT-81": "cac:PaymentMeans/cbc:PaymentMeansCode",
    "BT-83": "cac:PaymentMeans/cbc:PaymentID",
    "BT-89": "cac:PaymentMeans/cac:PaymentMandate/cbc:ID",
}
ONCE = {"BT-1", "BT-2", "BT-5", "BT-24"}
DUE_DATES = ("cbc:DueDate", "cac:PaymentMeans/cbc:PaymentDueDate", "cac:PaymentTerms/cbc:PaymentDueDate")
# Free texts in which a seller says that the claim is assigned: notes, terms, references, the account's holder.
TEXTS = (
    "cbc:Note",
    "cac:PaymentTerms/cbc:Note",
    "cac:PaymentMeans/cbc:InstructionNote",
    "cac:PaymentMeans/cbc:PaymentID",
    "cac:PaymentMeans/cac:PayeeFinancialAccount/cbc:Name",
    "cac:PaymentMeans/cac:PayeeFinancialAccount/cbc:PaymentNote",
    "cac:AdditionalDocumentReference/cbc:DocumentDescription",
)
TAX = TaxPaths("cac:TaxCategory/cbc:ID", "cac:TaxCategory/cbc:Percent", "cac:TaxCategory/cac:TaxScheme/cbc:ID")
CLASSIFIED = "cac:Item/cac:ClassifiedTaxCategory"
LINE_TAX = TaxPaths(f"{CLASSIFIED}/cbc:ID", f"{CLASSIFIED}/cbc:Percent", f"{CLASSIFIED}/cac:TaxScheme/cbc:ID")
CHARGE = ChargePaths(
    indicator="cbc:ChargeIndicator",
    amount="cbc:Amount",
    base="cbc:BaseAmount",
    percent="cbc:MultiplierFactorNumeric",
    reason="cbc:AllowanceChargeReason",
    reason_code="cbc:AllowanceChargeReasonCode",
    tax=TAX,
)
VAT_ROW = VatRowPaths(
    basis="cbc:TaxableAmount",
    amount="cbc:TaxAmount",
    reason="cac:TaxCategory/cbc:TaxExemptionReason",
    reason_code="cac:TaxCategory/cbc:TaxExemptionReasonCode",
    tax=TAX,
)
TOTALS = {
    "BT-106": "LineExtensionAmount",
    "BT-107": "AllowanceTotalAmount",
    "BT-108": "ChargeTotalAmount",
    "BT-109": "TaxExclusiveAmount",
    "BT-112": "TaxInclusiveAmount",
    "BT-113": "PrepaidAmount",
    "BT-114": "PayableRoundingAmount",
    "BT-115": "PayableAmount",
}


def read_ubl(root: etree._Element) -> neutral.Invoice:
    """Return the neutral form of a UBL Invoice or CreditNote root."""
    reading = Reading(NAMESPACES)
    credit = root.tag == CREDIT_NOTE
    terms = _terms(reading, root, credit)
    seller_node = reading.only(root, "cac:AccountingSupplierParty/cac:Party", "BT-27")
    buyer_node = reading.only(root, "cac:AccountingCustomerParty/cac:Party", "BT-44")
    payee_node = reading.only(root, "cac:PayeeParty", "BT-59")
    tax_node = reading.only(root, "cac:TaxRepresentativeParty", "BT-62")
    seller, buyer = _party(reading, seller_node, "BT-34"), _party(reading, buyer_node, "BT-49")
    payee = _payee(reading, payee_node) if payee_node is not None else None
    for term, said in neutral.party_terms(seller, buyer, payee).items():
        if said:
            terms[term] = said
    totals_node = reading.only(root, "cac:LegalMonetaryTotal", "BT-115")
    if any(node.get("currencyID") != terms.get("BT-5") for node in reading.all(totals_node, "*")):
        reading.faults.append(Problem("BT-115", "currency_differs", OTHER_CURRENCY, {"element": "LegalMonetaryTotal"}))
    for term, name in TOTALS.items():
        if said := reading.only_text(totals_node, f"cbc:{name}", term):
            terms[term] = said
    accounts = reading.texts(root, "cac:PaymentMeans/cac:PayeeFinancialAccount/cbc:ID")
    if accounts:
        terms["BT-84"] = accounts[0]
    _document_codes(reading, root)
    check_form(reading, root)
    syntax = "ubl_creditnote" if credit else "ubl_invoice"
    reading.faults += structure_faults(root, syntax)
    line_path = "cac:CreditNoteLine" if credit else "cac:InvoiceLine"
    return neutral.Invoice(
        syntax=syntax,
        terms=terms,
        seller=seller,
        buyer=buyer,
        payee=payee,
        tax_representative=_party(reading, tax_node, "BT-62") if tax_node is not None else None,
        deliver_to=_deliver_to(reading, root),
        lines=tuple(_line(reading, node, credit) for node in reading.all(root, line_path)),
        charges=tuple(read_charge(reading, node, CHARGE) for node in reading.all(root, "cac:AllowanceCharge")),
        vat_rows=tuple(
            read_vat_row(reading, node, VAT_ROW) for node in reading.all(root, "cac:TaxTotal/cac:TaxSubtotal")
        ),
        vat_totals=tuple(
            total for node in reading.all(root, "cac:TaxTotal") if (total := _vat_total(reading, node)) is not None
        ),
        accounts=accounts,
        means=tuple(_means(reading, node) for node in reading.all(root, "cac:PaymentMeans")),
        period=_period(reading, reading.first(root, "cac:InvoicePeriod")),
        preceding=_preceding(reading, root),
        notes=reading.texts(root, "cbc:Note"),
        texts=tuple(said for path in TEXTS for said in reading.texts(root, path)),
        due_dates=tuple(said for path in DUE_DATES for said in reading.texts(root, path)),
        prepaid_elsewhere=reading.texts(root, "cac:PrepaidPayment/cbc:PaidAmount"),
        marks=("copy",) if reading.text(root, "cbc:CopyIndicator") in TRUE else (),
        codes=tuple(reading.codes),
        syntax_faults=tuple(reading.faults),
    )


def _terms(reading: Reading, root: etree._Element, credit: bool) -> dict[str, str]:
    terms: dict[str, str] = {}
    for term, path in HEADER.items():
        said = reading.only_text(root, path, term) if term in ONCE else reading.text(root, path)
        if said:
            terms[term] = said
    kind = reading.only_text(root, "cbc:CreditNoteTypeCode" if credit else "cbc:InvoiceTypeCode", "BT-3")
    due = reading.only_text(root, "cbc:DueDate", "BT-9") or reading.text(root, "cac:PaymentMeans/cbc:PaymentDueDate")
    for term, said in (("BT-3", kind), ("BT-9", due)):
        if said:
            terms[term] = said
    reading.code("BR-CL-01/creditnote" if credit else "BR-CL-01/invoice", "BT-3", kind)
    reading.code("BR-CL-04", "BT-5", terms.get("BT-5"))
    reading.code("BR-CL-05", "BT-6", terms.get("BT-6"))
    reading.code("BR-CL-06/ubl", "BT-8", terms.get("BT-8"))
    return terms


def _party(reading: Reading, node: etree._Element | None, endpoint_term: str) -> neutral.Party:
    vat = tax = None
    for scheme in reading.all(node, "cac:PartyTaxScheme"):
        said = reading.text(scheme, "cbc:CompanyID")
        if (reading.text(scheme, "cac:TaxScheme/cbc:ID") or "").upper() == "VAT":
            vat = vat or said
        else:
            tax = tax or said
    address = reading.first(node, "cac:PostalAddress")
    legal_name = reading.only_text(node, "cac:PartyLegalEntity/cbc:RegistrationName", "BT-27/BT-44")
    trading_name = reading.text(node, "cac:PartyName/cbc:Name")
    representative = endpoint_term == "BT-62"
    return neutral.Party(
        name=trading_name if representative else legal_name,
        trading_name=trading_name,
        identifiers=_identifiers(reading, node),
        legal_id=reading.identifier(node, "cac:PartyLegalEntity/cbc:CompanyID", "BR-CL-11", "BT-30/BT-47"),
        vat_id=vat,
        tax_id=tax,
        endpoint=reading.identifier(node, "cbc:EndpointID", "BR-CL-25", endpoint_term),
        has_address=address is not None,
        country=reading.code("BR-CL-14", "country", reading.text(address, "cac:Country/cbc:IdentificationCode")),
        city=reading.text(address, "cbc:CityName"),
        postcode=reading.text(address, "cbc:PostalZone"),
    )


def _identifiers(reading: Reading, node: etree._Element | None) -> tuple[neutral.Identifier, ...]:
    found = []
    for element in reading.all(node, "cac:PartyIdentification/cbc:ID"):
        creditor = (element.get("schemeID") or "").strip() == "SEPA"
        said = reading.as_identifier(element, None if creditor else "BR-CL-10", "BT-29/BT-46")
        if said and not creditor:  # the creditor identifier (BT-90) names a mandate, not a party
            found.append(said)
    return tuple(found)


def _payee(reading: Reading, node: etree._Element) -> neutral.Party:
    return neutral.Party(
        name=reading.text(node, "cac:PartyName/cbc:Name"),
        identifiers=_identifiers(reading, node),
        legal_id=reading.identifier(node, "cac:PartyLegalEntity/cbc:CompanyID", "BR-CL-11", "BT-61"),
    )


def _deliver_to(reading: Reading, root: etree._Element) -> neutral.Party | None:
    place = reading.first(root, "cac:Delivery/cac:DeliveryLocation")
    if place is None:
        return None
    reading.identifier(place, "cbc:ID", "BR-CL-26", "BT-71")
    address = reading.first(place, "cac:Address")
    country = reading.code("BR-CL-14", "BT-80", reading.text(address, "cac:Country/cbc:IdentificationCode"))
    return neutral.Party(has_address=address is not None, country=country)


def _vat_total(reading: Reading, node: etree._Element) -> neutral.VatTotal | None:
    found = reading.first(node, "cbc:TaxAmount")
    said = content(found)
    if found is None or said is None:
        return None
    rows = list(reading.all(node, "cac:TaxSubtotal"))
    taxes = tuple(reading.text(row, "cbc:TaxAmount") for row in rows) if rows else None
    return neutral.VatTotal((found.get("currencyID") or "").strip() or None, said, taxes)


def _preceding(reading: Reading, root: etree._Element) -> tuple[neutral.Preceding, ...]:
    return tuple(
        neutral.Preceding(number, day(reading.text(node, "cbc:IssueDate")))
        for node in reading.all(root, "cac:BillingReference/cac:InvoiceDocumentReference")
        if (number := reading.text(node, "cbc:ID"))
    )


def _means(reading: Reading, node: etree._Element) -> neutral.Means:
    code = reading.code("BR-CL-16", "BT-81", reading.text(node, "cbc:PaymentMeansCode"))
    account = reading.first(node, "cac:PayeeFinancialAccount")
    return neutral.Means(code, account is not None, reading.text(account, "cbc:ID"))


def _period(reading: Reading, node: etree._Element | None) -> tuple[str | None, str | None] | None:
    if node is None:
        return None
    return reading.text(node, "cbc:StartDate"), reading.text(node, "cbc:EndDate")


def _line(reading: Reading, node: etree._Element, credit: bool) -> neutral.Line:
    quantity = reading.first(node, "cbc:CreditedQuantity" if credit else "cbc:InvoicedQuantity")
    unit = (quantity.get("unitCode") or "").strip() or None if quantity is not None else None
    category, rate = read_tax(reading, node, LINE_TAX, "BR-CL-18", "BT-151")
    base = reading.first(node, "cac:Price/cbc:BaseQuantity")
    if base is not None:
        reading.code("BR-CL-23", "BT-150", base.get("unitCode"))
    reading.identifier(node, "cac:Item/cac:StandardItemIdentification/cbc:ID", "BR-CL-21", "BT-157")
    reading.code("BR-CL-15", "BT-159", reading.text(node, "cac:Item/cac:OriginCountry/cbc:IdentificationCode"))
    for found in reading.all(node, "cac:Item/cac:CommodityClassification/cbc:ItemClassificationCode"):
        reading.code("BR-CL-13", "BT-158", found.get("listID"))
    return neutral.Line(
        id=reading.text(node, "cbc:ID"),
        name=reading.text(node, "cac:Item/cbc:Name"),
        quantity=content(quantity),
        unit=reading.code("BR-CL-23", "BT-130", unit),
        net=reading.text(node, "cbc:LineExtensionAmount"),
        price=reading.text(node, "cac:Price/cbc:PriceAmount"),
        price_base=content(base),
        gross_price=reading.text(node, "cac:Price/cac:AllowanceCharge/cbc:BaseAmount"),
        category=category,
        rate=rate,
        seller_item=reading.text(node, "cac:Item/cac:SellersItemIdentification/cbc:ID"),
        charges=tuple(read_charge(reading, found, CHARGE) for found in reading.all(node, "cac:AllowanceCharge")),
        period=_period(reading, reading.first(node, "cac:InvoicePeriod")),
    )


def _document_codes(reading: Reading, root: etree._Element) -> None:
    own = {content(root.find(f"cbc:{name}", NAMESPACES)) for name in ("DocumentCurrencyCode", "TaxCurrencyCode")}
    currencies: dict[str, str] = {}  # each currency met, and an element that is in it
    for element in root.iter(f"{{{NAMESPACES['cbc']}}}*"):
        if not element.attrib:
            continue
        if (currency := element.get("currencyID")) is not None:
            currencies.setdefault(currency, etree.QName(element).localname)
        if mime := element.get("mimeCode"):
            reading.code("BR-CL-24", "BT-125", mime)
    for currency, name in currencies.items():
        reading.code("BR-CL-03", "currencyID", currency)
        if currency not in own:  # PEPPOL-EN16931-R051
            reading.faults.append(Problem(name, "other_currency", OTHER_CURRENCY, {"element": name}))
