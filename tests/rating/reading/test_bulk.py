"""Accounts by the archive: what is read, in which order, and what becomes of archives made to do harm."""

import io
import json
import os
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from marketplace.commands.filings import command
from marketplace.rating.reading import worker
from marketplace.rating.reading.directory import ENTRIES_MAX
from marketplace.rating.reading.sources import Item, items, survey
from marketplace.rating.reading.workers import Readers
from tests.rating.filings import accounts

END = date(2023, 3, 31)
HOUSE = Path(__file__).resolve().parents[3]


def named(number: int) -> str:
    return f"Prod223_3785_{number:08d}_20230331.html"


def written(number: int) -> bytes:
    return accounts(END, company_number=f"{number:08d}")


def packed(documents: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as made:
        for name, content in documents.items():
            made.writestr(name, content)
    return out.getvalue()


TWO = packed({named(1): written(1), named(2): written(2)})


def lines(*paths: Path, workers: int = 1) -> list[dict[str, Any]]:
    done = CliRunner().invoke(command, ["read", *map(str, paths), "--json", "--workers", str(workers)])
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def rules(line: dict[str, Any]) -> set[str]:
    return {fault["rule"] for fault in line["faults"]}


def kept(folder: Path, content: bytes) -> Path:
    path = folder / "bulk.zip"
    path.write_bytes(content)
    return path


def test_an_archive_reads_as_its_files_do_and_in_its_order(tmp_path: Path) -> None:
    documents = {f"{'2023/03/' * (n % 2)}{named(n)}": written(n) for n in range(90, 0, -1)}
    path = kept(tmp_path, packed(documents))
    read = lines(path, workers=2)
    assert [line["file"] for line in read] == [f"{path}/{name}" for name in documents]
    assert [line["company_number"] for line in read] == [f"{n:08d}" for n in range(90, 0, -1)]
    assert set(read[0]) == {"file", "company_number", "period_end", "prior_period_end", "current", "prior", "faults"}
    assert not any(line["faults"] for line in read)
    loose = tmp_path / "loose"
    loose.mkdir()
    (loose / named(7)).write_bytes(written(7))
    alone = lines(loose)[0]
    assert alone | {"file": ""} == next(line for line in read if line["company_number"] == "00000007") | {"file": ""}


def test_a_stored_entry_and_the_wide_form_are_read(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as made, made.open(named(1), "w", force_zip64=True) as file:
        file.write(written(1))
    assert lines(kept(tmp_path, out.getvalue()))[0]["company_number"] == "00000001"


def test_more_entries_than_sixteen_bits_are_walked_without_a_list(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for number in range(65_600):
            made.writestr(zipfile.ZipInfo(f"{number}.pdf"), b"")
    path = kept(tmp_path, out.getvalue())
    assert survey([path]).count == 65_600
    last = [item.label for item in items([path], skip=65_598)]
    assert last == [f"{path}/65598.pdf", f"{path}/65599.pdf"]


def at_end(content: bytes, offset: int, form: str, value: int) -> bytes:
    place = content.rindex(b"PK\x05\x06") + offset
    return content[:place] + struct.pack(form, value) + content[place + struct.calcsize(form) :]


def at_entry(content: bytes, offset: int, form: str, value: int) -> bytes:
    place = content.index(b"PK\x01\x02") + offset
    return content[:place] + struct.pack(form, value) + content[place + struct.calcsize(form) :]


def overlapping() -> bytes:
    """Return an archive whose directory names one entry a hundred times."""
    single = packed({named(1): written(1)})
    start, end = single.index(b"PK\x01\x02"), single.rindex(b"PK\x05\x06")
    entry = single[start:end]
    content = single[:start] + entry * 100 + single[end:]
    content = at_end(at_end(content, 8, "<H", 100), 10, "<H", 100)
    return at_end(content, 12, "<I", 100 * len(entry))


@pytest.mark.parametrize(
    ("broken", "rule"),
    [
        (TWO[:-30], "archive"),
        (b"PK\x03\x04 and no more", "archive"),
        (at_end(TWO, 16, "<I", 12), "directory"),
        (at_end(TWO, 12, "<I", 12), "directory"),
        (at_end(at_end(TWO, 8, "<H", 9), 10, "<H", 9), "directory"),
        (at_end(TWO, 4, "<H", 3), "archive_parts"),
        (at_end(TWO, 16, "<I", 0xFFFFFFFF), "directory"),
        (at_entry(TWO, 0, "<I", 7), "directory"),
        (at_entry(TWO, 28, "<H", 60_000), "directory"),
        (overlapping(), "overlap"),
        (at_entry(TWO, 8, "<H", 1), "encrypted"),
        (at_entry(TWO, 10, "<H", 12), "packing"),
        (at_entry(TWO, 16, "<I", 12_345), "entry_broken"),
        (at_entry(TWO, 42, "<I", 5), "entry_broken"),
        (at_entry(TWO, 24, "<I", 99), "entry_broken"),
        (at_entry(TWO, 24, "<I", 15_000_000), "ratio"),
        (at_entry(TWO, 24, "<I", 17_000_000), "size"),
        (packed({named(1): b"<p>" + b" " * 16_000_000}), "ratio"),
        (packed({"inner.zip": TWO}), "nested"),
        (packed({"accounts.pdf": b"%PDF"}), "kind"),
        (packed({named(1): b"%PDF-1.7"}), "kind"),
        (packed({named(1): b""}), "empty"),
    ],
    ids=lambda part: part if isinstance(part, str) else "broken",  # their bytes tell the minute they were packed
)
def test_a_hostile_archive_is_a_line_with_a_fault(broken: bytes, rule: str, tmp_path: Path) -> None:
    read = lines(kept(tmp_path, broken))
    assert rule in set().union(*map(rules, read))
    assert len(read) <= 3


def test_a_directory_of_ten_million_entries_is_refused_unread(tmp_path: Path) -> None:
    path = kept(tmp_path, TWO)
    locator_at = TWO.rindex(b"PK\x05\x06")
    start = struct.unpack("<I", TWO[locator_at + 16 : locator_at + 20])[0]
    wide = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 10**7, 10**7, locator_at - start, start)
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, locator_at, 1)
    end = at_end(at_end(TWO, 8, "<H", 0xFFFF), 10, "<H", 0xFFFF)[locator_at:]
    path.write_bytes(TWO[:locator_at] + wide + locator + end)
    only = lines(path)
    assert [rules(line) for line in only] == [{"entries"}]
    assert only[0]["faults"][0]["params"] == {"count": "10000000", "most": str(ENTRIES_MAX)}


def test_names_are_labels_and_lead_nowhere(tmp_path: Path) -> None:
    bad = {"../../../etc/passwd.html": written(1), "/etc/\x1b[31mshadow.html": written(2), "a/" * 400 + "x.html": b"x"}
    path = kept(tmp_path, packed(bad))
    assert [line["file"] for line in lines(path)] == [f"{path}/{name}" for name in bad]
    told = CliRunner().invoke(command, ["read", str(path)]).stdout
    assert "\x1b" not in told
    assert list(tmp_path.iterdir()) == [path]


def test_the_number_in_a_registry_s_file_name_is_compared(tmp_path: Path) -> None:
    path = kept(tmp_path, packed({named(5): written(6), named(8): accounts(END, company_number=None)}))
    differs, missing = lines(path)
    assert (differs["company_number"], rules(differs)) == ("00000006", {"name_differs"})
    assert (missing["company_number"], rules(missing)) == ("00000008", {"from_name"})


def test_a_document_that_costs_its_reader_too_much_costs_one_line_only(tmp_path: Path) -> None:
    # Each of these bytes becomes a character of two bytes, then of three, and every few of them a node of text.
    costly = b'<?xml version="1.0" encoding="windows-1252"?><html>' + (b'<p a="1"/>' + b"\x80" * 55) * 240_000
    path = kept(tmp_path, packed({named(1): written(1), named(2): costly + b"</html>", named(3): written(3)}, 0))
    read = lines(path)
    assert [line["company_number"] for line in read] == ["00000001", "00000002", "00000003"]
    assert [rules(line) for line in read] == [set(), {"too_costly"}, set()]


def test_a_reader_may_open_neither_file_nor_socket_and_has_little_memory() -> None:
    source = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import resource, socket\n"
        "from marketplace.rating.reading.worker import MEMORY_BYTES, _give_up_rights\n"
        "_give_up_rights()\n"
        "for act in (lambda: open('/etc/passwd'), socket.socket, lambda: bytearray(MEMORY_BYTES)):\n"
        "    try: act()\n"
        "    except (OSError, MemoryError) as error: print(type(error).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", source, str(HOUSE)], capture_output=True, text=True, timeout=240)
    assert done.stdout.split() == ["OSError", "OSError", "MemoryError"]
    assert worker.MEMORY_BYTES <= 200 * 1024 * 1024
    assert worker.CPU_SECONDS <= 2


def test_every_real_filing_reads_the_same_inside_the_walls(shared: Path, tmp_path: Path) -> None:
    expected = json.loads((shared / "filings" / "expected.json").read_text())["files"]
    path = kept(tmp_path, packed({name: (shared / "filings" / name).read_bytes() for name in expected}))
    for line in lines(path):
        said = expected[Path(line["file"]).name]
        for what in ("company_number", "period_end", "prior_period_end"):
            assert line[what] == said[what], line["file"]
        for year in ("current", "prior"):
            disputed = [w for w in said[year] if said["null_reason"].get(f"{year}.{w}") == "readers disagree"]
            told, agreed = ({k: v for k, v in part[year].items() if k not in disputed} for part in (line, said))
            assert told == agreed, line["file"]


def test_hostile_documents_are_lines_with_faults_or_harmless(shared: Path) -> None:
    read = {Path(line["file"]).name: line for line in lines(shared / "filings" / "hostile")}
    assert len(read) == 5
    assert all(line["period_end"] is None for name, line in read.items() if name not in HARMLESS)
    assert not any("root:" in json.dumps(line) for line in read.values())


HARMLESS = {"schema_ref_net.html", "truncated.html"}


def test_special_files_and_unreadable_ones_are_lines(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.html")
    assert rules(lines(tmp_path / "pipe.html")[0]) == {"kind"}
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "one.html").write_bytes(written(1))
    assert [Path(line["file"]).name for line in lines(tmp_path)] == ["one.html"]


def test_readers_end_with_their_processes() -> None:
    with Readers(1) as readers:
        assert len(list(readers.read([Item("a.html", written(1))]))) == 1
        pid = readers.pids[0]
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert str(worker.MEMORY_BYTES) in limits
    assert not Path(f"/proc/{pid}").exists()


SEED = packed({named(n): written(n) for n in (1, 2)}, zipfile.ZIP_STORED)


@given(st.lists(st.tuples(st.integers(0, len(SEED) - 1), st.binary(max_size=6)), min_size=1, max_size=5))
def test_no_mutated_archive_breaks_the_walk(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[tuple[int, bytes]]
) -> None:
    content = SEED
    for place, bytes_ in cuts:
        content = content[:place] + bytes_ + content[place + len(bytes_) :]
    path = tmp_path_factory.getbasetemp() / "mutant.zip"
    path.write_bytes(content)
    for item in items([path]):
        assert item.problem or item.packing
    assert survey([path]).count >= 0


def ran(path: Path, *rest: str, output: Path, mode: str = "ab", **kind: Any) -> subprocess.Popen[bytes]:
    with output.open(mode) as out:
        return subprocess.Popen(
            [sys.executable, "-m", "marketplace", "filings", "read", str(path), "--json", *rest],
            stdout=out, stderr=subprocess.PIPE, cwd=HOUSE, **kind,
        )  # fmt: skip


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long")
    return kept(folder, packed({named(n): written(n) for n in range(1, 3_001)}))


def wait_for(found: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    while not found():
        try:
            process.wait(0.005)
        except subprocess.TimeoutExpired:
            continue
        pytest.fail(f"the run ended before it could be interrupted: {process.stderr and process.stderr.read()!r}")


def test_a_killed_reading_goes_on_without_doubles_or_gaps(long: Path, tmp_path: Path) -> None:
    output, journal = tmp_path / "out.jsonl", tmp_path / "journal"
    output.write_bytes(b'{"what": "stood here before"}\n')
    first = ran(long, "--resume", str(journal), "--workers", "1", output=output)
    wait_for(journal.exists, first)
    first.kill()
    first.communicate()
    assert 0 < json.loads(journal.read_text())["done"] < 3_000
    with output.open("ab") as file:
        file.write(b'{"file": "half a li')
    again = ran(long, "--resume", str(journal), output=output)
    said = again.communicate()[1]
    assert again.returncode == 0
    assert b"going on after" in said
    before, *read = output.read_text().splitlines()
    assert json.loads(before) == {"what": "stood here before"}
    assert [json.loads(line)["company_number"] for line in read] == [f"{n:08d}" for n in range(1, 3_001)]
    once_more = ran(long, "--resume", str(journal), output=output)
    assert once_more.communicate()[1].startswith(b"going on after 3,000 of 3,000")
    assert len(output.read_text().splitlines()) == 3_001


def test_an_interrupted_reading_ends_at_a_line_and_says_where(long: Path, tmp_path: Path) -> None:
    output, journal = tmp_path / "out.jsonl", tmp_path / "journal"
    first = ran(long, "--resume", str(journal), "--workers", "1", output=output)
    wait_for(journal.exists, first)
    first.terminate()
    said = first.communicate()[1]
    assert first.returncode == 130
    assert b"interrupted" in said
    done = json.loads(journal.read_text())["done"]
    assert len(output.read_text().splitlines()) == done < 3_000


def test_a_reading_is_not_resumed_onto_another_output_or_other_files(long: Path, tmp_path: Path) -> None:
    small = kept(tmp_path, TWO)
    output, journal = tmp_path / "out.jsonl", tmp_path / "journal"
    done = ran(small, "--resume", str(journal), output=output)
    done.communicate()
    assert done.returncode == 0
    for path, other, mode, words in (
        (long, output, "ab", b"not those"),
        (small, tmp_path / "another.jsonl", "ab", b"another output"),
        (small, output, "wb", b"shorter"),
    ):
        refused = ran(path, "--resume", str(journal), output=other, mode=mode)
        assert words in b" ".join(refused.communicate()[1].split())
        assert refused.returncode == 2
    journal.write_text("[]")
    broken = ran(small, "--resume", str(journal), output=output)
    assert b"not one that this command wrote" in b" ".join(broken.communicate()[1].split())
