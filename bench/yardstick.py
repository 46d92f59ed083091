"""Another reader of accounts, ixbrlparse, in a virtual environment of its own that is made when it is first asked for.

It is MIT, but one of the packages it needs (word2number) has had no release since 2018, so it is no part of the
market's own packages, not even of those for tests.
"""

import shutil
import subprocess
import sys
import venv
from pathlib import Path

from bench.figures import Say

PINS = Path(__file__).with_name("ixbrlparse.txt")
# Reads every file of a folder once and prints the seconds that reading took, without those of starting.
READ = """
import io, sys, time, warnings
from pathlib import Path
warnings.simplefilter("ignore")
from ixbrlparse import IXBRL
documents = [path.read_text(encoding="utf-8") for path in sorted(Path(sys.argv[1]).iterdir())]
def read(text):
    found = IXBRL(io.StringIO(text), raise_on_error=False)
    return [fact.value for fact in found.numeric]
read(documents[0])
began = time.perf_counter()
figures = sum(len(read(text)) for text in documents)
print(time.perf_counter() - began, figures)
"""


def python(home: Path, say: Say) -> Path | None:
    """Return the interpreter that has ixbrlparse, installing it in `home` if need be; None when it cannot be."""
    place = home / "ixbrlparse"
    found = place / "bin" / "python"
    if (place / "ready").exists() and (place / "ready").read_bytes() == PINS.read_bytes():
        return found
    say("installing ixbrlparse to measure against …")
    shutil.rmtree(place, ignore_errors=True)
    try:
        venv.create(place, with_pip=True)
        subprocess.run([str(found), "-m", "pip", "install", "-q", "--require-hashes", "-r", str(PINS)], check=True,
                       stdout=sys.stderr, timeout=600)  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        say(f"it cannot be installed: {error}")
        return None
    shutil.copy(PINS, place / "ready")
    return found


def seconds(interpreter: Path, folder: Path) -> float:
    """Return the seconds in which ixbrlparse reads every file of a folder."""
    told = subprocess.run([str(interpreter), "-I", "-c", READ, str(folder)], capture_output=True, text=True, check=True)
    return float(told.stdout.split()[0])
