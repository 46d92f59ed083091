"""Second thoughts: is this listing, though not the same to the letter, perhaps the same claim again?

The exact key blocks; this only holds a listing for a second pair of eyes, and says why, line by line. Whether it is
held was learnt from judged pairs (`likeness`, `resemblance`). The findings tell people why: each bears a weight,
roughly ten times the logarithm of how much likelier it is between a claim and its copy than between two honest
invoices. They know honest patterns: the monthly invoice of the same amount, instalments, part deliveries.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import log10

from marketplace.kernel.words import N_
from marketplace.receivables.matching import number
from marketplace.receivables.matching.claim import Claim, Finding, NearMatch, Verdict
from marketplace.receivables.matching.delivered import EXCUSED, SILENCED, about_delivery, about_silence
from marketplace.receivables.matching.fingerprint import document_class
from marketplace.receivables.matching.goods import EXPLAINS, about_lines, about_orders
from marketplace.receivables.matching.goods_read import bare
from marketplace.receivables.matching.likeness import load_likeness
from marketplace.receivables.matching.money import DUE_BUCKET_DAYS, about_dates, about_sums, coincidence, days
from marketplace.receivables.matching.one_paper import one_paper
from marketplace.receivables.matching.party import Kinship, kinship, registered_apart, vat_alone
from marketplace.receivables.matching.pattern import about_patterns
from marketplace.receivables.matching.resemblance import resemblance
from marketplace.receivables.matching.settled import settled

__all__ = ["HOLD_AT", "Claim", "Finding", "NearMatch", "by_rule", "compare", "nearest"]

HOLD_AT = 95
SELLER = {
    Kinship.SAME: 10,
    Kinship.NAMED: 10,
    Kinship.KIN: 4,
    Kinship.LOOSE: -14,
    Kinship.UNKNOWN: 0,
    Kinship.OTHER: -60,
}
DEBTOR = {
    Kinship.SAME: 10,
    Kinship.NAMED: 10,
    Kinship.KIN: 4,
    Kinship.LOOSE: -20,
    Kinship.UNKNOWN: 0,
    Kinship.OTHER: -70,
}
SUMS = frozenset(("same_amount", "amount_to_a_penny", "amount_closest", "half_amount", "part_amount"))
ONE_ORDER = frozenset(("same_order", "order_edited", "order_mentioned"))
TIES = ONE_ORDER | {"number_mentioned", "says_again", "same_document", "same_delivery_note"}
TWO_SELLERS = N_("Two sellers with registrations of their own, and no order, number or goods that tie them.")
TWO_COMPANIES = N_("Two debtors with registrations of their own, and no order or number that ties them.")
OTHER_GOODS = frozenset(("other_lines", "lines_differ", "lines_merged"))
SAID_APART = frozenset(("other_period", "other_part", "part_of_other", "other_document"))
EXCUSES = frozenset(
    ("other_lines", "other_order", "other_particulars", "other_identifiers", "other_contract", "other_place")
)
CREDIT_NOTE, NAMES_OTHER = -110, frozenset(("number_mentioned", "says_again"))
# Shorter ones may be of two series, 3-45 and 345; nobody counts to 10394 in two ways.
RESPELT_SIGNS_MIN = 5
FAR, CONSECUTIVE_MAX = frozenset(("number_neighbour", "other_number")), 5
HELD_BY_RULE = frozenset(("same_document", "number_again"))
# One file may hold several invoices, each with a number, goods and a sum of its own: then the rest decides.
OF_A_BATCH = frozenset(("other_number", "number_neighbour", "number_partner", "number_close"))
CHANCE_LEAST = 1e-6
# Where the findings alone say so much for a copy, three fifths of the chance are enough: of 36,575 honest pairs of the
# judged sets that holds 31 more.
LOUD_AT, LOUD_SHARE = 150, 0.6
RESEMBLES = N_("Measured by pairs judged before, it resembles a copy: %(percent)s of 100.")
ONE_PAPER = N_("Seller, debtor, days, sum and counter agree; only words around them differ.")
SUM_IN_SPITE = N_("Other goods come to the same odd sum, or to exactly half of it.")
RECUT = frozenset(("same_amount", "same_issue_date"))
# Findings that tell a copy from the next invoice of another who happens to use the same number.
CORROBORATES = frozenset(
    (
        "same_amount",
        "amount_to_a_penny",
        "amount_closest",
        "amount_close",
        "same_basis",
        "same_issue_date",
        "same_lines",
        "same_order",
        "same_delivery",
    )
)


def compare(new: Claim, old: Claim) -> NearMatch:
    """Compare a new claim with a known one. Symmetric in score and verdict.

    "same" is certain, by rule. "hold" is learnt: the pair resembles known copies more than the shipped model's card
    allows an honest one to, or nearly so while the findings are loud. The score, the sum of the weights, puts matches
    in order.

    Raises: IntegrityBreach("model_missing", "model_altered").
    """
    verdict, findings = by_rule(new, old)
    if verdict == "same":
        return NearMatch("same", max(_score(findings), HOLD_AT), tuple(findings))
    known = load_likeness()
    chance = known.chance(resemblance(new, old, findings))
    least = known.threshold * (LOUD_SHARE if _score(findings) >= LOUD_AT else 1)
    learnt: Verdict = "hold" if chance >= least else "apart"
    findings = [*findings, _resembles(chance)]
    return NearMatch(verdict or learnt, _score(findings), tuple(findings))


def _resembles(chance: float) -> Finding:
    """Say how much a pair resembles known copies; the weight is ten times the decimal logarithm of the odds."""
    within = min(max(chance, CHANCE_LEAST), 1 - CHANCE_LEAST)
    said: dict[str, object] = {"percent": min(max(round(chance * 100), 1), 99)}
    return Finding("resembles", round(10 * log10(within / (1 - within))), RESEMBLES, said)


def by_rule(new: Claim, old: Claim) -> tuple[Verdict | None, list[Finding]]:
    """Return the verdict where a rule alone decides it, and everything that the rules find.

    The very same file, and a number that the two used before, are held; a credit note is not the claim that it takes
    back. The same claim has the same parties, kind of document and currency, and a number that the exact key takes for
    the same, or that differs in separators or padding only while sum, day, order or lines agree; or all that it hangs
    on is the same but for words around number and names.
    """
    how = number.relation(new.read, old.read)
    sellers = kinship(new.seller, old.seller, new.seller_who, old.seller_who, _one(new.seller_group, old.seller_group))
    debtors = kinship(new.debtor, old.debtor, new.debtor_who, old.debtor_who, _one(new.debtor_group, old.debtor_group))
    parties = min(sellers, debtors)
    goods = [*about_orders(new, old), *about_lines(new, old)]
    codes = {finding.code for finding in goods}
    findings = [*_parties(new, old, sellers, debtors), *_number(new, old, how, sellers)]
    if how == "same_number" and _vat_group(new, old, sellers, debtors):
        findings.append(Finding("number_again", HOLD_AT, N_("The two used this number between them before.")))
    findings += _document(new, old, how, parties)
    findings += _ties(new, old, how, codes, sellers, debtors)
    findings += [*about_sums(new, old, not codes.isdisjoint(EXPLAINS)), *goods]
    findings += about_dates(new, old, parties >= Kinship.NAMED)
    delivered = [*about_delivery(new, old, sellers, debtors)]
    silent = [] if delivered else [*about_silence(new, old, how, sellers, debtors, codes)]
    findings = _in_view_of_each_other([*findings, *delivered, *silent])
    if parties is Kinship.SAME and _one_number(new, old, how, findings):
        return "same", findings
    if _one_class(new, old) and one_paper(new, old, sellers, debtors):
        return "same", [*findings, Finding("one_paper", HOLD_AT, ONE_PAPER)]
    in_spite = _in_spite(new, old, findings) if parties >= Kinship.KIN else 0
    if in_spite or delivered or silent or _score(findings) >= HOLD_AT:  # else no excuse is needed
        findings += about_patterns(new, old, how in number.EDITED or bool(codes & NAMES_OTHER))
    if in_spite and SAID_APART.isdisjoint(finding.code for finding in findings):
        findings = [replace(found, weight=0) if found.code in EXCUSES else found for found in findings]
        findings.append(Finding("sum_in_spite", in_spite, SUM_IN_SPITE))
    if any(found.code == "other_identifiers" and found.weight for found in findings):
        findings = [replace(found, weight=0) if found.code == "part_of_order" else found for found in findings]
    if delivered or silent:
        excused = EXCUSED if delivered else SILENCED
        findings = [
            replace(found, weight=max(found.weight, 0)) if found.code in excused else found for found in findings
        ]
    found = {finding.code for finding in findings}
    batch = found & OF_A_BATCH and found & OTHER_GOODS and found.isdisjoint(SUMS)
    if found & HELD_BY_RULE - ({"same_document"} if batch else set()):
        return "hold", findings
    credit = any(finding.weight == CREDIT_NOTE for finding in findings)
    return "apart" if credit else settled(new, old, found, debtors, _score(findings)), findings


def _in_view_of_each_other(findings: list[Finding]) -> list[Finding]:
    """Return the findings with no weight for what another one explains.

    A credit note names the invoice that it takes back; what stands in another's place may come later.
    """
    codes = {finding.code for finding in findings}
    if codes.isdisjoint(NAMES_OTHER):
        return findings
    idle = NAMES_OTHER if any(finding.weight == CREDIT_NOTE for finding in findings) else {"issued_apart"}
    return [replace(found, weight=0) if found.code in idle else found for found in findings]


def _score(findings: Sequence[Finding]) -> int:
    return sum([finding.weight for finding in findings])


def nearest(new: Claim, known: Sequence[Claim]) -> list[tuple[int, NearMatch]]:
    """Return (index, match) of every known claim that blocks or holds the new one, the most alike first."""
    found = [(index, compare(new, old)) for index, old in enumerate(known)]
    found = [(index, match) for index, match in found if match.verdict != "apart"]
    return sorted(found, key=lambda entry: (-entry[1].score, entry[0]))


def _in_spite(new: Claim, old: Claim, findings: Sequence[Finding]) -> int:
    """Return the weight of sums that agree in spite of the goods, 0 where they do not."""
    codes = {finding.code for finding in findings}
    if codes.isdisjoint(OTHER_GOODS):
        return 0
    mine, theirs = days(new, old)
    together = bool(mine and theirs) and abs((mine - theirs).days) <= DUE_BUCKET_DAYS  # type: ignore[operator]
    parts = together and not codes.isdisjoint(ONE_ORDER)
    return coincidence(new, old, next((code for code in codes if code in SUMS), ""), parts)


def _one(one: str | None, other: str | None) -> bool:
    return bool(one) and one == other


def _one_account(new: Claim, old: Claim) -> bool:
    return bool(new.iban and old.iban) and bare(new.iban) == bare(old.iban)


def _one_class(new: Claim, old: Claim) -> bool:
    return document_class(new.document_type) == document_class(old.document_type)


def _one_number(new: Claim, old: Claim, how: str, findings: Sequence[Finding]) -> bool:
    if not _one_class(new, old):
        return False
    if new.money != old.money:
        return False
    if how == "same_number":
        return True
    if how == "number_partner":  # cut otherwise: HK/202305/6771 and HK20230567 71
        recut = new.read.compact == old.read.compact and len(new.read.compact) >= RESPELT_SIGNS_MIN
        return recut and RECUT.issubset(finding.code for finding in findings)
    if how != "number_respelt":
        return False
    long = min(len(new.read.compact), len(old.read.compact)) >= RESPELT_SIGNS_MIN
    return long or any(finding.code in CORROBORATES for finding in findings)


def _vat_group(new: Claim, old: Claim, sellers: Kinship, debtors: Kinship) -> bool:
    """Say whether the parties are the same but for names under one VAT number, with no registration to decide by."""
    sides = (sellers, new.seller_who, old.seller_who), (debtors, new.debtor_who, old.debtor_who)
    return {sellers, debtors} != {Kinship.SAME} and all(
        kin is Kinship.SAME or (kin is Kinship.KIN and vat_alone(one, other)) for kin, one, other in sides
    )


def _parties(new: Claim, old: Claim, sellers: Kinship, debtors: Kinship) -> Iterator[Finding]:
    if new.document_sha256 and new.document_sha256 == old.document_sha256:
        yield Finding("same_document", HOLD_AT, N_("The very same file was listed before."))
    places = new.debtor_name.figures, old.debtor_name.figures
    if all(places) and places[0].isdisjoint(places[1]):
        yield Finding("other_place", -40, N_("The debtor is billed at two places of its own."))
    if sellers is debtors is Kinship.SAME:
        yield Finding("same_parties", 20, N_("Same seller and same debtor."))
        return
    yield Finding(f"seller_{sellers.name.lower()}", SELLER[sellers], SELLER_WORDS[sellers])
    yield Finding(f"debtor_{debtors.name.lower()}", DEBTOR[debtors], DEBTOR_WORDS[debtors])


SELLER_WORDS = {
    Kinship.SAME: N_("The same seller."),
    Kinship.NAMED: N_("Sellers of the same name."),
    Kinship.KIN: N_("The seller is perhaps a sister company, or the same under another name."),
    Kinship.LOOSE: N_("The sellers' names have something in common."),
    Kinship.UNKNOWN: N_("One of the two does not say who sells."),
    Kinship.OTHER: N_("Another seller."),
}
DEBTOR_WORDS = {
    Kinship.SAME: N_("The same debtor."),
    Kinship.NAMED: N_("Debtors of the same name."),
    Kinship.KIN: N_("The debtor is perhaps a sister company, or the same under another name."),
    Kinship.LOOSE: N_("The debtors' names have something in common."),
    Kinship.UNKNOWN: N_("One of the two does not say who owes."),
    Kinship.OTHER: N_("Another debtor."),
}


def _ties(new: Claim, old: Claim, how: str, codes: set[str], sellers: Kinship, debtors: Kinship) -> Iterator[Finding]:
    """Say what an order says between two sellers, and that nothing ties two companies that owe.

    A debtor gives an order to one seller. Companies of a group and franchisees buy alike, each for itself.
    """
    if sellers in (Kinship.KIN, Kinship.LOOSE) and debtors >= Kinship.KIN and "same_order" in codes:
        yield Finding("order_elsewhere", 14, N_("The debtor's order was billed by another seller."))
    if how in number.EDITED or not TIES.isdisjoint(codes):
        return
    if Kinship.OTHER < debtors < Kinship.NAMED and registered_apart(new.debtor_who, old.debtor_who):
        yield Finding("two_companies", -36 if debtors >= Kinship.KIN else -48, TWO_COMPANIES)
    elif debtors is Kinship.LOOSE:
        yield Finding("untied", -12, N_("Nor does an order or number tie the two debtors."))
    if _one_account(new, old) and sellers < Kinship.SAME:
        yield Finding("same_account", 40, N_("Both are payable to the same account, though the sellers differ."))
    elif Kinship.OTHER < sellers < Kinship.NAMED and registered_apart(new.seller_who, old.seller_who):
        unlike = not new.goods.odd or new.goods.priced != old.goods.priced
        yield Finding("two_sellers", -28 if unlike else 0, TWO_SELLERS)


def _number(new: Claim, old: Claim, how: str, sellers: Kinship) -> Iterator[Finding]:
    said: dict[str, object] = {"new": new.number or "-", "old": old.number or "-"}
    yield Finding(how, number.WEIGHTS[how], number.SAID[how], said)
    near = how not in FAR or number.step(new.read, old.read) <= CONSECUTIVE_MAX
    if not near and sellers >= Kinship.NAMED and new.issued_on and new.issued_on == old.issued_on:
        yield Finding("far_in_series", 10, N_("Issued on one day, yet not one after the other."))


def _document(new: Claim, old: Claim, how: str, parties: Kinship) -> Iterator[Finding]:
    """Say what the kinds of document, and a number used twice between two parties, tell.

    No series repeats itself: a number that the two used already is held in another currency too. Credit notes are
    counted apart, so one may honestly bear an invoice's number; a note that takes back a claim is not that claim.
    """
    mine, theirs = document_class(new.document_type), document_class(old.document_type)
    again = how == "same_number" and parties is Kinship.SAME
    said: dict[str, object] = {"new": new.document_type, "old": old.document_type}
    if mine != theirs:
        credit = "credit" in (mine, theirs)
        weight = CREDIT_NOTE if credit else -20
        yield Finding("other_document", weight, N_("Another kind of document, %(new)s and %(old)s."), said)
        again = again and not credit
    if again and (mine != theirs or new.money != old.money):
        yield Finding("number_again", HOLD_AT, N_("The two used this number between them before."))
