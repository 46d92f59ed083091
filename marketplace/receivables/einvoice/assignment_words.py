"""What an invoice says in free words about having been sold, assigned or pledged already. Pure; a person decides.

A factor wants the debtor to pay it, so the notice is printed on the invoice itself: in the notes (EN 16931 BT-22) or
the terms of payment (BT-20). Words that only sound alike must not hold an honest invoice: somebody assigned to a
project, a machine sold to the debtor, a clause that forbids assignment.
"""

import re

from marketplace.receivables.matching.look_alikes import folded

# What may be assigned: without one of these close by, "assigned to" speaks of people or tasks.
DEBT = (
    r"(?:DEBTS?|INVOICES?|RECEIVABLES?|CLAIMS?|BOOK DEBTS?|AMOUNTS?|PAYMENTS?|PROCEEDS|ACCOUNTS?|RIGHTS|"
    r"BENEFIT|SUMS?)"
)
MOVED = r"(?:ASSIGNED|SOLD|TRANSFERRED|PLEDGED|CHARGED|CEDED|FACTORED)"
ELSEWHERE = r"(?! (?:ACCOUNT|THE ACCOUNT|OUR|US\b|THE FOLLOWING|THIS|IBAN|BANK))"
PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        # English
        rf"\b{DEBT}\b[^.;\n]{{0,60}}\b{MOVED}\b[^.;\n]{{0,20}}\bTO\b{ELSEWHERE}",
        rf"\b{DEBT}\b[^.;\n]{{0,20}}\b(?:IS|ARE|WAS|WERE|BEEN) FACTORED\b",
        rf"\b(?:HAVE|HAS|HEREBY|BEEN|WE)\b[^.;\n]{{0,20}}\b{MOVED}\b[^.;\n]{{0,40}}\b{DEBT}\b",
        r"\bNOTICE OF ASSIGNMENT\b",
        rf"\bASSIGNMENT OF (?:THIS |THE |ALL |OUR |ITS )*{DEBT}\b",
        r"\b(?:OUR|THE) (?:FACTOR|ASSIGNEE|FINANCIER|FUNDER)\b",
        r"\b(?:INVOICE )?FACTORING\b",
        r"\bINVOICE (?:FINANCE|DISCOUNTING)\b",
        r"\bDISCHARGE\b[^.;\n]{0,40}\bONLY\b[^.;\n]{0,40}\bPAY",
        # German
        r"\bABGETRETEN\b", r"\bABTRETUNG(?:SANZEIGE|SERKLARUNG|SVERTRAG|EN)?\b", r"\bZESSION(?:AR|ARIN|SVERTRAG|EN)?\b",
        r"\bFORDERUNG(?:EN)?\b[^.;\n]{0,60}\b(?:VERKAUFT|UBERTRAGEN|VERPFANDET)\b", r"\bSCHULDBEFREIEND\w*",
        # French
        r"\bCESSION(?:NAIRE)?S?\b[^.;\n]{0,30}\b(?:CREANCES?|DAILLY)\b", r"\bCEDEE?S?\b[^.;\n]{0,20}\bA\b",
        r"\bAFFACTUR(?:AGE|EUR)\b", r"\bSUBROG(?:ATION|EE?S?|ATIVE)\b", r"\bNANTISSEMENT\b",
        # Italian, Spanish, Portuguese, Dutch, Polish
        r"\bCESSIONE (?:DEL|DI|DEI) CREDIT[OI]\b", r"\bCREDITO CEDUTO\b", r"\bCEDUTO PRO[ -]SOLUTO\b",
        r"\bCESION DE (?:CREDITO|CREDITOS|DERECHOS)\b", r"\b(?:CREDITO|FACTURA) CEDID[OA]\b",
        r"\bCESSAO DE CREDITOS?\b", r"\b(?:CESSIE|GECEDEERD|VERPAND)\b", r"\b(?:CESJA|CESJI|FAKTORINGU?)\b",
        r"\bCEDUT[AEIO] (?:A|AL|ALLA|AD)\b", r"\bCEDID[AO]S? (?:A|AL|AO)\b", r"\b(?:LIBERATOIRE|PRO SOLVENDO)\b",
        # Swedish, Danish, Norwegian, Finnish
        r"\b(?:FAKTURA|FORDRAN|FORDRING)\w*\b[^.;\n]{0,40}\bOVERLAT(?:EN|ET|ITS|NA)\b",
        r"\b(?:FAKTURA|FORDRING)\w*\b[^.;\n]{0,40}\b(?:OVERDRAGET|TRANSPORTERET) TIL\b", r"\bSIIRRETTY\b",
        # Chinese
        r"(?:应收账款|應收帳款|債權|债权)[^。;\n]{0,20}(?:转让|轉讓|讓與)", r"保理",
        # Japanese
        r"債権譲渡",
    )
)  # fmt: skip
# A clause that forbids an assignment, or says there was none, is no assignment.
DENIED = re.compile(
    r"\b(?:NOT|NEVER|NO|WITHOUT|PROHIBIT\w*|FORBID\w*|MAY|KEINE?|NICHT|NON|NE PEUT|SANS|NIET|NIE)\b[^.;\n]{0,40}$|"
    r"ABTRETUNGSVERBOT"
)
DENIED_AFTER = re.compile(
    r"^[^.;\n]{0,30}\b(?:AUSGESCHLOSSEN|UNZULASSIG|UNTERSAGT|VERBOTEN|NICHT|PROHIBITED|EXCLUDED|FORBIDDEN|INTERDITE?|"
    r"EXCLUE|NOT (?:PERMITTED|ALLOWED))\b"
)
LOOK_AROUND = 45
SHOWN = 80


def assignment_wording(notes: str | None) -> str | None:
    """Return the words of a note that say the claim was sold, assigned or pledged, as they stand folded, or None."""
    if not notes:
        return None
    words = re.sub(r"[ \t]+", " ", folded(notes))
    for pattern in PATTERNS:
        for match in pattern.finditer(words):
            before, after = words[max(0, match.start() - LOOK_AROUND) : match.start()], words[match.end() :]
            if not (DENIED.search(before) or DENIED.search(match[0]) or DENIED_AFTER.search(after[:LOOK_AROUND])):
                return match[0][:SHOWN]
    return None
