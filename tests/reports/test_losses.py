"""What a holding may lose follows its debtor's newest rating: one figure, wherever it is read."""

from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import text

from config.settings import read_policy
from marketplace.db import db
from marketplace.kernel import policy as policies
from marketplace.kernel.ids import new_id
from marketplace.perform import perform
from marketplace.rating.pricing import price
from marketplace.reports.losses import loss_minor, loss_now_ppm
from marketplace.servicing.offers import offer_holding
from marketplace.servicing.schemas import OfferHolding
from tests import lives
from tests.trading.world import World
from tests.web.test_operator import visitor

RATING = policies.parse(read_policy()).rating


def rated_anew(world: World, pd_ppm: int, grade: str) -> None:
    with world.superuser() as owner:
        owner.execute(
            "INSERT INTO party_rating SELECT %s, organisation_id, filing_id, level, ratios, prior_ppm, floor_ppm, %s, "
            "%s, challenger_ppm, z_milli, reasons, missing, model_version, policy_version, market_now() + "
            "interval '1 second' FROM party_rating ORDER BY rated_at DESC LIMIT 1",
            (new_id(), pd_ppm, grade),
        )


@pytest.mark.parametrize("days", [1, 59, 180])
def test_an_unmoved_rating_gives_the_award_s_own_figure_and_a_fall_a_larger_one(days: int) -> None:
    award = price(1_200, 940, days, RATING).expected_loss_ppm
    assert loss_now_ppm("open", award, None, days, RATING) == award
    assert loss_now_ppm("open", award, 222_300, days, RATING) > award
    assert loss_now_ppm("defaulted", award, 222_300, days, RATING) == RATING.lgd_ppm
    assert (loss_minor(1, 1), loss_minor(0, 400_000), loss_minor(100, 400_000)) == (1, 0, 40)


def test_portfolio_and_offer_tell_the_same_loss_once_the_debtor_s_grade_fell(world: World, app: Flask) -> None:
    held = lives.funded(world)
    world.rate(held)
    bob, carol = visitor(app, world, "bob"), visitor(app, world, "carol")
    before = bob.get("/investor/portfolio.csv").text
    rated_anew(world, 3_500, "A-")
    assert bob.get("/investor/portfolio.csv").text == before, "another PD within the grade: as the lot tells it"
    rated_anew(world, 222_300, "E")
    row = db.session.execute(
        text("SELECT due_minor, lot.tenor_days FROM due JOIN collection USING (receivable_id) "
             "JOIN lot ON lot.id = collection.lot_id WHERE step = 'principal' AND party_id = :bob"),
        {"bob": world.id("bob")},
    ).one()  # fmt: skip
    db.session.rollback()
    ppm = price(222_300, None, row.tenor_days, RATING).expected_loss_ppm
    whole = -(-row.due_minor * ppm // 1_000_000)
    after = bob.get("/investor/portfolio.csv").text
    assert after != before
    assert f"{whole // 100}.{whole % 100:02d}" in after
    made = UUID(str(perform(offer_holding, OfferHolding(held, 1_000_000, 800_000, 300), world.bob)["offer_id"]))
    part = db.session.execute(
        text("SELECT principal_minor FROM holding_offer WHERE id = :id"), {"id": made}
    ).scalar_one()
    db.session.rollback()
    share = -(-part * ppm // 1_000_000)
    shown = carol.get(f"/investor/offers/{made}")
    assert f"£{share // 100:,}" in shown.text


def test_a_debtor_in_default_is_said_to_be_wherever_it_is_sold(world: World, app: Flask) -> None:
    bob, olga = visitor(app, world, "bob"), visitor(app, world, "olga")
    held = lives.funded(world)
    world.rate(held)
    lot = world.lot()
    assert "The grade rests on its accounts alone." in bob.get(f"/investor/lots/{lot}").text
    lives.on_day(world, held, 100)
    lives.age(held)
    rated_anew(world, 222_300, "E")
    page = bob.get(f"/investor/lots/{lot}").text
    assert "1 invoice of this debtor is past due here now, by 100 days." in page
    assert "In default: 1." in page
    assert "rests on its accounts alone" not in page
    page = olga.get(f"/operator/receivables/{held}").text
    assert "Debtor, when listed" in page
    assert "now E at 22.23%" in page
    lives.pays(world, held, 4_860_000)
    assert "past due here now" not in bob.get(f"/investor/lots/{lot}").text
