"""The whole life of a folder of documents, played on a throw-away stage, and what it came to."""

import time
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import NullPool, create_engine

from marketplace.audit.bundle import BundleOrder, export_bundle, verify_bundle
from marketplace.audit.checkpoint import SignerPlace, ensure_key, sign_once
from marketplace.db import db
from marketplace.demo.outside import Outside
from marketplace.demo.papers import accounts_by_name, folder, own_invoices, refused, twins
from marketplace.demo.stage import Stage, throw_away_stage
from marketplace.demo.story import Paper, Story
from marketplace.demo.tally import tally
from marketplace.jobs.runner import run_job
from marketplace.jobs.schedule import job

FIRST_DAY = date(2026, 1, 12)
OWN_INVOICES = 14
ORIGIN = "duebill.example/demo"

Say = Callable[[str], None]


def play(invoices: Path | None, filings: Path | None, say: Say) -> dict[str, Any]:
    """Play the story of the given folders (or of documents of our own) and return its tally.

    Raises: MarketplaceError or OSError when a folder cannot be read.
    """
    started = time.monotonic()
    papers, accounts = _papers(invoices)
    with throw_away_stage(say) as stage:
        story = Story(stage.clock, Outside(stage.sandbox_url), say, list(folder(filings)) if filings else [],
                      {} if filings else accounts)  # fmt: skip
        if not filings and invoices:
            story = Story(stage.clock, Outside(stage.sandbox_url), say, list(accounts_by_name(FIRST_DAY).values()))
        return _run(stage, story, papers, say) | {"seconds": round(time.monotonic() - started, 1)}


def _papers(invoices: Path | None) -> tuple[list[Paper], dict[str, Paper]]:
    if invoices is not None:
        return list(folder(invoices)), {}
    made = own_invoices([FIRST_DAY + timedelta(days=3 * index) for index in range(OWN_INVOICES)])
    spec = made[0][0]
    later = spec.issued_on + timedelta(days=20)
    return [paper for _, paper in made] + twins(spec) + refused(spec, later), accounts_by_name(FIRST_DAY)


def _run(stage: Stage, story: Story, papers: Sequence[Paper], say: Say) -> dict[str, Any]:
    say(f"reading {len(papers)} files")
    story.hand_in(papers)
    first = story.first_day or FIRST_DAY
    say(f"the market opens on {first}")
    story.open(first, story.currencies)
    say("listing, confirming, rating, bidding, settling, collecting")
    story.agenda.run(after_each=_ticker(stage, story, say))
    run_job(job("age_receivables"))
    say("signing the audit log, exporting the bundle, verifying it offline")
    proof = prove(stage)
    found = tally(db.session())
    found["refused"] = len(story.refused.documents)
    found["duplicates_refused"] = len(story.refused.duplicates)
    found["held_for_review"] = len(story.refused.held)
    found["skipped"] = len(story.refused.skipped)
    found["filings_refused"] = len(story.refused.filings)
    found["reasons"] = story.refused.by_reason()
    return found | {"audit": proof}


def prove(stage: Stage) -> dict[str, Any]:
    """Sequence and sign everything, export a bundle and verify it with the one-file verifier."""
    place = SignerPlace(stage.signer_url, stage.home / "signer")
    key = ensure_key(place, ORIGIN)
    while run_job(job("sequence_events")):
        pass
    signer = create_engine(stage.signer_url, poolclass=NullPool)
    signed = sign_once(place, signer)
    bundle = export_bundle(db.engine, stage.home / "bundle.zip", BundleOrder())
    report = verify_bundle(bundle.path, key.verifier.text())
    size = signed.size if signed else 0
    return {"events": bundle.events, "checkpoint_size": size, "verified": bool(report["ok"])} | (
        {} if report["ok"] else {"wrong": report["wrong"]}
    )


def _ticker(stage: Stage, story: Story, say: Say) -> Callable[[], None]:
    """Return what tells the date about once a second."""
    last = [time.monotonic()]

    def tick() -> None:
        if time.monotonic() - last[0] > 1:
            last[0] = time.monotonic()
            say(f"{stage.clock.now():%d %b %Y}, {len(story.agenda)} moments to come")

    return tick
