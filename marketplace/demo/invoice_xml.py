"""Write an invoice as UBL 2.1 or as cross industry invoice, valid by EN 16931. The other direction of
the readers."""

from datetime import date

from lxml import etree

from marketplace.demo.companies import Company
from marketplace.demo.invoice_specs import EXEMPTIONS, InvoiceSpec, LineSpec, amount

CAC = "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2"
CBC = "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2"
UBL = "urn:oasis:names:specification:ubl:schema:xsd:"
RSM = "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100"
RAM = "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100"
UDT = "urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100"
EN16931 = "urn:cen.eu:en16931:2017"
PEPPOL = f"{EN16931}#compliant#urn:fdc:peppol.eu:2017:poacc:billing:3.0"


class Pen:
    """Writes elements below one node by prefixed path: `pen("cac:Party/cbc:Name", "text",
    schemeID="0088")`."""

    def __init__(self, node: etree._Element) -> None:
        self.node = node

    def __call__(self, path: str, text: str | None = None, **attributes: str) -> "Pen":
        """Append the path's elements, all new, and return a pen at the last one."""
        node = self.node
        for step in path.split("/"):
            prefix, name = step.split(":")
            node = etree.SubElement(node, f"{{{self.node.nsmap[prefix]}}}{name}")
        node.text = text
        for key, value in attributes.items():
            if value:
                node.set(key, value)
        return Pen(node)

    def document(self) -> bytes:
        """Return the whole document as indented UTF-8."""
        return bytes(etree.tostring(self.node, xml_declaration=True, encoding="UTF-8", pretty_print=True))


# -- UBL
# ----------------------------------------------------------------------------------------------------------


def ubl(spec: InvoiceSpec) -> bytes:
    """Return the invoice (or credit note) as UBL 2.1, customised for Peppol BIS Billing 3."""
    kind = "CreditNote" if spec.is_credit_note else "Invoice"
    space = f"{UBL}{kind}-2"
    pen = Pen(etree.Element(f"{{{space}}}{kind}", nsmap={None: space, "cac": CAC, "cbc": CBC}))
    pen("cbc:CustomizationID", PEPPOL)
    pen("cbc:ProfileID", "urn:fdc:peppol.eu:2017:poacc:billing:01:1.0")
    pen("cbc:ID", spec.number)
    pen("cbc:IssueDate", spec.issued_on.isoformat())
    if not spec.is_credit_note:
        pen("cbc:DueDate", spec.due_on.isoformat())
    pen(f"cbc:{kind}TypeCode", spec.type_code)
    if spec.note:
        pen("cbc:Note", spec.note)
    pen("cbc:DocumentCurrencyCode", spec.currency)
    pen("cbc:BuyerReference", spec.purchase_order or "accounts payable")
    if spec.purchase_order:
        pen("cac:OrderReference/cbc:ID", spec.purchase_order)
    if spec.preceding:
        pen("cac:BillingReference/cac:InvoiceDocumentReference/cbc:ID", spec.preceding)
    if spec.contract:
        pen("cac:ContractDocumentReference/cbc:ID", spec.contract)
    _ubl_party(pen("cac:AccountingSupplierParty/cac:Party"), spec.seller)
    _ubl_party(pen("cac:AccountingCustomerParty/cac:Party"), spec.buyer)
    if spec.payee:
        payee = pen("cac:PayeeParty")
        payee("cac:PartyName/cbc:Name", spec.payee.name)
        payee("cac:PartyLegalEntity/cbc:CompanyID", spec.payee.legal_id, schemeID=spec.payee.scheme)
    if spec.delivered_on:
        pen("cac:Delivery/cbc:ActualDeliveryDate", spec.delivered_on.isoformat())
    means = pen("cac:PaymentMeans")
    means("cbc:PaymentMeansCode", "30")
    means("cbc:PaymentID", spec.number)
    account = means("cac:PayeeFinancialAccount")
    account("cbc:ID", (spec.payee or spec.seller).iban)
    account("cbc:Name", (spec.payee or spec.seller).name)
    pen("cac:PaymentTerms/cbc:Note", terms(spec))
    _ubl_sums(pen, spec)
    for index, line in enumerate(spec.lines, start=1):
        _ubl_line(pen(f"cac:{kind}Line"), index, line, spec)
    return pen.document()


def terms(spec: InvoiceSpec) -> str:
    """Return the payment terms in words."""
    return f"Payment within {(spec.due_on - spec.issued_on).days} days, by {spec.due_on.isoformat()}."


def _ubl_party(pen: Pen, company: Company) -> None:
    pen("cbc:EndpointID", f"invoices@{company.name.split()[0].lower()}.example", schemeID="EM")
    pen("cac:PartyName/cbc:Name", company.name)
    address = pen("cac:PostalAddress")
    address("cbc:StreetName", company.street)
    address("cbc:CityName", company.city)
    address("cbc:PostalZone", company.postcode)
    address("cac:Country/cbc:IdentificationCode", company.country)
    if company.vat_id:
        tax = pen("cac:PartyTaxScheme")
        tax("cbc:CompanyID", company.vat_id)
        tax("cac:TaxScheme/cbc:ID", "VAT")
    entity = pen("cac:PartyLegalEntity")
    entity("cbc:RegistrationName", company.name)
    entity("cbc:CompanyID", company.legal_id, schemeID=company.scheme)


def _ubl_sums(pen: Pen, spec: InvoiceSpec) -> None:
    total = pen("cac:TaxTotal")
    total("cbc:TaxAmount", amount(spec.tax_minor), currencyID=spec.currency)
    for row in spec.vat:
        part = total("cac:TaxSubtotal")
        part("cbc:TaxableAmount", amount(row.basis_minor), currencyID=spec.currency)
        part("cbc:TaxAmount", amount(row.tax_minor), currencyID=spec.currency)
        category = part("cac:TaxCategory")
        category("cbc:ID", row.category)
        category("cbc:Percent", str(row.percent))
        if row.category in EXEMPTIONS:
            category("cbc:TaxExemptionReasonCode", EXEMPTIONS[row.category][0])
            category("cbc:TaxExemptionReason", EXEMPTIONS[row.category][1])
        category("cac:TaxScheme/cbc:ID", "VAT")
    sums = pen("cac:LegalMonetaryTotal")
    for name, minor in (
        ("LineExtensionAmount", spec.net_minor),
        ("TaxExclusiveAmount", spec.net_minor),
        ("TaxInclusiveAmount", spec.total_minor),
        ("PrepaidAmount", spec.prepaid_minor),
        ("PayableAmount", spec.due_minor),
    ):
        sums(f"cbc:{name}", amount(minor), currencyID=spec.currency)


def _ubl_line(pen: Pen, index: int, line: LineSpec, spec: InvoiceSpec) -> None:
    pen("cbc:ID", str(index))
    quantity = "CreditedQuantity" if spec.is_credit_note else "InvoicedQuantity"
    pen(f"cbc:{quantity}", str(line.quantity), unitCode=line.unit)
    pen("cbc:LineExtensionAmount", amount(line.net_minor), currencyID=spec.currency)
    item = pen("cac:Item")
    item("cbc:Name", line.name)
    category = item("cac:ClassifiedTaxCategory")
    category("cbc:ID", line.vat_category)
    category("cbc:Percent", str(line.vat_percent))
    category("cac:TaxScheme/cbc:ID", "VAT")
    pen("cac:Price/cbc:PriceAmount", amount(line.price_minor), currencyID=spec.currency)


# -- CII
# ----------------------------------------------------------------------------------------------------------


def cii(spec: InvoiceSpec) -> bytes:
    """Return the invoice as UN/CEFACT cross industry invoice, profile EN 16931 (as Factur-X embeds it)."""
    pen = Pen(etree.Element(f"{{{RSM}}}CrossIndustryInvoice", nsmap={"rsm": RSM, "ram": RAM, "udt": UDT}))
    context = pen("rsm:ExchangedDocumentContext")
    context("ram:GuidelineSpecifiedDocumentContextParameter/ram:ID", EN16931)
    head = pen("rsm:ExchangedDocument")
    head("ram:ID", spec.number)
    head("ram:TypeCode", spec.type_code)
    _day(head, "ram:IssueDateTime", spec.issued_on)
    if spec.note:
        head("ram:IncludedNote/ram:Content", spec.note)
    trade = pen("rsm:SupplyChainTradeTransaction")
    for index, line in enumerate(spec.lines, start=1):
        _cii_line(trade("ram:IncludedSupplyChainTradeLineItem"), index, line)
    agreement = trade("ram:ApplicableHeaderTradeAgreement")
    agreement("ram:BuyerReference", spec.purchase_order or "accounts payable")
    _cii_party(agreement("ram:SellerTradeParty"), spec.seller)
    _cii_party(agreement("ram:BuyerTradeParty"), spec.buyer)
    if spec.purchase_order:
        agreement("ram:BuyerOrderReferencedDocument/ram:IssuerAssignedID", spec.purchase_order)
    if spec.contract:
        agreement("ram:ContractReferencedDocument/ram:IssuerAssignedID", spec.contract)
    delivery = trade("ram:ApplicableHeaderTradeDelivery")
    if spec.delivered_on:
        _day(delivery("ram:ActualDeliverySupplyChainEvent"), "ram:OccurrenceDateTime", spec.delivered_on)
    _cii_settlement(trade("ram:ApplicableHeaderTradeSettlement"), spec)
    return pen.document()


def _day(pen: Pen, path: str, day: date) -> None:
    pen(f"{path}/udt:DateTimeString", f"{day:%Y%m%d}", format="102")


def _cii_party(pen: Pen, company: Company) -> None:
    pen("ram:Name", company.name)
    pen("ram:SpecifiedLegalOrganization/ram:ID", company.legal_id, schemeID=company.scheme)
    address = pen("ram:PostalTradeAddress")
    address("ram:PostcodeCode", company.postcode)
    address("ram:LineOne", company.street)
    address("ram:CityName", company.city)
    address("ram:CountryID", company.country)
    endpoint = f"invoices@{company.name.split()[0].lower()}.example"
    pen("ram:URIUniversalCommunication/ram:URIID", endpoint, schemeID="EM")
    if company.vat_id:
        pen("ram:SpecifiedTaxRegistration/ram:ID", company.vat_id, schemeID="VA")


def _cii_line(pen: Pen, index: int, line: LineSpec) -> None:
    pen("ram:AssociatedDocumentLineDocument/ram:LineID", str(index))
    pen("ram:SpecifiedTradeProduct/ram:Name", line.name)
    price = pen("ram:SpecifiedLineTradeAgreement/ram:NetPriceProductTradePrice")
    price("ram:ChargeAmount", amount(line.price_minor))
    pen("ram:SpecifiedLineTradeDelivery/ram:BilledQuantity", str(line.quantity), unitCode=line.unit)
    settled = pen("ram:SpecifiedLineTradeSettlement")
    tax = settled("ram:ApplicableTradeTax")
    tax("ram:TypeCode", "VAT")
    tax("ram:CategoryCode", line.vat_category)
    tax("ram:RateApplicablePercent", str(line.vat_percent))
    summation = "ram:SpecifiedTradeSettlementLineMonetarySummation/ram:LineTotalAmount"
    settled(summation, amount(line.net_minor))


def _cii_settlement(pen: Pen, spec: InvoiceSpec) -> None:
    pen("ram:PaymentReference", spec.number)
    pen("ram:InvoiceCurrencyCode", spec.currency)
    if spec.payee:
        payee = pen("ram:PayeeTradeParty")
        payee("ram:Name", spec.payee.name)
        payee("ram:SpecifiedLegalOrganization/ram:ID", spec.payee.legal_id, schemeID=spec.payee.scheme)
    means = pen("ram:SpecifiedTradeSettlementPaymentMeans")
    means("ram:TypeCode", "30")
    means("ram:PayeePartyCreditorFinancialAccount/ram:IBANID", (spec.payee or spec.seller).iban)
    for row in spec.vat:
        tax = pen("ram:ApplicableTradeTax")
        tax("ram:CalculatedAmount", amount(row.tax_minor))
        tax("ram:TypeCode", "VAT")
        if row.category in EXEMPTIONS:
            tax("ram:ExemptionReason", EXEMPTIONS[row.category][1])
        tax("ram:BasisAmount", amount(row.basis_minor))
        tax("ram:CategoryCode", row.category)
        if row.category in EXEMPTIONS:
            tax("ram:ExemptionReasonCode", EXEMPTIONS[row.category][0])
        tax("ram:RateApplicablePercent", str(row.percent))
    paid_by = pen("ram:SpecifiedTradePaymentTerms")
    paid_by("ram:Description", terms(spec))
    _day(paid_by, "ram:DueDateDateTime", spec.due_on)
    sums = pen("ram:SpecifiedTradeSettlementHeaderMonetarySummation")
    sums("ram:LineTotalAmount", amount(spec.net_minor))
    sums("ram:TaxBasisTotalAmount", amount(spec.net_minor))
    sums("ram:TaxTotalAmount", amount(spec.tax_minor), currencyID=spec.currency)
    sums("ram:GrandTotalAmount", amount(spec.total_minor))
    sums("ram:TotalPrepaidAmount", amount(spec.prepaid_minor))
    sums("ram:DuePayableAmount", amount(spec.due_minor))
    if spec.preceding:
        pen("ram:InvoiceReferencedDocument/ram:IssuerAssignedID", spec.preceding)
