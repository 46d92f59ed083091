"""The shipped model: sound, monotone, the one its card describes; and its reasons, which add up exactly."""

import json
import shutil
from datetime import date
from itertools import combinations
from math import factorial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.kernel.errors import IntegrityBreach
from marketplace.rating import explain
from marketplace.rating.figures import read_filing
from marketplace.rating.model import HOME, Model, challenger_ppm, load_model, pd_ppm, read_card
from marketplace.rating.ratios import BY_NAME, LEVELS, NAMES, RATIOS, Sight, in_level, look, masked
from tests.rating.filings import SOUND, WEAK, accounts, context, document, number

END = date(2025, 12, 31)
PRIOR_PPM, FLOOR_PPM = 5_200, 500


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model()


def sight(figures: dict[str, tuple[int, int]] | None = None, with_prior: bool = True) -> Sight:
    seen = look(read_filing(accounts(END, figures, with_prior=with_prior), "accounts.html"))
    assert seen is not None
    return seen


def any_sight(draw: st.DrawFn, level: str) -> Sight:
    ratios = {
        ratio.name: draw(st.floats(ratio.least, ratio.most))
        for ratio in RATIOS
        if in_level(ratio, level) and draw(st.booleans())
    }
    return Sight(level, ratios)


@st.composite
def sights(draw: st.DrawFn) -> Sight:
    return any_sight(draw, draw(st.sampled_from(LEVELS)))


def test_a_sound_company_is_rated_better_than_the_same_in_trouble(model: Model) -> None:
    sound, weak = sight(SOUND), sight(WEAK)
    assert sound.level == weak.level == "small-prior"
    assert pd_ppm(model, sound, PRIOR_PPM, FLOOR_PPM) * 5 < pd_ppm(model, weak, PRIOR_PPM, FLOOR_PPM)
    assert challenger_ppm(model, sound, PRIOR_PPM, FLOOR_PPM) * 5 < challenger_ppm(model, weak, PRIOR_PPM, FLOOR_PPM)


def test_size_and_currency_do_not_matter(model: Model) -> None:
    large = {name: (now * 1_000, then * 1_000) for name, (now, then) in SOUND.items()}
    assert pd_ppm(model, sight(large), PRIOR_PPM, FLOOR_PPM) == pd_ppm(model, sight(SOUND), PRIOR_PPM, FLOOR_PPM)


def test_ratios_are_those_a_person_works_out() -> None:
    ratios = sight(SOUND).ratios
    assert ratios["equity"] == pytest.approx(240 / 380)
    assert ratios["working_capital"] == pytest.approx((260 - 96) / 380)
    assert ratios["liquid"] == pytest.approx(70 / 380)
    assert ratios["equity_change"] == pytest.approx(240 / 380 - 196 / 349)
    assert ratios["equity_earned"] == pytest.approx(44 / 349)
    assert "profit" not in ratios
    assert sight(SOUND, with_prior=False).level == "small"


def test_a_profit_and_loss_account_makes_full_accounts_and_a_z_score() -> None:
    """Altman's Z″ worked out by hand on one set of accounts."""
    flows = "TurnoverRevenue", "ProfitLoss", "OperatingProfitLoss"
    span = "<xbrli:startDate>2025-01-01</xbrli:startDate><xbrli:endDate>2025-12-31</xbrli:endDate>"
    during = context("d0", END).replace("<xbrli:instant>2025-12-31</xbrli:instant>", span)
    body = accounts(END).decode().split("<body>")[1].removesuffix("</body></html>")
    filing = read_filing(
        document(body, during, *(number(name, "d0", 60_000) for name in flows), company_number=None), "x"
    )
    seen = look(filing)
    assert seen is not None
    assert seen.level == "full"
    z = (6.56 * 164_000 + 3.26 * 239_900 + 6.72 * 60_000) / 380_000 + 1.05 * 240_000 / 140_000
    assert seen.z_milli == round(z * 1_000)


@settings(max_examples=60)
@given(sights(), st.data())
def test_moving_one_ratio_its_good_way_never_raises_the_pd(seen: Sight, data: st.DataObject) -> None:
    model = load_model()
    bound = [name for name in seen.ratios if BY_NAME[name].direction]
    if not bound:
        return
    ratio = BY_NAME[data.draw(st.sampled_from(bound))]
    better = data.draw(st.floats(ratio.least, seen.ratios[ratio.name]) if ratio.direction > 0
                       else st.floats(seen.ratios[ratio.name], ratio.most))  # fmt: skip
    moved = Sight(seen.level, {**seen.ratios, ratio.name: better})
    before, after = (float(model.log_odds(s.row(), s.level)[0]) for s in (seen, moved))
    assert after <= before + 1e-9


@settings(max_examples=60)
@given(sights())
def test_a_pd_is_a_pd_at_every_level_whatever_is_missing(seen: Sight) -> None:
    model = load_model()
    for pd in (pd_ppm(model, seen, PRIOR_PPM, FLOOR_PPM), challenger_ppm(model, seen, PRIOR_PPM, FLOOR_PPM)):
        assert FLOOR_PPM <= pd < 1_000_000


def test_a_harder_year_raises_every_pd(model: Model) -> None:
    weak = sight(WEAK)
    assert pd_ppm(model, weak, 11_300, FLOOR_PPM) > 2 * pd_ppm(model, weak, 5_200, FLOOR_PPM) * 0.95


@settings(max_examples=30)
@given(sights())
def test_reasons_add_up_to_the_difference_from_the_reference_company(seen: Sight) -> None:
    model = load_model()
    reference = masked(np.where(np.isfinite(seen.row()), model.reference, np.nan), seen.level)
    difference = float((model.log_odds(seen.row(), seen.level) - model.log_odds(reference, seen.level))[0])
    assert sum(explain.contributions(model, seen).values()) == pytest.approx(difference, abs=1e-9)


def test_reasons_are_the_shapley_values_by_definition(model: Model) -> None:
    """All mixtures of company and reference, weighed as Shapley 1953 weighs them, on a filing of five ratios."""
    seen = sight(WEAK, with_prior=False)
    seen = Sight("micro", {name: value for name, value in seen.ratios.items() if in_level(BY_NAME[name], "micro")})
    places = [NAMES.index(name) for name in seen.ratios]
    row, reference = seen.row()[0], np.where(np.isfinite(seen.row()[0]), model.reference[0], np.nan)

    def worth(own: tuple[int, ...]) -> float:
        mixed = reference.copy()
        mixed[list(own)] = row[list(own)]
        return float(model.log_odds(mixed[None, :], seen.level)[0])

    count = len(places)
    for name, place in zip(seen.ratios, places, strict=True):
        others = [other for other in places if other != place]
        value = sum(
            factorial(size) * factorial(count - size - 1) / factorial(count) * (worth((*subset, place)) - worth(subset))
            for size in range(count)
            for subset in combinations(others, size)
        )
        assert explain.contributions(model, seen)[name] == pytest.approx(value, abs=1e-9)


def test_reasons_speak_with_figures_and_signs(model: Model) -> None:
    found = explain.reasons(model, sight(WEAK))
    assert len(found) == 5
    assert [abs(reason.weight_ppm) for reason in found] == sorted((abs(r.weight_ppm) for r in found), reverse=True)
    said = {reason.ratio: (reason.words % reason.params, reason.weight_ppm) for reason in found}
    assert said["equity"][0] == "Liabilities exceed assets by 73 %."
    assert said["equity"][1] > 0, "it raises the PD"
    good = {reason.ratio: reason.words % reason.params for reason in explain.reasons(model, sight(SOUND), most=99)}
    assert good["retained"] == "Retained profits are 63 % of assets."


def test_what_the_accounts_do_not_tell_is_said(model: Model) -> None:
    assert explain.missing(sight(SOUND)) == ["No profit and loss account is filed."]
    assert "The year before is not in the accounts." in explain.missing(sight(SOUND, with_prior=False))


def test_the_card_says_what_the_model_is_and_what_it_cannot_know() -> None:
    card = read_card()
    assert any("No UK default labels were available" in limit for limit in card["limits"])
    assert card["data"]["sha256"] == "34406fc14eff2a55ed52da4edfab0f2a640a7667a5c6aa5014041429397fdf14"
    assert card["levels"].keys() == card["metrics"].keys() == set(LEVELS)
    assert card["directions"] == {ratio.name: ratio.direction for ratio in RATIOS}
    # What the shipped model reached on 2012-14, less twice the standard error of an AUC on 86 failures.
    reached = {level: card["metrics"][level]["champion"]["auc"] for level in LEVELS}
    assert reached["micro"] > 0.74
    assert reached["full"] > reached["small-prior"] > reached["small"] > reached["micro"]
    assert all(card["metrics"][level]["champion"]["ece"] < 0.004 for level in LEVELS)


def test_a_changed_model_file_is_not_loaded(tmp_path: Path) -> None:
    shutil.copytree(HOME, tmp_path / "rating")
    (tmp_path / "rating" / "challenger.json").write_text("{}")
    with pytest.raises(IntegrityBreach) as caught:
        load_model(tmp_path / "rating")
    assert caught.value.code == "model_altered"


def test_every_weight_of_the_challenger_has_a_sensible_sign() -> None:
    for level in json.loads((HOME / "challenger.json").read_text()).values():
        for name, bins in level["ratios"].items():
            if direction := BY_NAME[name].direction:
                steps = np.diff(bins["points"]) * direction
                assert (steps >= -1e-9).all(), name
