"""What would change a grade: each case is the same model on figures changed as the words say."""

from datetime import timedelta

from marketplace.rating.behaviour import PaymentRecord
from marketplace.rating.figures import read_filing
from marketplace.rating.model import load_model, pd_ppm
from marketplace.rating.ratios import look
from marketplace.rating.rules import plus_months
from marketplace.rating.what_if import Case, cases
from tests.rating.filings import SOUND, WEAK, accounts
from tests.rating.test_model import END
from tests.rating.test_watching import POLICY


def told(figures: dict[str, tuple[int, int]], months: int = 10, with_prior: bool = True) -> dict[str, Case]:
    filing = read_filing(accounts(END, figures, with_prior=with_prior), "accounts.html")
    found = cases(load_model(), filing, PaymentRecord(), plus_months(END, months), POLICY)
    for one in found:
        assert one.words % one.params
    return {one.name: one for one in found}


def now_ppm(figures: dict[str, tuple[int, int]]) -> int:
    seen = look(read_filing(accounts(END, figures), "accounts.html"))
    assert seen is not None
    return pd_ppm(load_model(), seen, POLICY.pd_prior_ppm, POLICY.pd_floor_ppm)


def test_stronger_figures_never_raise_the_pd() -> None:
    found = told(WEAK)
    assert found["capital"].pd_ppm is not None
    assert found["capital"].pd_ppm < now_ppm(WEAK)
    assert found["filed_late"].pd_ppm is not None
    assert found["filed_late"].pd_ppm > now_ppm(WEAK)
    assert found["not_filed"].grade is None
    assert "with_prior" not in found, "it is there"


def test_overdue_accounts_filed_on_time_would_be_better() -> None:
    found = told(WEAK, months=21, with_prior=True)
    assert "on_time" not in found, "on the last day nothing is overdue"
    filing = read_filing(accounts(END, WEAK), "accounts.html")
    late = cases(load_model(), filing, PaymentRecord(), plus_months(END, 21) + timedelta(days=1), POLICY)
    by_name = {one.name: one for one in late}
    assert by_name["on_time"].pd_ppm == now_ppm(WEAK)
    assert by_name["capital"].pd_ppm is not None


def test_without_a_year_before_it_is_offered() -> None:
    assert told(SOUND, with_prior=False)["with_prior"].grade is not None
