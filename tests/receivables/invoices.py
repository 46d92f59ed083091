"""E-invoices for tests: a valid EN 16931 invoice in UBL or CII, with whatever a test wants otherwise."""

from dataclasses import dataclass, replace
from datetime import date, timedelta


@dataclass(frozen=True)
class Paper:
    """An invoice of one line without VAT (category O is avoided: zero-rated), so that the sums are simple."""

    number: str = "TPC-20418"
    type_code: str = "380"
    currency: str = "GBP"
    issued: date = date(2026, 1, 1)
    due: date = date(2026, 3, 1)
    seller: str = "Thornfield Castings Ltd"
    seller_id: str = "07100001"
    buyer: str = "Kestrel Aerospace UK Ltd"
    buyer_id: str = "07714421"
    order: str = "PO-88120"
    pounds: int = 48_600
    goods: str = "Turbine seal ring"
    payee: str = ""
    iban: str = ""
    note: str = ""

    def but(self, **changes: object) -> "Paper":
        """Return the same invoice with some things otherwise."""
        return replace(self, **changes)  # type: ignore[arg-type]


def paper(today: date, **changes: object) -> Paper:
    """Return an invoice issued a week ago and due in 60 days."""
    return Paper(issued=today - timedelta(days=7), due=today + timedelta(days=60)).but(**changes)


def ubl(p: Paper) -> bytes:
    """Return the invoice as UBL 2.1, EN 16931."""
    payee = f"<cac:PayeeParty><cac:PartyName><cbc:Name>{p.payee}</cbc:Name></cac:PartyName></cac:PayeeParty>"
    means = (f"<cac:PaymentMeans><cbc:PaymentMeansCode>30</cbc:PaymentMeansCode><cac:PayeeFinancialAccount>"
             f"<cbc:ID>{p.iban}</cbc:ID></cac:PayeeFinancialAccount></cac:PaymentMeans>")  # fmt: skip
    amount, note = f"{p.pounds}.00", f"<cbc:Note>{p.note}</cbc:Note>"
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<Invoice xmlns="urn:oasis:names:specification:ubl:schema:xsd:Invoice-2"
 xmlns:cac="urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2"
 xmlns:cbc="urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2">
<cbc:CustomizationID>urn:cen.eu:en16931:2017</cbc:CustomizationID>
<cbc:ID>{p.number}</cbc:ID><cbc:IssueDate>{p.issued}</cbc:IssueDate><cbc:DueDate>{p.due}</cbc:DueDate>
<cbc:InvoiceTypeCode>{p.type_code}</cbc:InvoiceTypeCode>{note if p.note else ""}
<cbc:DocumentCurrencyCode>{p.currency}</cbc:DocumentCurrencyCode>
<cac:OrderReference><cbc:ID>{p.order}</cbc:ID></cac:OrderReference>
{_party("AccountingSupplierParty", p.seller, p.seller_id, "GB123456789")}
{_party("AccountingCustomerParty", p.buyer, p.buyer_id, "")}
{payee if p.payee else ""}{means if p.iban else ""}
<cac:TaxTotal><cbc:TaxAmount currencyID="{p.currency}">0.00</cbc:TaxAmount><cac:TaxSubtotal>
<cbc:TaxableAmount currencyID="{p.currency}">{amount}</cbc:TaxableAmount>
<cbc:TaxAmount currencyID="{p.currency}">0.00</cbc:TaxAmount>
<cac:TaxCategory><cbc:ID>Z</cbc:ID><cbc:Percent>0</cbc:Percent><cac:TaxScheme><cbc:ID>VAT</cbc:ID></cac:TaxScheme>
</cac:TaxCategory></cac:TaxSubtotal></cac:TaxTotal>
<cac:LegalMonetaryTotal><cbc:LineExtensionAmount currencyID="{p.currency}">{amount}</cbc:LineExtensionAmount>
<cbc:TaxExclusiveAmount currencyID="{p.currency}">{amount}</cbc:TaxExclusiveAmount>
<cbc:TaxInclusiveAmount currencyID="{p.currency}">{amount}</cbc:TaxInclusiveAmount>
<cbc:PayableAmount currencyID="{p.currency}">{amount}</cbc:PayableAmount></cac:LegalMonetaryTotal>
<cac:InvoiceLine><cbc:ID>1</cbc:ID><cbc:InvoicedQuantity unitCode="C62">1</cbc:InvoicedQuantity>
<cbc:LineExtensionAmount currencyID="{p.currency}">{amount}</cbc:LineExtensionAmount>
<cac:Item><cbc:Name>{p.goods}</cbc:Name><cac:ClassifiedTaxCategory><cbc:ID>Z</cbc:ID><cbc:Percent>0</cbc:Percent>
<cac:TaxScheme><cbc:ID>VAT</cbc:ID></cac:TaxScheme></cac:ClassifiedTaxCategory></cac:Item>
<cac:Price><cbc:PriceAmount currencyID="{p.currency}">{amount}</cbc:PriceAmount></cac:Price></cac:InvoiceLine>
</Invoice>""".encode()


def _party(role: str, name: str, legal_id: str, vat: str) -> str:
    tax = (f"<cac:PartyTaxScheme><cbc:CompanyID>{vat}</cbc:CompanyID><cac:TaxScheme><cbc:ID>VAT</cbc:ID>"
           f"</cac:TaxScheme></cac:PartyTaxScheme>") if vat else ""  # fmt: skip
    number = f"<cbc:CompanyID>{legal_id}</cbc:CompanyID>" if legal_id else ""
    return (f"<cac:{role}><cac:Party><cac:PostalAddress><cac:Country><cbc:IdentificationCode>GB"
            f"</cbc:IdentificationCode></cac:Country></cac:PostalAddress>{tax}<cac:PartyLegalEntity>"
            f"<cbc:RegistrationName>{name}</cbc:RegistrationName>{number}</cac:PartyLegalEntity></cac:Party>"
            f"</cac:{role}>")  # fmt: skip


def cii(p: Paper) -> bytes:
    """Return the invoice as UN/CEFACT CII, EN 16931."""
    amount, day = f"{p.pounds}.00", "{:%Y%m%d}".format
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<rsm:CrossIndustryInvoice xmlns:rsm="urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100"
 xmlns:ram="urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100"
 xmlns:udt="urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100">
<rsm:ExchangedDocumentContext><ram:GuidelineSpecifiedDocumentContextParameter><ram:ID>urn:cen.eu:en16931:2017</ram:ID>
</ram:GuidelineSpecifiedDocumentContextParameter></rsm:ExchangedDocumentContext>
<rsm:ExchangedDocument><ram:ID>{p.number}</ram:ID><ram:TypeCode>{p.type_code}</ram:TypeCode>
<ram:IssueDateTime><udt:DateTimeString format="102">{day(p.issued)}</udt:DateTimeString></ram:IssueDateTime>
</rsm:ExchangedDocument>
<rsm:SupplyChainTradeTransaction><ram:IncludedSupplyChainTradeLineItem>
<ram:AssociatedDocumentLineDocument><ram:LineID>1</ram:LineID></ram:AssociatedDocumentLineDocument>
<ram:SpecifiedTradeProduct><ram:Name>{p.goods}</ram:Name></ram:SpecifiedTradeProduct>
<ram:SpecifiedLineTradeAgreement><ram:NetPriceProductTradePrice><ram:ChargeAmount>{amount}</ram:ChargeAmount>
</ram:NetPriceProductTradePrice></ram:SpecifiedLineTradeAgreement>
<ram:SpecifiedLineTradeDelivery><ram:BilledQuantity unitCode="C62">1</ram:BilledQuantity>
</ram:SpecifiedLineTradeDelivery>
<ram:SpecifiedLineTradeSettlement><ram:ApplicableTradeTax><ram:TypeCode>VAT</ram:TypeCode>
<ram:CategoryCode>Z</ram:CategoryCode><ram:RateApplicablePercent>0</ram:RateApplicablePercent></ram:ApplicableTradeTax>
<ram:SpecifiedTradeSettlementLineMonetarySummation><ram:LineTotalAmount>{amount}</ram:LineTotalAmount>
</ram:SpecifiedTradeSettlementLineMonetarySummation></ram:SpecifiedLineTradeSettlement>
</ram:IncludedSupplyChainTradeLineItem>
<ram:ApplicableHeaderTradeAgreement>
<ram:SellerTradeParty><ram:Name>{p.seller}</ram:Name><ram:SpecifiedLegalOrganization><ram:ID>{p.seller_id}</ram:ID>
</ram:SpecifiedLegalOrganization><ram:PostalTradeAddress><ram:CountryID>GB</ram:CountryID></ram:PostalTradeAddress>
<ram:SpecifiedTaxRegistration><ram:ID schemeID="VA">GB123456789</ram:ID></ram:SpecifiedTaxRegistration>
</ram:SellerTradeParty>
<ram:BuyerTradeParty><ram:Name>{p.buyer}</ram:Name><ram:SpecifiedLegalOrganization><ram:ID>{p.buyer_id}</ram:ID>
</ram:SpecifiedLegalOrganization><ram:PostalTradeAddress><ram:CountryID>GB</ram:CountryID></ram:PostalTradeAddress>
</ram:BuyerTradeParty>
<ram:BuyerOrderReferencedDocument><ram:IssuerAssignedID>{p.order}</ram:IssuerAssignedID></ram:BuyerOrderReferencedDocument>
</ram:ApplicableHeaderTradeAgreement><ram:ApplicableHeaderTradeDelivery/>
<ram:ApplicableHeaderTradeSettlement><ram:InvoiceCurrencyCode>{p.currency}</ram:InvoiceCurrencyCode>
<ram:ApplicableTradeTax><ram:CalculatedAmount>0.00</ram:CalculatedAmount><ram:TypeCode>VAT</ram:TypeCode>
<ram:BasisAmount>{amount}</ram:BasisAmount><ram:CategoryCode>Z</ram:CategoryCode>
<ram:RateApplicablePercent>0</ram:RateApplicablePercent></ram:ApplicableTradeTax>
<ram:SpecifiedTradePaymentTerms><ram:DueDateDateTime><udt:DateTimeString format="102">{day(p.due)}</udt:DateTimeString>
</ram:DueDateDateTime></ram:SpecifiedTradePaymentTerms>
<ram:SpecifiedTradeSettlementHeaderMonetarySummation><ram:LineTotalAmount>{amount}</ram:LineTotalAmount>
<ram:TaxBasisTotalAmount>{amount}</ram:TaxBasisTotalAmount>
<ram:TaxTotalAmount currencyID="{p.currency}">0.00</ram:TaxTotalAmount>
<ram:GrandTotalAmount>{amount}</ram:GrandTotalAmount>
<ram:DuePayableAmount>{amount}</ram:DuePayableAmount></ram:SpecifiedTradeSettlementHeaderMonetarySummation>
</ram:ApplicableHeaderTradeSettlement></rsm:SupplyChainTradeTransaction></rsm:CrossIndustryInvoice>""".encode()
