"""Companies that never were, in seven countries, with identifiers whose check digits hold."""

from dataclasses import dataclass, replace
from random import Random

COUNTRIES = ("GB", "DE", "FR", "NL", "HK", "IT", "ES")
CURRENCY = {"GB": "GBP", "HK": "HKD"}  # the others: EUR
VAT_BPS = {"GB": 2000, "DE": 1900, "FR": 2000, "NL": 2100, "HK": 0, "IT": 2200, "ES": 2100}
FORMS = {
    "GB": ("Ltd", "Limited", "PLC", "LLP"),
    "DE": ("GmbH", "AG", "GmbH & Co. KG", "KG"),
    "FR": ("SARL", "SAS", "SA"),
    "NL": ("B.V.", "N.V."),
    "HK": ("Limited", "Company Limited"),
    "IT": ("S.r.l.", "S.p.A."),
    "ES": ("S.L.", "S.A."),
}
STEMS = {
    "GB": "Hargreave Ashdown Pelham Thornbury Winslade Marlock Fenwick Oakhurst Stanmore Carrow Brackley Ludgrove "
    "Penrose Tilbrook Whitcombe Dunmore Holloway Ravenscar Easterby Kingsmere Langdale Netherby Osgood Prestbury",
    "DE": "Brandhuber Kesselring Lindhorst Mühlbach Oberländer Pfeiffenberg Rosenthal Schönwald Tannert Uhlig Vogtmann "
    "Weidenau Zumbruch Ahrensburg Bäumler Dörfler Eichstätt Falkenried Grünauer Hohenfels Jäckel Königstor",
    "FR": "Beaumarchais Chastenet Delorme Estienne Fauvelle Garancière Hautecœur Jolivet Lacombe Marchandise Noirmont "
    "Orfeuil Périgny Quérouil Roussillon Sauvageot Thévenin Vauquelin Bréhat Clairvaux Dampierre Évreux",
    "NL": "Aalderink Boerema Cornelissen Dijkgraaf Eikelboom Fokkema Groeneveld Hoekstra IJsseldijk Jonkman Kuipers "
    "Langerak Molenaar Noordhof Oosterhuis Polderman Roodbergen Schipluiden Terwolde Veenstra",
    "HK": "Wing Tak Hing Fung Tai Lee Kwong Wah Sun Cheong Hop Yick Lucky Harvest Golden Pearl Jade Summit Kai Shing "
    "Luen Fat Man Cheung Po Wo Yue Hing",
    "IT": "Albertazzi Bergonzoni Castelnuovo Dell'Orto Esposito Ferrantini Guidobaldi Lambertenghi Montefeltro "
    "Nicolosi Ottaviani Pellegrino Quaranta Rovigatti Santacroce Tagliaferri Valtellina Zanobini",
    "ES": "Almansa Barrionuevo Castellanos Echegaray Fuenlabrada Garmendia Hinojosa Iturralde Jaramillo Lozoya Muñiz "
    "Navascués Olavarría Peñaranda Quintanilla Ribadeo Sotomayor Txomin Valdepeñas Zubizarreta",
}
TRADES = {
    "GB": "Castings|Engineering|Foods|Packaging|Logistics|Fabrications|Timber|Electrical|Textiles|Polymers|Facilities",
    "DE": "Maschinenbau|Werkzeuge|Verpackung|Logistik|Metallbau|Elektrotechnik|Kunststoffe|Holzwerke|Anlagenbau",
    "FR": "Mécanique|Emballages|Logistique|Menuiserie|Électricité|Plasturgie|Distribution|Travaux|Services",
    "NL": "Techniek|Verpakkingen|Transport|Houthandel|Installatie|Kunststoffen|Groothandel|Bouw|Diensten",
    "HK": "Trading|Garments|Electronics|Toys|Printing|Metal Works|Freight|Plastics|Jewellery",
    "IT": "Meccanica|Imballaggi|Logistica|Arredamenti|Impianti|Tessuti|Alimentari|Costruzioni|Servizi",
    "ES": "Mecanizados|Envases|Logística|Maderas|Instalaciones|Textiles|Alimentación|Construcciones|Servicios",
}


@dataclass(frozen=True)
class Company:
    """A party as a document could name it. `vat` and `iban` are empty where the country has none."""

    stem: str
    trade: str
    form: str
    country: str
    legal_id: str
    vat: str
    iban: str

    @property
    def name(self) -> str:
        """The name in the register."""
        return f"{self.stem} {self.trade} {self.form}"

    def namesake(self, rng: Random) -> "Company":
        """Another company of the very same name."""
        return _registered(rng, self.stem, self.trade, self.form, self.country)

    def sister(self, rng: Random) -> "Company":
        """Another company of the same group, with a name that shows it."""
        trades = [trade for trade in TRADES[self.country].split("|") if trade != self.trade]
        extra = rng.choice(["Group", "Holding", "Europe", "International", "North"])
        trade = rng.choice([rng.choice(trades), f"{self.trade} {extra}"])
        return _registered(rng, self.stem, trade, self.form, self.country)

    def stranger(self, rng: Random, country: str = "") -> "Company":
        """A company that has not a word of this one's stem in its name."""
        while True:
            other = company(rng, country)
            if not set(self.stem.split()) & set(other.stem.split()) - {"&"}:
                return other

    def banking_elsewhere(self, rng: Random) -> "Company":
        """The same company with an account nobody has seen."""
        return replace(self, iban=bank_account(rng, self.country))


def company(rng: Random, country: str = "") -> Company:
    """Make up a company, of any of the seven countries unless told."""
    country = country or rng.choice(COUNTRIES)
    words = STEMS[country].split()
    stem = rng.choice(words) if country != "HK" else " ".join(rng.sample(words, 2))
    if rng.random() < 0.25 and country != "HK":
        stem = f"{stem} & {rng.choice(words)}"
    return _registered(rng, stem, rng.choice(TRADES[country].split("|")), rng.choice(FORMS[country]), country)


def _registered(rng: Random, stem: str, trade: str, form: str, country: str) -> Company:
    legal_id, vat = _identifiers(rng, country)
    return Company(stem, trade, form, country, legal_id, vat, bank_account(rng, country))


def digits(rng: Random, count: int) -> str:
    """So many digits, the first of them not zero."""
    return str(rng.randrange(10 ** (count - 1), 10**count))


def _identifiers(rng: Random, country: str) -> tuple[str, str]:
    """A legal id and a VAT id that fit together."""
    match country:
        case "GB":
            seven = digits(rng, 7)
            weighed = sum(int(d) * w for d, w in zip(seven, range(8, 1, -1), strict=True))
            number = rng.choice([f"0{digits(rng, 7)}", f"1{digits(rng, 7)}", f"SC{digits(rng, 6)}"])
            return number, f"GB{seven}{97 - weighed % 97:02d}"
        case "DE":
            eight = digits(rng, 8)
            return f"HRB {rng.randrange(1_000, 240_000)}", f"DE{eight}{_eleven_ten(eight)}"
        case "FR":
            siren = _luhn(digits(rng, 8))
            return siren, f"FR{(12 + 3 * (int(siren) % 97)) % 97:02d}{siren}"
        case "NL":
            return digits(rng, 8), f"NL{_eleven(rng)}B01"
        case "IT":
            return f"{rng.choice(['MI', 'TO', 'BO', 'RM'])}-{digits(rng, 7)}", "IT" + _luhn("0" + digits(rng, 9))
        case "ES":
            tax = rng.choice("AB") + _luhn(digits(rng, 7))
            return tax, f"ES{tax}"
        case _:
            return digits(rng, 8), ""


def _luhn(start: str) -> str:
    """The digits with their Luhn check digit behind."""
    doubled = [int(d) * (2 if i % 2 == 0 else 1) for i, d in enumerate(reversed(start))]
    return start + str(-sum(d // 10 + d % 10 for d in doubled) % 10)


def _eleven_ten(eight: str) -> int:
    """The check digit of ISO 7064 MOD 11,10, which ends German VAT ids."""
    product = 10
    for digit in eight:
        product = 2 * ((int(digit) + product) % 10 or 10) % 11
    return (11 - product) % 10


def _eleven(rng: Random) -> str:
    """Nine digits whose last is a weighed sum modulo 11, as Dutch VAT ids have."""
    while True:
        eight = digits(rng, 8)
        check = sum(int(d) * w for d, w in zip(eight, range(9, 1, -1), strict=True)) % 11
        if check < 10:
            return f"{eight}{check}"


def bank_account(rng: Random, country: str) -> str:
    """An IBAN with good check digits; a plain account number in Hong Kong."""
    bank = "".join(rng.choice("ABCDEFGHKLMNRST") for _ in range(4))
    own = {"GB": bank + digits(rng, 14), "DE": digits(rng, 18), "FR": digits(rng, 23), "NL": bank + digits(rng, 10)}
    own |= {"IT": rng.choice("ABCDXYZ") + digits(rng, 22), "ES": digits(rng, 20)}
    if country not in own:
        return f"{rng.randrange(3, 400):03d}-{digits(rng, 6)}-{digits(rng, 3)}"
    counted = "".join(str(int(letter, 36)) for letter in f"{own[country]}{country}00")
    return f"{country}{98 - int(counted) % 97:02d}{own[country]}"
