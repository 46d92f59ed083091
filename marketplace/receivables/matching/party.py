"""Who is who on two papers: one party, kin (a sister company, an alias), unknown, or another."""

import re
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from rapidfuzz import fuzz
from rapidfuzz.distance import OSA

from marketplace.receivables.matching.fingerprint import Identity, same_party
from marketplace.receivables.matching.lazily import lazily
from marketplace.receivables.matching.look_alikes import folded

# Words that say what kind of company it is, where it is or whose; none of them tells one company from another.
_FORMS = (
    "LTD LLC LLP INC CORP CO PLC GMBH AG KG OHG UG SE EK GBR SA SAS SARL SL SLU SRL SPA SNC BV NV BVBA SRO AS ASA AB "
    "OY OYJ APS KFT ZRT DOO DD SP ZOO Z O OO PTY PTE LP GP AND THE DE DES LA LE LES DER DIE DAS EL OF VAN MBH CIE C "
    "PVT SDN BHD PT TBK STI TIC OU SIA UAB EHF HF ANS KS HB KY NYRT BT KKT RT LTDA EIRL SAC SAB SAPI RL CV SASU EURL "
    "SAU SLL SRLS SCARL SPRL VOF KGAA EG PCL DAC CIC FZE FZCO WLL GK YK YH TEO JDOO SHPK CTY TNHH CTCP UNIPESSOAL "
    "OOO AO ПAO 3AO OAO TOB ПAT ПPAT ДOO OOД EOOД AД ЕПЕ IKE 有限公司 股份有限公司"
)
_GENERAL = (
    "GROUP HOLDING HOLDINGS INTERNATIONAL GLOBAL EUROPE EUROPEAN TRADING SERVICES SERVICE SOLUTIONS STORES STORE "
    "RETAIL LOGISTICS ENTERPRISES PARTNERS PARTNER VENTURES INDUSTRIES SYSTEMS NORTH SOUTH EAST WEST NORTHERN "
    "SOUTHERN EASTERN WESTERN GB UK HK EU USA DEUTSCHLAND FRANCE ITALIA ESPANA NEDERLAND IRELAND SCOTLAND WALES "
    "ENGLAND BRANCH DIVISION SUPPLIES SUPPLY PRODUCTS PROPERTY PROPERTIES FINANCE OPERATIONS DISTRIBUTION SALES"
)
FORMS, GENERAL = frozenset(folded(_FORMS).split()), frozenset(_GENERAL.split())
LATIN = re.compile("[A-Z]{2}")
ALIKE_AT = 88.0
STEM_ALIKE_AT = 80.0
WORD_ALIKE_AT = 70.0
FOUND_MIN = 2  # of three words and more: two that the names have in common are those of one company
LETTERS_READ = str.maketrans("0158", "OISB")


class Kinship(IntEnum):
    """What two papers say of one side of the debt, the nearer the higher."""

    OTHER = 0
    UNKNOWN = 1
    LOOSE = 2  # one distinctive word in common: perhaps a group
    KIN = 3  # an alias, a sister, a misspelling, or the same VAT group
    NAMED = 4  # the same name but for the legal form, and no other number
    SAME = 5


@dataclass(frozen=True)
class NameRead:
    """A name without its legal form: its words, the first that tells it apart, and its initials."""

    words: tuple[str, ...]
    stem: str
    initials: str

    @lazily
    def figures(self) -> frozenset[str]:
        """Figures in the name: the store, the branch."""
        return frozenset(word for word in self.words if word.isdecimal())

    @lazily
    def text(self) -> str:
        """The words as one text."""
        return " ".join(self.words)


@lru_cache(maxsize=65_536)
def read_name(name: str) -> NameRead:
    """Return a normalised name (`Identity.name`) in the forms that are compared."""
    said = name.split()
    words = tuple(word for word in said if word not in FORMS) or tuple(said)
    telling = [word for word in words if word not in GENERAL and len(word) > 1] or list(words)
    initials = "".join(word[0] for word in words if word != "AND")
    return NameRead(words, telling[0] if telling else "", initials if len(initials) >= 2 else "")


def kinship(mine: str, theirs: str, one: Identity | None, other: Identity | None, same_group: bool) -> Kinship:
    """Return how near two parties are. `mine` and `theirs` are the market's own identities, empty where unknown.

    Two that the market itself tells apart are never SAME, whatever their papers say.
    """
    if mine and theirs:
        if mine == theirs:
            return Kinship.SAME
        if same_group:
            return Kinship.KIN
    elif one is not None and other is not None and same_party(one, other):
        return Kinship.KIN if vat_alone(one, other) and _renamed(one, other) else Kinship.SAME
    if one is None or other is None:
        return Kinship.OTHER if mine and theirs else Kinship.UNKNOWN
    return _on_paper(one, other)


def vat_alone(one: Identity | None, other: Identity | None) -> bool:
    """Say whether only a VAT number ties two parties: companies of one group may share it."""
    if not (one and other and one.vat and one.vat_core == other.vat_core):
        return False
    if not (one.legal or other.legal):
        return True
    return bool(one.legal and other.legal) and one.legal != other.legal and one.legal_from_vat != other.legal_from_vat


def _renamed(one: Identity, other: Identity) -> bool:
    """Say whether the names clearly differ: a word of the shorter one is like no word of the other."""
    if not (one.name and other.name) or _by_name(*sorted((one.name, other.name))) >= Kinship.KIN:
        return False
    few, many = sorted((read_name(one.name).words, read_name(other.name).words), key=len)
    many = tuple(map(_drawn, many))
    found = sum(any(fuzz.ratio(_drawn(word), said) >= WORD_ALIKE_AT for said in many) for word in few)
    return found < len(few) and (found < FOUND_MIN or 2 * found <= len(few))


def _drawn(word: str) -> str:
    """Return a word in letters, what scans draw alike as one: Baurn1er as Baumier."""
    return word.translate(LETTERS_READ).replace("RN", "M")


def registered_apart(one: Identity | None, other: Identity | None) -> bool:
    """Say whether both parties give numbers, and not one of them is the other's, nor the other's mistyped."""
    if not (one and other and one.numbers and other.numbers) or one.numbers & other.numbers:
        return False
    return not _mistyped(one, other)


def _mistyped(one: Identity, other: Identity) -> bool:
    return any(OSA.distance(a, b, score_cutoff=1) <= 1 for a in one.numbers for b in other.numbers)


def _on_paper(one: Identity, other: Identity) -> Kinship:
    if one.numbers & other.numbers:
        named = bool(one.name) and read_name(one.name).words == read_name(other.name).words
        return Kinship.NAMED if named else Kinship.KIN
    if not one.name or not other.name:
        return Kinship.OTHER if one.numbers and other.numbers else Kinship.UNKNOWN
    found = _by_name(*sorted((one.name, other.name)))
    if found is Kinship.UNKNOWN and registered_apart(one, other):
        return Kinship.LOOSE
    return Kinship.KIN if found is Kinship.NAMED and registered_apart(one, other) else found


@lru_cache(maxsize=65_536)
def _by_name(one: str, other: str) -> Kinship:
    left, right = read_name(one), read_name(other)
    if bool(LATIN.search(one)) != bool(LATIN.search(other)):
        return Kinship.UNKNOWN  # 永興有限公司 may be called anything in English
    if "".join(left.words) == "".join(right.words):
        return Kinship.NAMED
    if fuzz.token_sort_ratio(left.text, right.text) >= ALIKE_AT:
        return Kinship.KIN
    if _short_for(left, right) or _short_for(right, left):
        return Kinship.KIN
    fewer, more = sorted((set(left.words) - GENERAL, set(right.words) - GENERAL), key=len)
    if fewer and fewer <= more:
        return Kinship.KIN
    if left.stem == right.stem or fuzz.ratio(left.stem, right.stem) >= STEM_ALIKE_AT:
        return Kinship.LOOSE
    return Kinship.LOOSE if any(len(word) > 3 for word in fewer & more) else Kinship.OTHER


def _short_for(short: NameRead, long: NameRead) -> bool:
    """Say whether one name is the initials of the other: IBM, M and S."""
    *leading, last = short.words or ("",)
    if len(leading) == 1 and long.words[-1:] == (last,) and long.initials[: len(leading[0])] == leading[0]:
        return len(leading[0]) >= 2  # MR Systems for Marlow Reid Systems
    letters = "".join(word for word in short.words if word != "AND")
    return 2 <= len(letters) <= 5 and letters == long.initials and len(long.words) >= 2


def anchors(market: str, who: Identity | None, name: NameRead) -> list[str]:
    """Return up to two texts under which a party is looked up: its surest number, and the stem of its name."""
    found = [f"#{market}"] if market else []
    if not found and who is not None and who.numbers:
        found = [f"#{min(who.numbers, key=lambda number: (len(number), number))}"]
    return [*found, name.stem] if name.stem else found
