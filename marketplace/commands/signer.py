"""`bin/market signer`: the process that signs the audit log, with a database role and a key of its own."""

import logging
import os
import signal
import threading
from pathlib import Path

import click

from config.settings import home_dir, sqlalchemy_url
from marketplace.audit.checkpoint import SignerPlace, ensure_key, run_signer
from marketplace.kernel import log_lines

ORIGIN = "duebill.local/market"


@click.command("signer")
@click.option("--json", "as_json", is_flag=True, help="Accepted everywhere; this command prints nothing.")
def command(as_json: bool) -> None:
    """Sign checkpoints of the log until told to stop.

    The key and the last signed state lie in $DUEBILL_SIGNER_FOLDER; a key is made there when there is none.
    $DUEBILL_WITNESSES names folders, separated by colons, that keep a copy of every checkpoint.
    """
    log_lines.capture_standard_library(logging.INFO)
    folder = Path(os.environ.get("DUEBILL_SIGNER_FOLDER") or home_dir(os.environ) / "signer")
    witnesses = [Path(part) for part in os.environ.get("DUEBILL_WITNESSES", "").split(":") if part]
    place = SignerPlace(sqlalchemy_url(os.environ.get("DATABASE_URL", "")), folder, witnesses)
    ensure_key(place, os.environ.get("DUEBILL_ORIGIN") or ORIGIN)
    stop = threading.Event()
    for wish in (signal.SIGTERM, signal.SIGINT):
        signal.signal(wish, lambda *_: stop.set())
    run_signer(place, stop)
