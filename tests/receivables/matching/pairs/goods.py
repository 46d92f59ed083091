"""What is sold: lines of goods and of services in the seller's language, and other words for the same lines."""

from random import Random
from typing import Any

from tests.receivables.matching.pairs.companies import COUNTRIES

Line = dict[str, Any]

LANGUAGE = {country: country.lower() for country in COUNTRIES} | {"GB": "en", "HK": "en"}
# Goods: {a} and {b} are sizes or codes; the prices are pounds or euros, from and to.
GOODS: dict[str, tuple[tuple[str, int, int], ...]] = {
    "en": (
        ("Bearing housing {a} mm, machined", 12, 90), ("Corrugated box {a} x {b} mm, double wall", 1, 6),
        ("Stainless bracket, drawing {a}-{b}", 4, 60), ("Cotton shirts, style {a}", 6, 25),
        ("Pump overhaul kit, model P{a}", 140, 900), ("Softwood battens {a} x {b} mm, per metre", 1, 5),
        ("LED floodlight {a} W, IP65", 28, 160), ("Frozen peas, {a} g bags, case of 12", 9, 30),
        ("Injection-moulded housing, tool {a}", 1, 12), ("Hydraulic hose assembly {a}/{b}", 18, 120),
        ("Printed cartons, artwork {a}", 1, 4), ("Pallet haulage, lane {a}", 45, 210),
    ),
    "de": (
        ("Lagergehäuse {a} mm, bearbeitet", 12, 90), ("Wellpappkarton {a} x {b} mm, zweiwellig", 1, 6),
        ("Edelstahlwinkel nach Zeichnung {a}-{b}", 4, 60), ("Kugelgewindetrieb Typ {a}", 140, 900),
        ("Konstruktionsvollholz {a} x {b} mm", 3, 20), ("Hydraulikschlauch {a}/{b} konfektioniert", 18, 120),
        ("Spritzgussteil, Werkzeug {a}", 1, 12), ("Schaltschrank Baugröße {a}", 220, 1900),
    ),
    "fr": (
        ("Palier usiné {a} mm", 12, 90), ("Caisse carton {a} x {b} mm, double cannelure", 1, 6),
        ("Équerre inox, plan {a}-{b}", 4, 60), ("Pompe de relevage modèle {a}", 140, 900),
        ("Menuiserie aluminium, châssis {a} x {b}", 120, 700), ("Flexible hydraulique {a}/{b}", 18, 120),
        ("Pièce injectée, moule {a}", 1, 12), ("Luminaire LED {a} W étanche", 28, 160),
    ),
    "nl": (
        ("Lagerhuis {a} mm, bewerkt", 12, 90), ("Golfkartonnen doos {a} x {b} mm", 1, 6),
        ("RVS beugel, tekening {a}-{b}", 4, 60), ("Circulatiepomp type {a}", 140, 900),
        ("Vurenhout geschaafd {a} x {b} mm", 2, 15), ("Hydrauliekslang {a}/{b} compleet", 18, 120),
        ("Spuitgietdeel, matrijs {a}", 1, 12), ("LED-armatuur {a} W", 28, 160),
    ),
    "it": (
        ("Supporto cuscinetto {a} mm lavorato", 12, 90), ("Scatola ondulata {a} x {b} mm", 1, 6),
        ("Staffa inox, disegno {a}-{b}", 4, 60), ("Elettropompa modello {a}", 140, 900),
        ("Tessuto jacquard, articolo {a}", 8, 40), ("Tubo idraulico {a}/{b} raccordato", 18, 120),
        ("Stampato plastico, stampo {a}", 1, 12), ("Olio extravergine, cartoni da {a}", 30, 110),
    ),
    "es": (
        ("Soporte de rodamiento {a} mm mecanizado", 12, 90), ("Caja de cartón {a} x {b} mm", 1, 6),
        ("Escuadra inoxidable, plano {a}-{b}", 4, 60), ("Bomba centrífuga modelo {a}", 140, 900),
        ("Tablero laminado {a} x {b} mm", 6, 45), ("Latiguillo hidráulico {a}/{b}", 18, 120),
        ("Pieza inyectada, molde {a}", 1, 12), ("Conservas, caja de {a} latas", 14, 60),
    ),
}  # fmt: skip
SERVICES = {
    "en": ("Cleaning of premises", "Software subscription, {a} seats", "Security guarding", "Rent, unit {a}",
           "Managed IT support", "Vehicle lease, {a} vans"),
    "de": ("Unterhaltsreinigung", "Softwarelizenz, {a} Plätze", "Objektschutz", "Miete Halle {a}", "IT-Betreuung"),
    "fr": ("Nettoyage des locaux", "Abonnement logiciel, {a} postes", "Gardiennage", "Loyer, lot {a}", "Infogérance"),
    "nl": ("Schoonmaak kantoor", "Softwareabonnement, {a} gebruikers", "Beveiliging", "Huur unit {a}", "IT-beheer"),
    "it": ("Pulizia dei locali", "Canone software, {a} utenti", "Vigilanza", "Affitto unità {a}", "Assistenza IT"),
    "es": ("Limpieza de oficinas", "Suscripción software, {a} puestos", "Vigilancia", "Alquiler, nave {a}", "Soporte"),
}  # fmt: skip
MONTHS = {
    "en": "January February March April May June July August September October November December",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "nl": "januari februari maart april mei juni juli augustus september oktober november december",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
}


def line(description: str, quantity: float, unit_price_minor: int) -> Line:
    """One line; its amount is quantity times price, in minor units, halves up."""
    amount = int(quantity * unit_price_minor + 0.5)
    return {"description": description, "quantity": quantity, "unit_price_minor": unit_price_minor,
            "amount_minor": amount}  # fmt: skip


def goods(rng: Random, country: str, count: int = 0, even: bool = False) -> list[Line]:
    """Some lines of goods, one to six unless told; `even` quantities can be halved."""
    offered = GOODS[LANGUAGE[country]]
    chosen = rng.sample(offered, min(len(offered), count or rng.choice([1, 1, 2, 2, 3, 3, 4, 5, 6])))
    return [_priced(rng, *item, even) for item in chosen]


def _priced(rng: Random, template: str, low: int, high: int, even: bool) -> Line:
    words = template.format(a=rng.randrange(10, 980), b=rng.randrange(10, 880))
    price = rng.randrange(low * 100, high * 100 + 1)
    most = max(4, 4_000_000 // price)
    quantity = rng.randrange(max(2, most // 40), most)
    return line(words, quantity + quantity % 2 if even else quantity, price)


def service(rng: Random, country: str) -> Line:
    """One line of a recurring service, without saying when."""
    words = rng.choice(SERVICES[LANGUAGE[country]]).format(a=rng.randrange(5, 90))
    return line(words, 1, rng.choice([rng.randrange(900_00, 30_000_00), rng.randrange(10, 250) * 100_00]))


def month(country: str, number: int) -> str:
    """The name of a month, 1 to 12, as it is said there."""
    return MONTHS[LANGUAGE[country]].split()[number - 1]


def reworded(rng: Random, description: str) -> str:
    """Say the same in other words: shortened, turned about, in capitals, or with an article number."""
    words = description.replace(",", " ").split()
    match rng.randrange(4):
        case 0:
            return " ".join(word[:4] + "." if len(word) > 6 and word.isalpha() else word for word in words)
        case 1:
            turn = rng.randrange(1, len(words)) if len(words) > 1 else 0
            return " ".join(words[turn:] + words[:turn]).capitalize()
        case 2:
            return " ".join(words).upper()
        case _:
            return f"Art. {rng.randrange(1_000, 99_999)} {description}"


def misread(rng: Random, text: str, faults: int = 2) -> str:
    """Read a text as a poor scanner does: a few letters and digits taken for their neighbours in shape."""
    shapes = {"0": "O", "O": "0", "1": "l", "l": "1", "I": "l", "5": "S", "S": "5", "8": "B", "B": "8", "m": "rn",
              "e": "c", "6": "G", "2": "Z", "g": "q", "i": "l"}  # fmt: skip
    letters = list(text)
    places = [i for i, letter in enumerate(letters) if letter in shapes]
    for place in rng.sample(places, min(faults, len(places))):
        letters[place] = shapes[letters[place]]
    return "".join(letters)
