"""Fill a new market with a past and a present: lots open now, awards waiting, some funded, one late, one defaulted."""

from collections.abc import Callable
from datetime import datetime, timedelta

from marketplace.db import db
from marketplace.demo.outside import Outside
from marketplace.demo.papers import accounts_by_name, disguised, own_invoices, refused, twins
from marketplace.demo.stage import Stage
from marketplace.demo.story import Story
from marketplace.jobs.runner import run_job
from marketplace.jobs.schedule import job
from marketplace.kernel.clock import utc_now

# How many days ago each invoice was issued; it is listed on the next day and confirmed a day later. Those of two and
# three days ago are on auction now, whatever the hour; later ones await their debtor or were handed in this morning.
AGES_DAYS = (190, 160, 132, 104, 80, 58, 39, 24, 14, 8, 5, 3, 3, 3, 3, 3, 2, 2, 2, 2, 2, 1)
DISGUISED = 14  # on auction now, and listed once more the day after: operators compare the two


def fill_market(stage: Stage, say: Callable[[str], None]) -> None:
    """Play the demonstration up to this moment, then let the market's clock be the real one.

    Raises: whatever a verb raises: a market that cannot be filled is a fault, not a state.
    """
    now = utc_now()
    days = [(now - timedelta(days=age)).date() for age in AGES_DAYS]
    made = own_invoices(days)
    story = Story(stage.clock, Outside(stage.sandbox_url), say, accounts=accounts_by_name(days[0]))
    again = twins(made[3][0]) + refused(made[2][0], days[4]) + disguised(made[DISGUISED][0], days[DISGUISED + 3])
    story.hand_in([paper for _, paper in made] + again)
    story.open(days[0], ["GBP", "EUR"])
    total = len(made)
    story.agenda.run(until=now, after_each=lambda: _tell(story, stage, total, say))
    stage.clock.back_to_real_time()
    run_job(job("age_receivables"))
    while run_job(job("sequence_events")):
        pass
    db.session.remove()
    say(f"the market is filled: {total} invoices, {len(story.refused.duplicates)} second sales refused")


def _tell(story: Story, stage: Stage, total: int, say: Callable[[str], None]) -> None:
    """Tell the date whenever a new month begins."""
    today: datetime = stage.clock.now()
    month = f"{today:%B %Y}"
    if story.told_month != month:
        story.told_month = month
        say(f"playing {month} of {total} invoices")
