"""One delivery billed again: lines of two claims that name the same job, week, plate, consignment or flat.

The next honest bill differs in one of these; a copy keeps them all, whatever its number, day, sums and words say.
"""

from collections.abc import Iterator

from marketplace.kernel.words import N_
from marketplace.receivables.matching.claim import Claim, Finding
from marketplace.receivables.matching.identifying import identified_apart
from marketplace.receivables.matching.line_words import LineWords
from marketplace.receivables.matching.money import ROUND_MINOR, days
from marketplace.receivables.matching.particulars import told_apart
from marketplace.receivables.matching.party import Kinship, registered_apart

SOON_DAYS = 20
SITE_FIGURES_MIN = 4  # a flat, a house, a month and its year
SURE, LIKELY = 100, 75
BESIDE_DAYS, CONVERTED_DAYS, SILENT_DAYS, WEEK = 10, 6, 14, 7
GROUP_FIGURES_MIN = 3  # a house, a week and its year
SILENT, CONVERTED = 45, 70
NOTHING_APART = N_("The same odd sum within days, and nothing tells the two apart.")
CONVERTED_SAID = N_("The same goods within days, in another currency.")
SAME_DELIVERY = N_("Lines of both name the same job, week, serial number or the like.")
EXCUSED = frozenset(
    (
        "other_amount",
        "other_currency",
        "issued_apart",
        "other_order",
        "other_contract",
        "other_identifiers",
        "other_particulars",
        "other_lines",
        "regular_months",
        "regular_weeks",
        "undated",
        "part_amount",
        "two_companies",
        "two_sellers",
        "untied",
    )
)
SILENCED = frozenset(("regular_weeks", "part_of_other", "two_companies", "two_sellers"))


def _alike(one: LineWords, other: LineWords) -> int:
    """Return how surely two lines name one delivery: 2 surely, 1 where days must agree too, 0 not."""
    mine, theirs = one.marks, other.marks
    if mine != theirs or not (one.dated or one.yearly):
        return 0
    lacking = min(len(set(one.words) - set(other.words)), len(set(other.words) - set(one.words)))
    if one.rare and len(mine) >= 2 and (not lacking or one.dated):
        return 2
    if one.dated and (not lacking or (lacking == 1 and len(mine) >= SITE_FIGURES_MIN)):
        return 2  # who rewords a line keeps street and town
    return 1 if not lacking and set(one.words) == set(other.words) else 0


def about_silence(
    new: Claim, old: Claim, how: str, sellers: Kinship, debtors: Kinship, codes: set[str]
) -> Iterator[Finding]:
    """Yield what it says that the same odd sum falls due twice within days and nothing tells the two apart.

    Numbers next to each other are what honest bills bear, so then only days very near each other say it.
    """
    mine, theirs = days(new, old)
    parties = min(sellers, debtors)
    if (
        not mine
        or not theirs
        or parties < (Kinship.LOOSE if "same_order" in codes else Kinship.KIN)
        or "other_order" in codes
    ):
        return
    apart, beside = abs((mine - theirs).days), how == "number_neighbour"
    if new.money != old.money:
        if apart <= CONVERTED_DAYS and not codes.isdisjoint(("same_goods", "same_quantities")):
            yield Finding("converted", CONVERTED, CONVERTED_SAID)
        return
    if not new.amount_minor or new.amount_minor != old.amount_minor or new.amount_minor % ROUND_MINOR[beside] == 0:
        return
    accounted = bool(new.goods.lines and old.goods.lines) and "lines_generic" not in codes
    if accounted and codes.isdisjoint(("same_lines", "lines_alike", "same_line_amounts", "lines_merged")):
        return
    if apart > (BESIDE_DAYS if beside else SILENT_DAYS) or (beside and (accounted or apart == WEEK)):
        return
    if accounted and identified_apart(new.goods.read_lines, old.goods.read_lines):
        return
    if told_apart(new.goods.particulars, old.goods.particulars):
        return
    if beside and debtors < Kinship.SAME and registered_apart(new.debtor_who, old.debtor_who):
        return  # companies of a group, billed one after the other
    yield Finding("nothing_apart", SILENT, NOTHING_APART)


def about_delivery(new: Claim, old: Claim, sellers: Kinship, debtors: Kinship) -> Iterator[Finding]:
    """Yield the finding that every line of the claim with fewer of them names what a line of the other names."""
    if min(sellers, debtors) < Kinship.LOOSE:
        return
    less, more = sorted((new.goods.named, old.goods.named), key=len)
    if not less:
        return
    alike = new.amount_minor is not None and new.amount_minor == old.amount_minor
    least = GROUP_FIGURES_MIN if alike else SITE_FIGURES_MIN
    if debtors < Kinship.NAMED and not all(said.rare or len(said.marks) >= least for said in less):
        return  # what several debtors of a group buy, each for itself
    sure = min(max((_alike(line, other) for other in more), default=0) for line in less)
    mine, theirs = days(new, old)
    soon = bool(mine and theirs) and abs((mine - theirs).days) <= SOON_DAYS  # type: ignore[operator]
    if sure == 2 or (sure == 1 and soon):
        yield Finding("same_delivery", SURE if sure == 2 else LIKELY, SAME_DELIVERY)
