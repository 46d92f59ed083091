"""Learning from the register's bulk products: who failed when, and a model from ZIPs and monthly files as they come."""

import json
import zipfile
from calendar import monthrange
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from marketplace.commands.rating import command
from marketplace.kernel.errors import InvalidInput
from marketplace.rating import training
from marketplace.rating.model import load_model
from marketplace.rating.register.outcomes import FAILED, NEVER, SOUND, History, Window, labels, months_after, read_cases
from marketplace.rating.register.population import read_bulk
from tests.rating.filings import accounts
from tests.rating.register.monthly_file import HEAD, row

END = date(2022, 3, 31)  # its window ends on 31 December 2023
FILES = (date(2022, 6, 1), date(2023, 2, 1), date(2024, 1, 1), date(2025, 1, 1))


def test_months_after_is_the_calendar() -> None:
    for day in (date(2023, 1, 31), date(2024, 2, 29), date(2022, 12, 30), date(1969, 5, 17)):
        for months in (0, 1, 13, 21):
            year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
            then = date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))
            assert months_after(np.array([day.toordinal()]), months)[0] == then.toordinal(), (day, months)


@pytest.mark.parametrize(
    ("states", "began", "outcome", "why"),
    [
        ((SOUND, SOUND, SOUND, SOUND), None, 0, ""),
        ((SOUND, SOUND, SOUND, FAILED), None, 0, ""),
        ((SOUND, SOUND, FAILED, FAILED), None, 1, ""),
        ((SOUND, FAILED, 0, 0), None, 1, ""),
        ((SOUND, FAILED, SOUND, SOUND), None, 1, ""),
        ((SOUND, SOUND, 0, 0), None, None, "left_the_register"),
        ((0, 0, 0, 0), None, None, "left_the_register"),
        ((SOUND, SOUND, FAILED, FAILED), date(2023, 12, 31), 1, ""),
        ((SOUND, SOUND, FAILED, FAILED), date(2024, 1, 1), 0, ""),
        ((SOUND, SOUND, FAILED, FAILED), date(2022, 3, 31), None, "failed_before"),
        ((SOUND, SOUND, FAILED, FAILED), date.max, 0, ""),
    ],
)
def test_the_first_file_after_the_window_tells_who_failed(
    states: tuple[int, ...], began: date | None, outcome: int | None, why: str
) -> None:
    known = {} if began is None else {0: NEVER if began == date.max else began.toordinal()}
    history = History(np.array([day.toordinal() for day in FILES]), np.array([states], np.uint8), known)
    found = labels(np.array([0]), np.array([END.toordinal()]), history, Window())
    assert (found.outcome[0] if found.known[0] else None) == outcome
    assert {reason for reason, count in found.left_out.items() if count} == ({why} if why else set())


def test_a_window_no_file_judges_is_left_out_for_failed_and_sound_alike() -> None:
    history = History(np.array([day.toordinal() for day in FILES]), np.full((2, 4), SOUND, np.uint8), {})
    history.states[1, 1:] = FAILED
    both = np.array([0, 1])
    ends = np.full(2, END.toordinal())
    assert labels(both, ends, history, Window()).known.all()
    early = labels(both, ends - 365, history, Window(tolerance=6))
    assert list(early.known) == [True, True]
    assert list(labels(both, ends - 365, history, Window(tolerance=0)).known) == [False, False]
    late = labels(both, ends + 1400, history, Window())
    assert not late.known.any()
    assert late.left_out == {"failed_before": 1, "no_file_at_window_end": 1, "left_the_register": 0}


def test_cases_tell_days_and_solvent_ends(tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"

    def line(number: str, kind: str, day: str | None) -> str:
        days = [{"type": "wound-up-on", "date": day}] if day else []
        return json.dumps({"company_number": number, "cases": [{"type": kind, "number": "1", "dates": days}]})

    kinds = (
        ("1", "creditors-voluntary-liquidation"),
        ("2", "members-voluntary-liquidation"),
        ("9", "in-administration"),
    )
    lines = [line(number, kind, "2023-05-04") for number, kind in kinds]
    path.write_text("\n".join([*lines, line("3", "in-administration", None)]))
    ours = {f"0000000{number}": number for number in (1, 2, 3)}
    assert read_cases([path], ours) == {1: date(2023, 5, 4).toordinal(), 2: NEVER}
    path.write_text('{"company_number": "1"}\n')
    with pytest.raises(InvalidInput, match="line 1"):
        read_cases([path], ours)


@pytest.fixture(scope="module")
def bulk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two months of accounts and two monthly files, named and laid out as the register publishes them."""
    folder = tmp_path_factory.mktemp("bulk")
    random = np.random.default_rng(5)
    zips = [zipfile.ZipFile(folder / f"Accounts_Monthly_Data-{month}2022.zip", "w", zipfile.ZIP_DEFLATED)
            for month in ("June", "July")]  # fmt: skip
    before, after = [], []
    for one in range(260):
        number, owed = f"{7_200_000 + one:08d}", float(random.uniform(0.2, 1.3))
        total = int(random.uniform(40_000, 900_000))
        current, within = int(total * random.uniform(0.3, 0.9)), int(total * owed * 0.7)
        after_year = int(total * owed) - within
        debtors, net = int(current * 0.5), total - within - after_year
        figures = {"FixedAssets": total - current, "CurrentAssets": current, "Debtors": debtors,
                   "CashBankOnHand": current - debtors, "Creditors:WithinOneYear": within,
                   "Creditors:AfterOneYear": after_year, "NetAssetsLiabilities": net,
                   "Equity:RetainedEarningsAccumulatedLosses": net - 100}  # fmt: skip
        content = accounts(END, {name: (value, int(value * 0.95)) for name, value in figures.items()}, number,
                           with_prior=bool(one % 4))  # fmt: skip
        zips[one % 2].writestr(f"Prod223_3785_{number}_20220331.html", content)
        failed = random.random() < 0.6 * max(0.0, owed - 0.5)
        before.append(row(f"COMPANY {one} LTD", number))
        if one % 50 != 49:
            after.append(row(f"COMPANY {one} LTD", number, "Liquidation" if failed else "Active"))
    zips[1].writestr("Prod223_3785_07200000_20220331.html", b"<html>no accounts</html>")
    for archive in zips:
        archive.close()
    for day, rows in ((FILES[0], before), (FILES[2], after)):
        name = f"BasicCompanyDataAsOneFile-{day}"
        with zipfile.ZipFile(folder / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{name}.csv", "\r\n".join((HEAD, *rows)) + "\r\n")
    return folder


def given(bulk: Path, *zips: str) -> list[str]:
    snapshots = [
        part for day in FILES[:3:2] for part in ("--snapshot", str(bulk / f"BasicCompanyDataAsOneFile-{day}.zip"))
    ]
    return [
        part for name in zips for part in ("--accounts", str(bulk / f"Accounts_Monthly_Data-{name}2022.zip"))
    ] + snapshots


def test_a_model_learns_from_the_bulk_products(bulk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "PARAMETERS", training.PARAMETERS | {"max_iter": 8, "min_samples_leaf": 20})
    monkeypatch.setattr(training, "FOLDS", 2)
    for out, order in (("one", ("June", "July")), ("two", ("July", "June"))):
        done = CliRunner().invoke(command, ["train", *given(bulk, *order), "--out", str(tmp_path / out), "--json"])
        assert done.exit_code == 0, done.output
    for file in ("champion.skops", "challenger.json", "card.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file
    card = json.loads(done.stdout)
    assert "Companies House" in card["data"]["source"]
    assert not any("No UK default labels" in limit for limit in card["limits"])
    assert card["data"]["left_out"] == {"left_the_register": 5, "unreadable": 1}
    assert (card["data"]["rows"], card["windows"]["fit"]) == (255, [2022, 2022])
    # No filing tells a profit: the card of full accounts weighs none.
    challenger = json.loads((tmp_path / "two" / "challenger.json").read_text())
    assert "profit" not in challenger["full"]["ratios"]
    judged = CliRunner().invoke(command, ["evaluate", *given(bulk, "June", "July"), "--level", "small", "--model",
                                          str(tmp_path / "two"), "--json"])  # fmt: skip
    assert judged.exit_code == 0, judged.output
    found = json.loads(judged.stdout)
    assert (found["n"], found["events"]) == (255, card["data"]["failures"])
    assert found["auc"] > 0.7, "who owes more fails more often"
    data = read_bulk([bulk], sorted(bulk.glob("Basic*.zip")))
    assert data.filed is not None
    assert sorted(set(data.filed)) == ["small", "small-prior"]
    assert load_model(tmp_path / "two").pd(data.ratios, "small-prior").shape == (255,)


def test_what_cannot_be_learnt_from_is_refused_in_words(bulk: Path, tmp_path: Path) -> None:
    monthly = sorted(bulk.glob("Basic*.zip"))
    nameless = tmp_path / "companies.csv"
    nameless.write_text(HEAD)
    for zips, files, rule in (([tmp_path], monthly, "accounts"), ([bulk], [nameless], "snapshot"),
                              ([bulk], monthly[:1], "outcome")):  # fmt: skip
        with pytest.raises(InvalidInput) as caught:
            read_bulk(zips, files)
        assert (caught.value.code, caught.value.problems[0].rule) == ("dataset_refused", rule)
    for options in ([], ["--accounts", str(bulk)], ["--data", str(nameless), *given(bulk, "June")]):
        assert CliRunner().invoke(command, ["train", *options]).exit_code == 2
