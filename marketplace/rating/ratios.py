"""Scale-free ratios of one or two balance sheets: what the model sees. Pure; one formula for training and scoring.

Works on arrays of whole populations (training) and of one company (scoring) alike. A missing figure is NaN, and so is
every ratio of it. No ratio knows the size of a company or its currency.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
from numpy.typing import NDArray

from marketplace.kernel.words import N_
from marketplace.rating.filing import Filing
from marketplace.rating.parts import fill
from marketplace.rating.sheet import FIGURES, FULL, MICRO, SMALL, Sheet, complete, figures_of, level_of

Array = NDArray[np.float64]
Columns = Mapping[str, Array]

LEVELS = ("micro", "micro-prior", "small", "small-prior", "full")


@dataclass(frozen=True)
class Ratio:
    """One ratio: its name, which way it may move a PD (+1 up, -1 down, 0 either), the least level that knows it.

    `words` say it to people, with its value as `%(percent)s`; `words_below` when the value is below zero.
    """

    name: str
    direction: int
    sheet: str
    prior: bool
    least: float  # ratios beyond these bounds are clipped to them
    most: float
    words: str
    words_below: str = ""
    words_most: str = ""  # at the upper bound


RATIOS = (
    Ratio("equity", -1, MICRO, False, -3, 1, N_("Equity is %(percent)s %% of assets."),
          N_("Liabilities exceed assets by %(percent)s %%.")),
    Ratio("working_capital", -1, MICRO, False, -3, 1, N_("Working capital is %(percent)s %% of assets."),
          N_("Current assets fall short of what is due within a year by %(percent)s %% of assets.")),
    Ratio("current_cover", -1, MICRO, False, -3, 3,
          N_("Current assets are %(percent)s %% of what is due within a year.")),
    Ratio("due_within", 1, MICRO, False, 0, 4, N_("What is due within a year is %(percent)s %% of assets.")),
    Ratio("due_after", 1, MICRO, False, -0.5, 3, N_("What is due after a year is %(percent)s %% of assets.")),
    Ratio("retained", -1, SMALL, False, -10, 2, N_("Retained profits are %(percent)s %% of assets."),
          N_("Accumulated losses are %(percent)s %% of assets.")),
    Ratio("liquid", -1, SMALL, False, 0, 1, N_("Cash and the like are %(percent)s %% of assets.")),
    Ratio("liquid_cover", -1, SMALL, False, 0, 10,
          N_("Cash and the like cover %(percent)s %% of what is due within a year.")),
    Ratio("debtors", -1, SMALL, False, 0, 1, N_("Debtors are %(percent)s %% of assets.")),
    Ratio("equity_change", -1, MICRO, True, -2, 2, N_("Equity's share of assets rose by %(percent)s points in a year."),
          N_("Equity's share of assets fell by %(percent)s points in a year.")),
    Ratio("equity_earned", -1, MICRO, True, -2, 2, N_("Equity grew by %(percent)s %% of last year's assets."),
          N_("Equity shrank by %(percent)s %% of last year's assets.")),
    Ratio("growth", 0, MICRO, True, -2, 2, N_("Assets grew by %(percent)s %% in a year."),
          N_("Assets shrank by %(percent)s %% in a year.")),
    Ratio("working_capital_change", -1, MICRO, True, -2, 2,
          N_("Working capital's share of assets rose by %(percent)s points in a year."),
          N_("Working capital's share of assets fell by %(percent)s points in a year.")),
    Ratio("retained_change", -1, SMALL, True, -2, 1,
          N_("Retained profits rose by %(percent)s %% of last year's assets."),
          N_("Retained profits fell by %(percent)s %% of last year's assets.")),
    Ratio("liquid_change", -1, SMALL, True, -1, 1, N_("Cash's share of assets rose by %(percent)s points in a year."),
          N_("Cash's share of assets fell by %(percent)s points in a year.")),
    Ratio("profit", -1, FULL, False, -2, 1, N_("The year's profit is %(percent)s %% of assets."),
          N_("The year's loss is %(percent)s %% of assets.")),
    Ratio("operating_profit", -1, FULL, False, -2, 1, N_("Operating profit is %(percent)s %% of assets."),
          N_("The operating loss is %(percent)s %% of assets.")),
    Ratio("turnover", 0, FULL, False, 0, 6, N_("Turnover is %(percent)s %% of assets.")),
    Ratio("margin", -1, FULL, False, -5, 1, N_("Of each 100 of turnover, %(percent)s stay as profit."),
          N_("For each 100 of turnover, %(percent)s are lost.")),
    Ratio("operating_cover", -1, FULL, False, -5, 5,
          N_("Operating profit covers %(percent)s %% of what is due within a year."),
          N_("The operating loss is %(percent)s %% of what is due within a year.")),
    Ratio("profit_change", -1, FULL, True, -2, 2, N_("Profit rose by %(percent)s %% of last year's assets."),
          N_("Profit fell by %(percent)s %% of last year's assets.")),
    Ratio("loss_borne", -1, MICRO, True, -10, 10, N_("Equity is %(percent)s %% of what it fell by in the year."),
          N_("Equity fell, and is below zero by %(percent)s %% of its fall."),
          N_("Equity did not fall by a tenth in the year.")),
    Ratio("profit_before", -1, FULL, True, -2, 1, N_("The profit of the year before was %(percent)s %% of its assets."),
          N_("The loss of the year before was %(percent)s %% of its assets.")),
)  # fmt: skip
NAMES = tuple(ratio.name for ratio in RATIOS)
BY_NAME = {ratio.name: ratio for ratio in RATIOS}
# Ratios kept as logarithms: said to people after exp().
LOGARITHMS = frozenset({"current_cover", "growth"})


def in_level(ratio: Ratio, level: str) -> bool:
    """Return whether a filing of this level may know the ratio. Full accounts know all, the prior year included."""
    if level == "full":
        return True
    kind, _, prior = level.partition("-")
    return (ratio.sheet == MICRO or (ratio.sheet == SMALL and kind == SMALL)) and (not ratio.prior or prior == "prior")


def tells(own: str, level: str) -> bool:
    """Return whether a filing of one level tells all ratios that another level knows."""
    return all(in_level(ratio, own) for ratio in RATIOS if in_level(ratio, level))


def matrix(current: Columns, prior: Columns, level: str = "full") -> Array:
    """Return the ratios of all rows in the order of `NAMES`; what the level does not know is NaN.

    `current` and `prior` hold the columns of `FIGURES`; a row without a prior year has NaN there.
    """

    def part(rows: slice) -> Array:
        now, then = ({name: column[rows] for name, column in year.items()} for year in (current, prior))
        return _matrix(now, then, level)

    return fill(np.empty((len(current["total_assets"]), len(RATIOS))), part)


def _matrix(current: Columns, prior: Columns, level: str) -> Array:
    with np.errstate(all="ignore"):
        now, then = _shares(current), _shares(prior)
        base = then["total"]
        owned, owed = (np.maximum(current[name], 0) + 1e-9 for name in ("current_assets", "current_liabilities"))
        values = {
            "equity": now["equity"],
            "working_capital": now["working"],
            "current_cover": np.log(owned / owed),
            "due_within": now["within"],
            "due_after": 1 - now["equity"] - now["within"],
            "retained": now["retained"],
            "liquid": now["liquid"],
            "liquid_cover": _share(current["liquid"], current["current_liabilities"]),
            "debtors": now["debtors"],
            "equity_change": now["equity"] - then["equity"],
            "equity_earned": (current["equity"] - prior["equity"]) / base,
            "growth": np.log(now["total"] / base),
            "working_capital_change": now["working"] - then["working"],
            "retained_change": (current["retained"] - prior["retained"]) / base,
            "liquid_change": now["liquid"] - then["liquid"],
            "profit": current["profit"] / now["total"],
            "operating_profit": current["operating_profit"] / now["total"],
            "turnover": current["turnover"] / now["total"],
            "margin": _share(current["profit"], current["turnover"]),
            "operating_cover": _share(current["operating_profit"], current["current_liabilities"]),
            "profit_change": (current["profit"] - prior["profit"]) / base,
            "loss_borne": _borne(current["equity"], prior["equity"] - current["equity"]),
            "profit_before": prior["profit"] / base,
        }
        columns = np.stack([np.clip(values[ratio.name], ratio.least, ratio.most) for ratio in RATIOS])
    columns[~np.isfinite(columns)] = np.nan
    columns[[not in_level(ratio, level) for ratio in RATIOS]] = np.nan
    return columns.T


def from_ready_ratios(ready: Columns) -> Array:
    """Return the ratios of a population that comes as ready-made ratios; what cannot be told from them is NaN.

    `ready`: working capital, retained, operating profit, profit, turnover, equity, liabilities and what is due within
    a year as shares of assets; margin, equity to debt, the current ratio, what is liquid to what is due within a year,
    and turnover to debtors.
    """
    with np.errstate(all="ignore"):
        known = {
            "equity": ready["equity"],
            "working_capital": ready["working_capital"],
            "current_cover": np.log(np.maximum(ready["current_ratio"], 1e-9)),
            "due_within": ready["due_within"],
            "due_after": ready["liabilities"] - ready["due_within"],
            "retained": ready["retained"],
            "liquid": ready["liquid_cover"] * ready["due_within"],
            "liquid_cover": ready["liquid_cover"],
            "debtors": _share(ready["turnover"], ready["turnover_to_debtors"]),
            "profit": ready["profit"],
            "operating_profit": ready["operating_profit"],
            "turnover": ready["turnover"],
            "margin": ready["margin"],
            "operating_cover": _share(ready["operating_profit"], ready["due_within"]),
        }
        nothing = np.full(len(ready["equity"]), np.nan)
        return np.column_stack([np.clip(known.get(one.name, nothing), one.least, one.most) for one in RATIOS])


def masked(table: Array, level: str) -> Array:
    """Return a copy of the ratios with all that a filing of this level cannot know taken out."""
    copy = np.array(table, dtype=np.float64)
    copy[~np.isfinite(copy)] = np.nan
    copy[:, [not in_level(ratio, level) for ratio in RATIOS]] = np.nan
    return copy


def _shares(columns: Columns) -> dict[str, Array]:
    total = np.where(columns["total_assets"] > 0, columns["total_assets"], np.nan)
    return {
        "total": total,
        "equity": columns["equity"] / total,
        "working": (columns["current_assets"] - columns["current_liabilities"]) / total,
        "within": columns["current_liabilities"] / total,
        "retained": columns["retained"] / total,
        "liquid": np.maximum(columns["liquid"], 0) / total,
        "debtors": columns["debtors"] / total,
    }


def _share(part: Array, whole: Array) -> Array:
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), np.nan)


def _borne(equity: Array, fall: Array) -> Array:
    """Return equity by its fall in the year, the most where it did not fall; NaN where the fall is not known."""
    known = np.where(fall > 0, equity / np.where(fall > 0, fall, 1.0), 10.0)
    return np.where(np.isfinite(fall), known, np.nan)


@dataclass(frozen=True)
class Sight:
    """What is known of one company: its level, its ratios as plain numbers by name, Altman's Z″ in thousandths."""

    level: str
    ratios: Mapping[str, float]
    z_milli: int | None = None

    def row(self) -> Array:
        """Return the model's input: one row, NaN where a ratio is not known."""
        return np.array([[self.ratios.get(name, np.nan) for name in NAMES]], dtype=np.float64)


def look(filing: Filing) -> Sight | None:
    """Return what a filing lets one see, or None when its balance sheet cannot be completed or has no assets."""
    now = complete(filing.current)
    then = complete(filing.prior) if filing.prior else None
    if now is None or now.total_assets <= 0:
        return None
    if then is not None and then.total_assets <= 0:
        then = None
    level = level_of(now, then)
    table = matrix(_columns(now, filing.current.get("cash")),
                   _columns(then, filing.prior.get("cash") if filing.prior else None), level)  # fmt: skip
    ratios = {name: round(float(value), 9) for name, value in zip(NAMES, table[0], strict=True) if np.isfinite(value)}
    return Sight(level, ratios, z_milli(now))


def z_milli(sheet: Sheet) -> int | None:
    """Return Altman's Z″ in thousandths, half-even, or None where a figure is missing. For reference only.

    Z″ = (6.56 working capital + 3.26 retained profits + 6.72 operating profit) / assets + 1.05 equity / liabilities.
    Source: Altman 1993, Corporate Financial Distress and Bankruptcy, the four-variable model for unlisted companies.
    """
    if sheet.retained is None or sheet.operating_profit is None or sheet.total_liabilities <= 0:
        return None
    total = sheet.total_assets
    z = (Decimal("6.56") * (sheet.current_assets - sheet.current_liabilities) / total
         + Decimal("3.26") * sheet.retained / total + Decimal("6.72") * sheet.operating_profit / total
         + Decimal("1.05") * sheet.equity / sheet.total_liabilities)  # fmt: skip
    return int((z * 1000).quantize(Decimal(1), ROUND_HALF_EVEN))


def _columns(sheet: Sheet | None, cash: Decimal | None) -> dict[str, Array]:
    known = dict.fromkeys(FIGURES) if sheet is None else figures_of(sheet, cash)
    return {name: np.array([np.nan if value is None else float(value)]) for name, value in known.items()}
