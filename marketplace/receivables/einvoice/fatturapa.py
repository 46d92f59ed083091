"""Read the header terms of an Italian FatturaPA 1.x file. It is national, not EN 16931: never listed
without a person.

Source: Agenzia delle Entrate, Specifiche tecniche del formato FatturaPA 1.2, §2.
"""

from lxml import etree

from marketplace.receivables.einvoice.exact_numbers import day
from marketplace.receivables.einvoice.neutral import Invoice, Line, Party, Preceding
from marketplace.receivables.einvoice.xml_reading import Reading


def is_fatturapa(root: etree._Element) -> bool:
    """Say whether the root is a FatturaElettronica in any of its versions' namespaces."""
    return bool(etree.QName(root).localname == "FatturaElettronica")


def read_fatturapa(root: etree._Element) -> Invoice:
    """Return the neutral form; of a file with several invoices (lotto) the first, and their count in
    `bodies`."""
    reading = Reading({})
    header, bodies = "FatturaElettronicaHeader", list(reading.all(root, "FatturaElettronicaBody"))
    body = bodies[0] if bodies else None
    seller = _party(reading, reading.first(root, f"{header}/CedentePrestatore"))
    buyer = _party(reading, reading.first(root, f"{header}/CessionarioCommittente"))
    general, payment = "DatiGenerali/DatiGeneraliDocumento", "DatiPagamento/DettaglioPagamento"
    accounts = reading.texts(body, f"{payment}/IBAN")
    found = {
        "BT-1": reading.text(body, f"{general}/Numero"),
        "BT-2": reading.text(body, f"{general}/Data"),
        "BT-3": reading.text(body, f"{general}/TipoDocumento"),
        "BT-5": reading.text(body, f"{general}/Divisa"),
        "BT-9": reading.text(body, f"{payment}/DataScadenzaPagamento"),
        "BT-27": seller.name,
        "BT-31": seller.vat_id,
        "BT-44": buyer.name,
        "BT-48": buyer.vat_id,
        "BT-81": reading.text(body, f"{payment}/ModalitaPagamento"),
        "BT-84": accounts[0] if accounts else None,
        "BT-112": reading.text(body, f"{general}/ImportoTotaleDocumento"),
        "BT-13": reading.text(body, "DatiGenerali/DatiOrdineAcquisto/IdDocumento"),
        "BT-12": reading.text(body, "DatiGenerali/DatiContratto/IdDocumento"),
    }
    return Invoice(
        syntax="fatturapa",
        terms={term: said for term, said in found.items() if said},
        seller=seller,
        buyer=buyer,
        lines=tuple(_line(reading, node) for node in reading.all(body, "DatiBeniServizi/DettaglioLinee")),
        accounts=accounts,
        preceding=tuple(
            Preceding(number, day(reading.text(node, "Data")))
            for node in reading.all(body, "DatiGenerali/DatiFattureCollegate")
            if (number := reading.text(node, "IdDocumento"))
        ),
        notes=reading.texts(body, f"{general}/Causale"),
        texts=reading.texts(body, f"{general}/Causale") + reading.texts(body, f"{payment}/Beneficiario"),
        due_dates=reading.texts(body, f"{payment}/DataScadenzaPagamento"),
        bodies=len(bodies),
    )


def _party(reading: Reading, node: etree._Element | None) -> Party:
    person, number = "DatiAnagrafici/Anagrafica", "DatiAnagrafici/IdFiscaleIVA"
    names = (reading.text(node, f"{person}/Nome"), reading.text(node, f"{person}/Cognome"))
    spelt = " ".join(name for name in names if name) or None
    country, code = reading.text(node, f"{number}/IdPaese"), reading.text(node, f"{number}/IdCodice")
    return Party(
        name=reading.text(node, f"{person}/Denominazione") or spelt,
        tax_id=reading.text(node, "DatiAnagrafici/CodiceFiscale"),
        vat_id=f"{country or ''}{code}" if code else None,
        has_address=reading.first(node, "Sede") is not None,
        country=reading.text(node, "Sede/Nazione"),
        city=reading.text(node, "Sede/Comune"),
    )


def _line(reading: Reading, node: etree._Element) -> Line:
    return Line(
        id=reading.text(node, "NumeroLinea"),
        name=reading.text(node, "Descrizione"),
        quantity=reading.text(node, "Quantita"),
        unit=reading.text(node, "UnitaMisura"),
        net=reading.text(node, "PrezzoTotale"),
        price=reading.text(node, "PrezzoUnitario"),
        rate=reading.text(node, "AliquotaIVA"),
    )
