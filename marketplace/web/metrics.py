"""Figures for Prometheus: what this server answered, over all its workers, and what the database knows.

The page takes a bearer token that only the installation knows; without it, it does not exist. No label is personal:
addresses are told by their rule.
"""

import hmac
import os
import time
from collections.abc import Iterator

from flask import Blueprint, Flask, Response, current_app, g, request
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
    multiprocess,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from werkzeug.exceptions import NotFound

from marketplace.db import db
from marketplace.reports import health

blueprint = Blueprint("metrics", __name__)
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

ANSWERS = Counter("duebill_http_requests", "Requests answered.", ["method", "rule", "code"])
SECONDS = Histogram("duebill_http_request_seconds", "How long an answer took.", ["method", "rule"], buckets=BOUNDS)


class _FromDatabase(Collector):
    """What is measured when somebody asks."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield one family for each gauge."""
        found = health.gauges(db.session())
        for name, (meaning, labels, _) in health.GAUGES.items():
            family = GaugeMetricFamily(name, meaning, labels=list(labels))
            for values, value in found[name]:
                family.add_metric(list(values), value)
            yield family


@blueprint.get("/metrics")
def metrics() -> Response:
    """Tell the figures to whoever holds the token. Raises: NotFound to anybody else."""
    wanted = current_app.extensions["duebill"].settings.metrics_token.encode()
    given = request.headers.get("Authorization", "").removeprefix("Bearer ").encode()
    if not wanted or not hmac.compare_digest(given, wanted):
        raise NotFound
    registry = CollectorRegistry()
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    else:
        registry.register(ANSWERS)
        registry.register(SECONDS)
    registry.register(_FromDatabase())
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _count(response: Response) -> Response:
    try:
        _keep(response)
    except OSError as error:  # a full disk, a folder that is gone: an answer is worth more than its count
        current_app.logger.warning("An answer was not counted: %s", error)
    return response


def _keep(response: Response) -> None:
    if request.endpoint not in ("static", "bootstrap.static"):
        rule = request.url_rule.rule if request.url_rule else "none"
        method = request.method if request.method in ("GET", "HEAD", "POST", "OPTIONS") else "other"
        ANSWERS.labels(method, rule, str(response.status_code)).inc()
        SECONDS.labels(method, rule).observe(time.perf_counter() - g.get("began", time.perf_counter()))


def install(app: Flask) -> None:
    """Count every answer."""
    app.after_request(_count)


def forget_worker(process: int) -> None:
    """Drop the live figures of a worker that ended; its counts stay in the sums."""
    multiprocess.mark_process_dead(process)  # type: ignore[no-untyped-call]
