"""`bin/market scheduler`: the one process that keeps time."""

import logging
import os

import click

from marketplace.kernel import log_lines


@click.command("scheduler")
@click.option("--json", "as_json", is_flag=True, help="Accepted everywhere; this command prints nothing.")
def command(as_json: bool) -> None:
    """Run the jobs at their intervals until told to stop. Of several schedulers one leads."""
    from marketplace.app import create_app
    from marketplace.jobs.schedule import run_scheduler
    from marketplace.stack.memory import keep_loaded

    app = create_app()
    keep_loaded()
    log_lines.capture_standard_library(logging.INFO)
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
    if not run_scheduler(app):
        logging.shutdown()
        os._exit(0)  # a thread is still at work; its transaction ends with the process, whole or not at all
