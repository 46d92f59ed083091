"""The model card: what a model is, what it was fitted on, how good it is, and what it cannot know. JSON, no dates."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from marketplace.kernel.words import N_
from marketplace.rating.dataset import BOTH, OWN, REGISTER, FirmYears
from marketplace.rating.ratios import LEVELS, RATIOS, in_level

CARD = "card.json"
SOURCE = (
    "US companies listed on NYSE and NASDAQ, fiscal years 1999-2014; failure = Chapter 7 or 11 in the year after "
    "the accounts. Lombardo et al. 2022, Future Internet 14(8) 244; Pellegrino et al. 2024, Future Internet 16(3) 79. "
    "CC BY 4.0."
)
LIMITS = (
    N_(
        "No UK default labels were available: the model learnt from listed US companies and was never "
        "judged on UK ones."
    ),
    N_(
        "Every PD is shifted to the market's own yearly rate (policy: UK 0.52 %); a portfolio's average "
        "need not be that."
    ),
    N_("Listed companies are not micro entities: the smallest companies lie outside what was seen."),
    N_("Accounts are old when they are filed; the model knows nothing that happened since, and no payment behaviour."),
    N_("A year's failures are few (86 in the years held back): the standard error of an AUC is about .02."),
    N_(
        "The public set holds about 98.4 per cent of its source's rows; "
        "the outcome of 17 failures may sit one year too early."
    ),
    N_("Size, sector, age and country are not used."),
)
REGISTER_SOURCE = (
    "Companies House: accounts data product and free company data product; failure = liquidation, administration, "
    "receivership or voluntary arrangement between the balance sheet date and the end of the window. "
    "Public sector information."
)
REGISTER_LIMITS = (
    N_("The monthly files tell a liquidation that owners chose and could afford as any other: some failures are none."),
    N_("Companies that left the register before a monthly file told a failure are not among the rows."),
    N_("A failure counts until the first monthly file after the window: up to the tolerance later."),
    N_("Scanned and otherwise unreadable accounts are not among the rows."),
    LIMITS[3],
    LIMITS[6],
)
METRICS_NOTE = N_(
    "Held back: the same recipe fitted and calibrated on years up to 2011 alone, judged on 2012 to 2014. "
    "The model in use learnt from those years too."
)
REGISTER_METRICS_NOTE = N_(
    "Held back: the same recipe fitted and calibrated on the years before the newest three, judged on those. "
    "The model in use learnt from them too."
)
BY_COMPANY_NOTE = (
    "By companies held out, all years: each company scored by a model, and calibrated by a line, that saw none of its "
    "years."
)
BY_COMPANY_NEWEST_NOTE = "The same, judged and calibrated on the newest three years alone."
OWN_SOURCE = (
    "This market's own outcomes: a row for each debtor and each set of accounts on which its receivables were listed; "
    "failure = a default here within the window after the first of those listings."
)
OWN_LIMITS = (
    N_(
        "A default here is ninety days past due, or insolvency; the public set's is bankruptcy. Both count as failures."
    ),
    N_("Only companies whose debts were bought here are among this market's own rows: it chose them."),
    N_("The window of a market's own row begins with the first listing, not with the balance sheet date."),
    LIMITS[3],
    LIMITS[6],
)
# Of each origin: where the rows come from, what the model cannot know, what the years held back are.
SAID = {
    "us": (SOURCE, LIMITS, METRICS_NOTE),
    REGISTER: (REGISTER_SOURCE, REGISTER_LIMITS, REGISTER_METRICS_NOTE),
    OWN: (OWN_SOURCE, OWN_LIMITS, REGISTER_METRICS_NOTE),
    BOTH: (f"{OWN_SOURCE} And: {SOURCE}", (*OWN_LIMITS, LIMITS[1], LIMITS[2], LIMITS[5]), REGISTER_METRICS_NOTE),
}
BY_COMPANY_YEARS_NOTE = (
    "Companies held out, by years: the AUC of all their rows together, and that of each year's companies among "
    "themselves, the mean by how many failed."
)
EXPLANATION = (
    "Shapley values of the champion's log-odds against one reference company, the median survivor of the fitting "
    "window seen at the same level: interventional TreeSHAP with one background row, exact, adding up."
)


def make_card(
    *,
    data: FirmYears,
    windows: Mapping[str, list[int]],
    parameters: Mapping[str, Any],
    calibration: Mapping[str, list[float]],
    base_rate: float,
    reference: Mapping[str, float],
    trees_weight: float,
    held_back: Mapping[str, Any],
    by_company: Mapping[str, Any],
    by_company_newest: Mapping[str, Any],
    by_company_years: Sequence[Mapping[str, Any]],
    files: Mapping[str, str],
) -> dict[str, Any]:
    """Return the card. The version is made of what the model is: other files, another version."""
    source, limits, note = SAID[data.origin]
    body: dict[str, Any] = {
        "name": "Duebill party rating",
        "champion": "mean of monotone gradient boosting on five masked copies and the scorecard, "
        "Platt calibration by level",
        "challenger": "binned logistic scorecard, one a level",
        "data": {
            "file": data.filename,
            "sha256": data.sha256,
            "rows": len(data.outcome),
            "failures": int(data.outcome.sum()),
            "source": source,
            **({"left_out": dict(data.left_out)} if data.left_out else {}),
            **({"own": dict(data.own)} if data.own else {}),
        },
        "windows": dict(windows),
        "parameters": dict(parameters),
        "libraries": {name: version(name) for name in ("scikit-learn", "numpy", "skops")},
        "levels": {level: [ratio.name for ratio in RATIOS if in_level(ratio, level)] for level in LEVELS},
        "directions": {ratio.name: ratio.direction for ratio in RATIOS},
        "calibration": dict(calibration),
        "base_rate": round(base_rate, 9),
        "reference": dict(reference),
        "trees_weight": trees_weight,
        "metrics": dict(held_back or by_company),
        "metrics_note": note if held_back else BY_COMPANY_NOTE,
        "by_company": dict(by_company),
        "by_company_note": BY_COMPANY_NOTE,
        "by_company_newest": dict(by_company_newest),
        "by_company_newest_note": BY_COMPANY_NEWEST_NOTE,
        "by_company_years": list(by_company_years),
        "by_company_years_note": BY_COMPANY_YEARS_NOTE,
        "explanation": EXPLANATION,
        "limits": list(limits),
        "files": dict(files),
    }
    identity = json.dumps(
        [body["files"], body["calibration"], body["base_rate"], body["reference"], trees_weight], sort_keys=True
    )
    body["version"] = f"gb-{hashlib.sha256(identity.encode()).hexdigest()[:8]}"
    return body


def card_text(card: Mapping[str, Any]) -> str:
    """Return the card as its file holds it."""
    return json.dumps(card, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
