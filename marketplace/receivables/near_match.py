"""Second thoughts: is this listing, though not the same to the letter, perhaps the same claim again?

The exact key blocks; this only holds a listing for a second pair of eyes, and says why, line by line.
It knows honest patterns: the monthly invoice of the same amount, instalments, part deliveries.
"""

from collections import Counter
from collections.abc import Sequence

from rapidfuzz.distance import DamerauLevenshtein

from marketplace.kernel.words import N_
from marketplace.receivables.fingerprint import canonical_number, document_class
from marketplace.receivables.matching.claim import Claim, Finding, NearMatch
from marketplace.receivables.matching.number import READ_ALIKE

__all__ = ["Claim", "Finding", "NearMatch", "compare", "nearest"]

DUE_BUCKET_DAYS = 7
HOLD_AT = 100


def compare(new: Claim, old: Claim) -> NearMatch:
    """Compare a new claim with a known one. Symmetric in score and verdict."""
    findings = [*_parties(new, old), *_number(new, old), *_money(new, old), *_goods(new, old), *_again(new, old)]
    score = sum(finding.weight for finding in findings)
    if _is_same(new, old):
        return NearMatch("same", max(score, HOLD_AT), tuple(findings))
    return NearMatch("hold" if score >= HOLD_AT else "apart", score, tuple(findings))


def nearest(new: Claim, known: Sequence[Claim]) -> list[tuple[int, NearMatch]]:
    """Return (index, match) of every known claim that blocks or holds the new one, the most alike first."""
    found = [(index, compare(new, old)) for index, old in enumerate(known)]
    found = [(index, match) for index, match in found if match.verdict != "apart"]
    return sorted(found, key=lambda entry: (-entry[1].score, entry[0]))


def _is_same(new: Claim, old: Claim) -> bool:
    def key(claim: Claim) -> tuple[str, ...]:
        return (
            claim.seller,
            claim.debtor,
            canonical_number(claim.number),
            document_class(claim.document_type),
            claim.currency,
        )

    return key(new) == key(old)


def _again(new: Claim, old: Claim) -> list[Finding]:
    """A number that the same two parties used already is held whatever else differs: no series repeats itself."""
    between = (new.seller, new.debtor, canonical_number(new.number))
    if between != (old.seller, old.debtor, canonical_number(old.number)) or _is_same(new, old):
        return []
    words = N_("The same number between the same parties, in another currency or as another kind of document.")
    return [Finding("number_again", HOLD_AT, words)]


def _parties(new: Claim, old: Claim) -> list[Finding]:
    if new.document_sha256 and new.document_sha256 == old.document_sha256:
        return [Finding("same_document", 100, N_("The very same file was listed before."))]
    if new.seller == old.seller and new.debtor == old.debtor:
        return [Finding("same_parties", 20, N_("Same seller and same debtor."))]
    if new.debtor == old.debtor:
        return [Finding("same_debtor", 0, N_("Same debtor, another seller."))]
    return [Finding("other_debtor", -60, N_("Another debtor."))]


def _number(new: Claim, old: Claim) -> list[Finding]:
    mine, theirs = canonical_number(new.number), canonical_number(old.number)
    said: dict[str, object] = {"new": new.number, "old": old.number}
    if mine == theirs:
        return [Finding("same_number", 50, N_("The numbers %(new)s and %(old)s are the same."), said)]
    if mine.translate(READ_ALIKE).lstrip("0") == theirs.translate(READ_ALIKE).lstrip("0"):
        return [Finding("number_reads_alike", 45, N_("The numbers %(new)s and %(old)s read alike."), said)]
    if Counter(mine.replace("0", "")) == Counter(theirs.replace("0", "")) and len(mine) >= 4:
        return [Finding("number_rearranged", 35, N_("The numbers %(new)s and %(old)s have the same signs."), said)]
    if len(mine) >= 5 and min(len(mine), len(theirs)) >= 5 and (mine in theirs or theirs in mine):
        return [Finding("number_extended", 40, N_("One of %(new)s and %(old)s contains the other."), said)]
    if DamerauLevenshtein.distance(mine, theirs) <= 1 and len(mine) >= 4:
        weight = 10 if mine.isdigit() and theirs.isdigit() else 25  # neighbours in a series differ by one digit
        return [Finding("number_close", weight, N_("The numbers %(new)s and %(old)s differ in one sign."), said)]
    return [Finding("other_number", 0, N_("The numbers %(new)s and %(old)s differ."), said)]


def _money(new: Claim, old: Claim) -> list[Finding]:
    if new.currency != old.currency:
        return [Finding("other_currency", -20, N_("Another currency."))]
    gap = abs(new.amount_minor - old.amount_minor)
    largest = max(abs(new.amount_minor), abs(old.amount_minor), 1)
    findings = []
    if gap == 0:
        findings.append(Finding("same_amount", 30, N_("The same amount.")))
    elif gap * 100 <= largest:
        findings.append(Finding("amount_close", 25, N_("The amounts differ by less than one percent.")))
    elif min(abs(new.amount_minor), abs(old.amount_minor)) * 2 == largest:
        findings.append(Finding("half_amount", 15, N_("One amount is half the other.")))
    if new.issued_on and old.issued_on:
        apart = abs((new.issued_on - old.issued_on).days)
        if apart == 0:
            findings.append(Finding("same_issue_date", 25, N_("Issued on the same day.")))
        elif apart >= 25 and gap == 0:
            findings.append(
                Finding("another_month", -25, N_("The same amount a month or more apart: perhaps a regular bill."))
            )
    if new.due_on and old.due_on and abs((new.due_on - old.due_on).days) <= DUE_BUCKET_DAYS:
        findings.append(Finding("due_together", 10, N_("Due within a week of each other.")))
    return findings


def _goods(new: Claim, old: Claim) -> list[Finding]:
    findings = []
    if new.purchase_order and old.purchase_order:
        if canonical_number(new.purchase_order) == canonical_number(old.purchase_order):
            findings.append(Finding("same_order", 15, N_("They bill the same purchase order.")))
        else:
            findings.append(Finding("other_order", -15, N_("They bill different purchase orders.")))
    if new.lines and old.lines:
        mine, theirs = Counter(new.lines), Counter(old.lines)
        shared = sum((mine & theirs).values())
        if shared == max(sum(mine.values()), sum(theirs.values())):
            findings.append(Finding("same_lines", 25, N_("Line by line the same goods at the same prices.")))
        elif shared == 0:
            findings.append(Finding("other_lines", -15, N_("No line in common.")))
    return findings
