"""The filings that benchmarks are made of, and an archive of them read, killed and resumed."""

from pathlib import Path

from bench import filings
from bench.made_filings import UNREADABLE_EACH, made, write_archive
from marketplace.rating.reading.record import record_of


def test_made_filings_differ_and_read_as_they_are_named() -> None:
    seen = set()
    for index in range(UNREADABLE_EACH):
        name, content = made(index)
        assert (name, content) == made(index)
        seen.add(content)
        line = record_of(name, content)
        assert line["company_number"] == name.split("_")[2]
        assert (line["period_end"] is None) == (index == UNREADABLE_EACH - 1)
        assert not line["faults"] or line["period_end"] is None
    assert len(seen) == UNREADABLE_EACH


def test_a_killed_reading_of_an_archive_is_measured_as_whole(tmp_path: Path) -> None:
    archive = tmp_path / "bulk.zip"
    plain = write_archive(archive, 1_500, print)
    resumed, memory = filings._bulk(archive, 1_500, plain, print)
    assert (resumed.ok, resumed.value) == (True, 0.0)
    assert memory.value is not None
    assert memory.parts["processes"] >= 2
