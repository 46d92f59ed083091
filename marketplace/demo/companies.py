"""Fictional companies for demonstrations: British sellers, large British and European debtors. None of
them exists."""

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Company:
    """A company as its documents name it. `legal_id` is its registration; `scheme` the ISO 6523 code of
    the register."""

    name: str
    legal_id: str
    scheme: str
    vat_id: str
    country: str
    street: str
    city: str
    postcode: str
    iban: str = ""
    sector: str = ""


# (name, sector, street, city, postcode)
SELLERS = (
    ("Harrow & Pike Joinery Ltd", "construction", "14 Tanner Row", "York", "YO1 6QA"),
    ("Northgate Cold Storage Ltd", "logistics", "Unit 7, Fishdock Way", "Grimsby", "DN31 3SY"),
    ("Pennine Precision Castings Ltd", "manufacturing", "Forge Lane", "Rotherham", "S60 1FD"),
    ("Saltmarsh Provisions Ltd", "food", "3 Quayside Court", "Whitby", "YO21 1DL"),
    ("Tamar Textile Finishers Ltd", "textiles", "Mill Hill Works", "Tavistock", "PL19 8NP"),
    ("Brightwater Facilities Services Ltd", "services", "22 Castle Arcade", "Cardiff", "CF10 1BX"),
    ("Ashdown Packaging Ltd", "packaging", "9 Weald Park", "Crawley", "RH10 9TA"),
    ("Kestrel Freight Forwarding Ltd", "logistics", "Dock Gate 4", "Felixstowe", "IP11 3SW"),
    ("Lomond Signage Ltd", "media", "61 Vennel Street", "Dumbarton", "G82 1EE"),
    ("Wyre Forest Tooling Ltd", "manufacturing", "5 Carpet Yard", "Kidderminster", "DY10 2JE"),
    ("Calder Electrical Contractors Ltd", "construction", "18 Canal Bank", "Wakefield", "WF1 5RD"),
    ("Merrow Digital Print Ltd", "media", "2 Abbot Mews", "Guildford", "GU1 3TU"),
)
# (name, country, sector, street, city, postcode)
DEBTORS = (
    ("Albion Grocers plc", "GB", "retail", "1 Market Cross", "Leeds", "LS1 4AP"),
    ("Severnside Water plc", "GB", "utilities", "Riverside House", "Gloucester", "GL1 2RN"),
    ("Crownfield Homes plc", "GB", "construction", "40 Station Parade", "Solihull", "B91 3RT"),
    ("Thornbury Motors plc", "GB", "automotive", "Assembly Way", "Swindon", "SN3 4TQ"),
    ("Meridian Hospitals Group plc", "GB", "health", "8 Infirmary Road", "Sheffield", "S6 3DD"),
    ("Castellan Hotels plc", "GB", "hospitality", "77 Esplanade", "Brighton", "BN2 1PS"),
    ("Rheinwerk Anlagenbau AG", "DE", "engineering", "Hafenstraße 12", "Duisburg", "47119"),
    ("Maison Perrault Distribution SA", "FR", "retail", "18 rue des Tanneurs", "Lille", "59000"),
    ("Noordzee Logistiek BV", "NL", "logistics", "Maaskade 30", "Rotterdam", "3071 ND"),
    ("Lakelands Dairies Cooperative plc", "IE", "food", "Mill Road", "Mullingar", "N91 E2X4"),
)
SCHEMES = {"GB": "", "DE": "0204", "FR": "0002", "NL": "0106", "IE": ""}
VAT_DIGITS = {"GB": 9, "DE": 9, "FR": 11, "IE": 7}


def sellers(seed: int = 1) -> list[Company]:
    """Return the fictional British sellers. Numbers follow from the seed and the name only."""
    return [_company(seed, name, "GB", *rest) for name, *rest in SELLERS]


def debtors(seed: int = 1) -> list[Company]:
    """Return the fictional large debtors. Numbers follow from the seed and the name only."""
    return [_company(seed, name, country, *rest) for name, country, *rest in DEBTORS]


def _company(seed: int, name: str, country: str, sector: str, street: str, city: str, postcode: str) -> Company:
    dice = random.Random(f"{seed}/{name}")  # noqa: S311 (figures for show)
    number = f"{dice.randrange(60_000_000, 99_999_999)}"
    legal_id = f"{number}{dice.randrange(10)}" if country == "FR" else number
    return Company(
        name=name,
        legal_id=f"HRB {number[:5]}" if country == "DE" else legal_id,
        scheme=SCHEMES[country],
        vat_id=_vat(dice, country, legal_id),
        country=country,
        street=street,
        city=city,
        postcode=postcode,
        iban=iban("GB", f"DUEB{dice.randrange(10**13):014d}"),
        sector=sector,
    )


def _vat(dice: random.Random, country: str, legal_id: str) -> str:
    if country == "FR":
        return f"FR{dice.randrange(10, 99)}{legal_id}"
    if country == "NL":
        return f"NL{dice.randrange(10**8, 10**9)}B01"
    digits = VAT_DIGITS[country]
    return f"{country}{dice.randrange(10 ** (digits - 1), 10**digits)}{'FA' if country == 'IE' else ''}"


def iban(country: str, account: str) -> str:
    """Return an IBAN with right check digits. Source: ISO 13616-1 §6, ISO 7064 MOD 97-10."""
    digits = "".join(str(int(sign, 36)) for sign in f"{account}{country}00")
    return f"{country}{98 - int(digits) % 97:02d}{account}"
