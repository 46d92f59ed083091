"""Read a UN/CEFACT cross industry invoice (CII D16B: Factur-X, ZUGFeRD 2, XRechnung) into the neutral form.

ZUGFeRD 1 is the same tree under older names: they are changed first. Source: CEN/TS 16931-3-3.
"""

import re
from collections.abc import Iterator

from lxml import etree

from marketplace.receivables.einvoice import neutral
from marketplace.receivables.einvoice.cii_form import check_form
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
from marketplace.receivables.einvoice.xml_reading import Reading, content

RSM = "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100"
RAM = "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100"
UDT = "urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100"
QDT = "urn:un:unece:uncefact:data:standard:QualifiedDataType:100"
NAMESPACES = {"rsm": RSM, "ram": RAM, "udt": UDT, "qdt": QDT}
CII = f"{{{RSM}}}CrossIndustryInvoice"
ZUGFERD_1 = "{urn:ferd:CrossIndustryDocument:invoice:1p0}CrossIndustryDocument"

AGREEMENT = "rsm:SupplyChainTradeTransaction/ram:ApplicableHeaderTradeAgreement"
DELIVERY = "rsm:SupplyChainTradeTransaction/ram:ApplicableHeaderTradeDelivery"
SETTLEMENT = "rsm:SupplyChainTradeTransaction/ram:ApplicableHeaderTradeSettlement"
SUMMATION = f"{SETTLEMENT}/ram:SpecifiedTradeSettlementHeaderMonetarySummation"
HEADER = {
    "BT-1": "rsm:ExchangedDocument/ram:ID",
    "BT-3": "rsm:ExchangedDocument/ram:TypeCode",
    "BT-5": f"{SETTLEMENT}/ram:InvoiceCurrencyCode",
    "BT-6": f"{SETTLEMENT}/ram:TaxCurrencyCode",
    "BT-8": f"{SETTLEMENT}/ram:ApplicableTradeTax/ram:DueDateTypeCode",
    "BT-10": f"{AGREEMENT}/ram:BuyerReference",
    "BT-11": f"{AGREEMENT}/ram:SpecifiedProcuringProject/ram:ID",
    "BT-12": f"{AGREEMENT}/ram:ContractReferencedDocument/ram:IssuerAssignedID",
    "BT-13": f"{AGREEMENT}/ram:BuyerOrderReferencedDocument/ram:IssuerAssignedID",
    "BT-14": f"{AGREEMENT}/ram:SellerOrderReferencedDocument/ram:IssuerAssignedID",
    "BT-20": f"{SETTLEMENT}/ram:SpecifiedTradePaymentTerms/ram:Description",
    "BT-23": "rsm:ExchangedDocumentContext/ram:BusinessProcessSpecifiedDocumentContextParameter/ram:ID",
    "BT-24": "rsm:ExchangedDocumentContext/ram:GuidelineSpecifiedDocumentContextParameter/ram:ID",
    "BT-81": f"{SETTLEMENT}/ram:SpecifiedTradeSettlementPaymentMeans/ram:TypeCode",
    "BT-83": f"{SETTLEMENT}/ram:PaymentReference",
    "BT-89": f"{SETTLEMENT}/ram:SpecifiedTradePaymentTerms/ram:DirectDebitMandateID",
    "BT-106": f"{SUMMATION}/ram:LineTotalAmount",
    "BT-107": f"{SUMMATION}/ram:AllowanceTotalAmount",
    "BT-108": f"{SUMMATION}/ram:ChargeTotalAmount",
    "BT-109": f"{SUMMATION}/ram:TaxBasisTotalAmount",
    "BT-112": f"{SUMMATION}/ram:GrandTotalAmount",
    "BT-113": f"{SUMMATION}/ram:TotalPrepaidAmount",
    "BT-114": f"{SUMMATION}/ram:RoundingAmount",
    "BT-115": f"{SUMMATION}/ram:DuePayableAmount",
}
DATES = {
    "BT-2": "rsm:ExchangedDocument/ram:IssueDateTime/udt:DateTimeString",
    "BT-7": f"{SETTLEMENT}/ram:ApplicableTradeTax/ram:TaxPointDate/udt:DateString",
    "BT-9": f"{SETTLEMENT}/ram:SpecifiedTradePaymentTerms/ram:DueDateDateTime/udt:DateTimeString",
    "BT-72": f"{DELIVERY}/ram:ActualDeliverySupplyChainEvent/ram:OccurrenceDateTime/udt:DateTimeString",
}
ONCE = {
    "BT-1",
    "BT-2",
    "BT-3",
    "BT-5",
    "BT-24",
    "BT-106",
    "BT-107",
    "BT-108",
    "BT-109",
    "BT-112",
    "BT-113",
    "BT-114",
    "BT-115",
}
MODERN_NAMES = {
    "CrossIndustryDocument": "CrossIndustryInvoice",
    "SpecifiedExchangedDocumentContext": "ExchangedDocumentContext",
    "HeaderExchangedDocument": "ExchangedDocument",
    "SpecifiedSupplyChainTradeTransaction": "SupplyChainTradeTransaction",
    "ApplicableSupplyChainTradeAgreement": "ApplicableHeaderTradeAgreement",
    "ApplicableSupplyChainTradeDelivery": "ApplicableHeaderTradeDelivery",
    "ApplicableSupplyChainTradeSettlement": "ApplicableHeaderTradeSettlement",
    "SpecifiedSupplyChainTradeAgreement": "SpecifiedLineTradeAgreement",
    "SpecifiedSupplyChainTradeDelivery": "SpecifiedLineTradeDelivery",
    "SpecifiedSupplyChainTradeSettlement": "SpecifiedLineTradeSettlement",
    "ApplicablePercent": "RateApplicablePercent",
}
TAX = TaxPaths(
    "ram:CategoryTradeTax/ram:CategoryCode",
    "ram:CategoryTradeTax/ram:RateApplicablePercent",
    "ram:CategoryTradeTax/ram:TypeCode",
)
CHARGE = ChargePaths(
    indicator="ram:ChargeIndicator/udt:Indicator",
    amount="ram:ActualAmount",
    base="ram:BasisAmount",
    percent="ram:CalculationPercent",
    reason="ram:Reason",
    reason_code="ram:ReasonCode",
    tax=TAX,
)
VAT_ROW = VatRowPaths(
    basis="ram:BasisAmount",
    amount="ram:CalculatedAmount",
    reason="ram:ExemptionReason",
    reason_code="ram:ExemptionReasonCode",
    tax=TaxPaths("ram:CategoryCode", "ram:RateApplicablePercent", "ram:TypeCode"),
)
LINE_TAX = TaxPaths(
    *(
        f"ram:SpecifiedLineTradeSettlement/ram:ApplicableTradeTax/{name}"
        for name in ("ram:CategoryCode", "ram:RateApplicablePercent", "ram:TypeCode")
    )
)
# Free texts in which a seller says that the claim is assigned: notes, terms, references, the account's holder.
MEANS = f"{SETTLEMENT}/ram:SpecifiedTradeSettlementPaymentMeans"
TEXTS = (
    "rsm:ExchangedDocument/ram:IncludedNote/ram:Content",
    f"{SETTLEMENT}/ram:SpecifiedTradePaymentTerms/ram:Description",
    f"{SETTLEMENT}/ram:PaymentReference",
    f"{MEANS}/ram:Information",
    f"{MEANS}/ram:PayeePartyCreditorFinancialAccount/ram:AccountName",
    f"{AGREEMENT}/ram:AdditionalReferencedDocument/ram:Name",
)
FACTORING = ("FactoringAgreementReferencedDocument", "FactoringListReferencedDocument")
ADVANCE = f"{SETTLEMENT}/ram:SpecifiedAdvancePayment/ram:PaidAmount"


def modernise(root: etree._Element) -> None:
    """Give a ZUGFeRD 1 tree the names of today, in place. A text under an unknown name stays where it is."""
    spaces = {
        "urn:ferd:CrossIndustryDocument:invoice:1p0": RSM,
        RAM.replace(":100", ":12"): RAM,
        UDT.replace(":100", ":15"): UDT,
        QDT.replace(":100", ":12"): QDT,
    }
    for element in root.iter("{*}*"):
        name = etree.QName(element)
        local = MODERN_NAMES.get(name.localname, name.localname)
        if local == "SpecifiedTradeSettlementMonetarySummation":
            parent = element.getparent()
            line = parent is not None and etree.QName(parent).localname == "SpecifiedLineTradeSettlement"
            local = f"SpecifiedTradeSettlement{'Line' if line else 'Header'}MonetarySummation"
        element.tag = f"{{{spaces.get(name.namespace or '', name.namespace)}}}{local}"


def read_cii(root: etree._Element) -> neutral.Invoice:
    """Return the neutral form of a CII root, or of a ZUGFeRD 1 root (which is changed in place)."""
    legacy = root.tag == ZUGFERD_1
    if legacy:
        modernise(root)
    reading = Reading(NAMESPACES)
    terms = _terms(reading, root)
    seller = _party(reading, reading.only(root, f"{AGREEMENT}/ram:SellerTradeParty", "BT-27"), "BT-34")
    buyer = _party(reading, reading.only(root, f"{AGREEMENT}/ram:BuyerTradeParty", "BT-44"), "BT-49")
    payee_node = reading.only(root, f"{SETTLEMENT}/ram:PayeeTradeParty", "BT-59")
    payee = _party(reading, payee_node, "BT-60") if payee_node is not None else None
    tax_node = reading.first(root, f"{AGREEMENT}/ram:SellerTaxRepresentativeTradeParty")
    ship_node = reading.first(root, f"{DELIVERY}/ram:ShipToTradeParty")
    for term, said in neutral.party_terms(seller, buyer, payee).items():
        if said:
            terms[term] = said
    means = tuple(_means(reading, node) for node in reading.all(root, MEANS))
    accounts = tuple(one.account for one in means if one.account)
    if accounts:
        terms["BT-84"] = accounts[0]
    check_form(reading, root)
    if not legacy:
        reading.faults += structure_faults(root, "cii")
    rows = reading.all(root, f"{SETTLEMENT}/ram:ApplicableTradeTax")
    charges = reading.all(root, f"{SETTLEMENT}/ram:SpecifiedTradeAllowanceCharge")
    lines = reading.all(root, "rsm:SupplyChainTradeTransaction/ram:IncludedSupplyChainTradeLineItem")
    return neutral.Invoice(
        syntax="zugferd1" if legacy else "cii",
        terms=terms,
        seller=seller,
        buyer=buyer,
        payee=payee,
        tax_representative=_party(reading, tax_node, "BT-62") if tax_node is not None else None,
        deliver_to=_party(reading, ship_node, "BT-71") if ship_node is not None else None,
        lines=tuple(_line(reading, node) for node in lines),
        charges=tuple(read_charge(reading, node, CHARGE) for node in charges),
        vat_rows=tuple(read_vat_row(reading, node, VAT_ROW) for node in rows),
        vat_totals=tuple(_vat_totals(reading, root, terms.get("BT-5"))),
        accounts=accounts,
        means=means,
        period=_period(reading, reading.first(root, f"{SETTLEMENT}/ram:BillingSpecifiedPeriod")),
        preceding=_preceding(reading, root),
        notes=reading.texts(root, "rsm:ExchangedDocument/ram:IncludedNote/ram:Content"),
        texts=tuple(said for path in TEXTS for said in reading.texts(root, path)),
        due_dates=tuple(said for text in reading.texts(root, DATES["BT-9"]) if (said := _iso(text))),
        prepaid_elsewhere=reading.texts(root, ADVANCE),
        marks=_marks(reading, root),
        codes=tuple(reading.codes),
        syntax_faults=tuple(reading.faults),
    )


def _iso(text: str | None, written: str | None = "102") -> str | None:
    """Return a date of format 102 as yyyy-mm-dd; any other text, or one of another format, as it is."""
    if text and written == "102" and re.fullmatch(r"\d{8}", text, re.ASCII):
        return f"{text[:4]}-{text[4:6]}-{text[6:]}"
    return text


def _terms(reading: Reading, root: etree._Element) -> dict[str, str]:
    terms: dict[str, str] = {}
    for term, path in (HEADER | DATES).items():
        said = reading.only_text(root, path, term) if term in ONCE else reading.text(root, path)
        said = _iso(said) if term in DATES else said
        if said:
            terms[term] = said
    reading.code("BR-CL-01", "BT-3", terms.get("BT-3"))
    reading.code("BR-CL-04", "BT-5", terms.get("BT-5"))
    reading.code("BR-CL-05", "BT-6", terms.get("BT-6"))
    reading.code("BR-CL-06/cii", "BT-8", terms.get("BT-8"))
    return terms


def _party(reading: Reading, node: etree._Element | None, endpoint_term: str) -> neutral.Party:
    registrations: dict[str | None, str] = {}
    for found in reading.all(node, "ram:SpecifiedTaxRegistration/ram:ID"):
        said = content(found)
        if said:
            registrations.setdefault(found.get("schemeID"), said)
    identifiers: list[neutral.Identifier] = []
    for path, rule in (("ram:ID", "BR-CL-11"), ("ram:GlobalID", "BR-CL-10")):
        for found in reading.all(node, path):
            if said_id := reading.as_identifier(found, rule, "BT-29/BT-46"):
                identifiers.append(said_id)
    address = reading.first(node, "ram:PostalTradeAddress")
    return neutral.Party(
        name=reading.only_text(node, "ram:Name", "BT-27/BT-44"),
        identifiers=tuple(identifiers),
        trading_name=reading.text(node, "ram:SpecifiedLegalOrganization/ram:TradingBusinessName"),
        legal_id=reading.identifier(node, "ram:SpecifiedLegalOrganization/ram:ID", "BR-CL-11", "BT-30/BT-47"),
        vat_id=registrations.get("VA"),
        tax_id=registrations.get("FC"),
        endpoint=reading.identifier(node, "ram:URIUniversalCommunication/ram:URIID", "BR-CL-25", endpoint_term),
        has_address=address is not None,
        country=reading.code("BR-CL-14", "country", reading.text(address, "ram:CountryID")),
        city=reading.text(address, "ram:CityName"),
        postcode=reading.text(address, "ram:PostcodeCode"),
    )


def _marks(reading: Reading, root: etree._Element) -> tuple[str, ...]:
    copied = reading.text(root, "rsm:ExchangedDocument/ram:CopyIndicator/udt:Indicator") in TRUE
    factored = any(reading.first(root, f"{SETTLEMENT}/ram:{name}") is not None for name in FACTORING)
    return (("copy",) if copied else ()) + (("factoring",) if factored else ())


def _preceding(reading: Reading, root: etree._Element) -> tuple[neutral.Preceding, ...]:
    return tuple(
        neutral.Preceding(number, day(_iso(reading.text(node, "ram:FormattedIssueDateTime/qdt:DateTimeString"))))
        for node in reading.all(root, f"{SETTLEMENT}/ram:InvoiceReferencedDocument")
        if (number := reading.text(node, "ram:IssuerAssignedID"))
    )


def _means(reading: Reading, node: etree._Element) -> neutral.Means:
    code = reading.code("BR-CL-16", "BT-81", reading.text(node, "ram:TypeCode"))
    account = reading.first(node, "ram:PayeePartyCreditorFinancialAccount")
    return neutral.Means(
        code, account is not None, reading.text(account, "ram:IBANID") or reading.text(account, "ram:ProprietaryID")
    )


def _vat_totals(reading: Reading, root: etree._Element, currency: str | None) -> Iterator[neutral.VatTotal]:
    """Yield the VAT totals; the breakdown belongs to the one in the invoice's currency."""
    rows = reading.all(root, f"{SETTLEMENT}/ram:ApplicableTradeTax")
    taxes = tuple(reading.text(row, "ram:CalculatedAmount") for row in rows)
    for element in reading.all(root, f"{SUMMATION}/ram:TaxTotalAmount"):
        said, own = content(element), (element.get("currencyID") or "").strip() or None
        if said:
            yield neutral.VatTotal(own, said, taxes if own is not None and own == currency else None)


def _period(reading: Reading, node: etree._Element | None) -> tuple[str | None, str | None] | None:
    if node is None:
        return None
    found = [reading.first(node, f"ram:{name}/udt:DateTimeString") for name in ("StartDateTime", "EndDateTime")]
    start, end = (_iso(content(one), one.get("format")) if one is not None else None for one in found)
    return start, end


def _line(reading: Reading, node: etree._Element) -> neutral.Line:
    product, settled = "ram:SpecifiedTradeProduct", "ram:SpecifiedLineTradeSettlement"
    quantity = reading.first(node, "ram:SpecifiedLineTradeDelivery/ram:BilledQuantity")
    unit = (quantity.get("unitCode") or "").strip() or None if quantity is not None else None
    net_price = "ram:SpecifiedLineTradeAgreement/ram:NetPriceProductTradePrice"
    gross_price = "ram:SpecifiedLineTradeAgreement/ram:GrossPriceProductTradePrice"
    base = reading.first(node, f"{net_price}/ram:BasisQuantity")
    if base is None:
        base = reading.first(node, f"{gross_price}/ram:BasisQuantity")
    if base is not None:
        reading.code("BR-CL-23", "BT-150", base.get("unitCode"))
    reading.identifier(node, f"{product}/ram:GlobalID", "BR-CL-21", "BT-157")
    reading.code("BR-CL-15", "BT-159", reading.text(node, f"{product}/ram:OriginTradeCountry/ram:ID"))
    for found in reading.all(node, f"{product}/ram:DesignatedProductClassification/ram:ClassCode"):
        reading.code("BR-CL-13", "BT-158", found.get("listID"))
    category, rate = read_tax(reading, node, LINE_TAX, "BR-CL-18", "BT-151")
    summation = f"{settled}/ram:SpecifiedTradeSettlementLineMonetarySummation"
    charges = reading.all(node, f"{settled}/ram:SpecifiedTradeAllowanceCharge")
    return neutral.Line(
        id=reading.text(node, "ram:AssociatedDocumentLineDocument/ram:LineID"),
        name=reading.text(node, f"{product}/ram:Name"),
        quantity=content(quantity),
        unit=reading.code("BR-CL-23", "BT-130", unit),
        net=reading.text(node, f"{summation}/ram:LineTotalAmount"),
        price=reading.text(node, f"{net_price}/ram:ChargeAmount"),
        price_base=content(base),
        gross_price=reading.text(node, f"{gross_price}/ram:ChargeAmount"),
        category=category,
        rate=rate,
        seller_item=reading.text(node, f"{product}/ram:SellerAssignedID"),
        charges=tuple(read_charge(reading, found, CHARGE) for found in charges),
        period=_period(reading, reading.first(node, f"{settled}/ram:BillingSpecifiedPeriod")),
    )
