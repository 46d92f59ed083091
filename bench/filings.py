"""P15, first half: reading filings, against ixbrlparse; and a month's bulk ZIP: pace, memory, and an interruption.

All documents are made up (bench/made_filings.py). The archive is read by `bin/market filings read` as a user runs it,
killed half way without warning, and resumed.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench import yardstick
from bench.figures import Figure, Say, middle, ratio
from bench.made_filings import made, write_archive
from config.settings import HOUSE, home_dir
from marketplace.kernel.errors import InvalidInput
from marketplace.rating.figures import read_filing

FILINGS, COMPARED, SAMPLE_SECONDS = 100_000, 60, 0.2
TELLING = 100  # fewer samples show how processes start, not how they grow
RATIO, GROWTH, PROCESSORS = 5.0, 1.2, 1.5


def measure(size: int | None, runs: int, say: Say) -> Iterator[Figure]:
    """Yield the pace against ixbrlparse, then pace, memory and wholeness over an archive of `size` filings."""
    count = size or FILINGS
    with tempfile.TemporaryDirectory(prefix="duebill-bench-") as home:
        yield _against(Path(home), runs, say)
        archive = Path(home) / "Accounts_Monthly_Data.zip"
        say(f"writing an archive of {count:,} filings …")
        plain = write_archive(archive, count, say)
        yield from _bulk(archive, count, plain, say)
        yield _processors(Path(home), max(200, count // 20), runs, say)


def _against(home: Path, runs: int, say: Say) -> Figure:
    """Compare on the same documents, in turns. Theirs runs in a process of its own, without its start."""
    folder = home / "compared"
    folder.mkdir()
    documents = [made(index) for index in range(COMPARED)]
    for name, content in documents:
        (folder / name).write_bytes(content)
    interpreter = yardstick.python(home_dir(os.environ) / "bench", say)
    ours, theirs = [], []
    for run in range(runs):
        began = time.perf_counter()
        for name, content in documents:
            with suppress(InvalidInput):
                read_filing(content, name)
        ours.append(time.perf_counter() - began)
        if interpreter:
            theirs.append(yardstick.seconds(interpreter, folder))
            say(f"run {run + 1}: {COMPARED / ours[-1]:,.0f} filings a second, ixbrlparse {COMPARED / theirs[-1]:,.0f}")
    parts: dict[str, Any] = {"filings": COMPARED, "bytes": sum(len(content) for _, content in documents),
                             "ours_per_second": round(COMPARED / middle(ours), 1)}  # fmt: skip
    if not theirs:
        return Figure("P15_filings", None, RATIO, None, runs,
                      parts | {"not_measured": "ixbrlparse could not be installed (bench/ixbrlparse.txt)"})  # fmt: skip
    value = ratio(theirs, ours)
    parts["ixbrlparse_per_second"] = round(COMPARED / middle(theirs), 1)
    return Figure("P15_filings", value, RATIO, value >= RATIO, runs, parts)


def _bulk(archive: Path, count: int, plain: int, say: Say) -> Iterator[Figure]:
    output, journal = archive.with_name("out.jsonl"), archive.with_name("journal")
    samples: list[tuple[int, int]] = []
    began = time.monotonic()
    killed_at = _watch(archive, output, journal, samples, kill_after=count // 2)
    say(f"killed after {killed_at:,}; resuming")
    _watch(archive, output, journal, samples)
    seconds = time.monotonic() - began
    seen: set[str] = set()
    lines = 0
    with output.open(encoding="utf-8") as file:
        for line in file:
            lines += 1
            seen.add(json.loads(line)["file"])
    doubles, gaps = lines - len(seen), count - len(seen)
    parts: dict[str, Any] = {"filings": count, "killed_after": killed_at, "doubles": doubles, "gaps": gaps}
    yield Figure("filings_resumed", float(doubles + gaps), 0.0, doubles + gaps == 0, 1, parts)
    fifth = max(1, len(samples) // 5)
    early, late = max(s[1] for s in samples[:fifth]), max(s[1] for s in samples[-fifth:])
    growth = round(late / early, 3)
    yield Figure("filings_memory", growth, GROWTH, growth <= GROWTH if len(samples) >= TELLING else None, 1,
                 {"filings": count, "first_fifth_mb": early >> 20, "last_fifth_mb": late >> 20,
                  "processes": max(s[0] for s in samples), "seconds_in_all": round(seconds, 1),
                  "filings_per_second": round(count / seconds, 1), "mb_packed": archive.stat().st_size >> 20,
                  "mb_plain": plain >> 20})  # fmt: skip


def _watch(archive: Path, output: Path, journal: Path, samples: list[tuple[int, int]], kill_after: int | None = None
           ) -> int:  # fmt: skip
    """Run the command, noting processes and resident bytes of all of them; return the lines it noted."""
    with output.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "marketplace", "filings", "read", str(archive), "--json", "--resume", str(journal)],
            cwd=HOUSE, stdout=out, stderr=sys.stderr,
        )  # fmt: skip
    while process.poll() is None:
        time.sleep(SAMPLE_SECONDS)
        found = _resident(process.pid)
        if len(found) > 1:
            samples.append((len(found), sum(found)))
        if kill_after and journal.exists() and json.loads(journal.read_text())["done"] >= kill_after:
            process.kill()
    process.wait()
    return int(json.loads(journal.read_text())["done"])


def _resident(pid: int) -> list[int]:
    """Return the resident bytes of a process and of its children; nothing where /proc does not tell."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        children += [c for t in Path(f"/proc/{pid}/task").iterdir() for c in (t / "children").read_text().split()]
        pages = [int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in {str(pid), *children}]
    except OSError:
        return []
    return [count * os.sysconf("SC_PAGE_SIZE") for count in pages]


def _processors(home: Path, count: int, runs: int, say: Say) -> Figure:
    """Compare the pace of all processors with that of one."""
    archive = home / "part.zip"
    write_archive(archive, count, say)
    there = len(os.sched_getaffinity(0))
    gains = [_seconds(archive, 1) / _seconds(archive, there) for _ in range(runs)]
    gain = middle(gains)
    ok = gain >= PROCESSORS if there > 1 and count >= 2_000 else None
    return Figure("filings_processors", gain, PROCESSORS, ok, runs, {"filings": count, "processors": there})


def _seconds(archive: Path, workers: int) -> float:
    began = time.perf_counter()
    command = ["filings", "read", str(archive), "--json", "--workers", str(workers)]
    subprocess.run([sys.executable, "-m", "marketplace", *command], cwd=HOUSE, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, check=True)  # fmt: skip
    return time.perf_counter() - began
