"""A real Prometheus writes its own native histogram, and Harmony counts what Prometheus counts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
from sqlalchemy import Engine, text

from services.ingest.api import make_app
from services.ingest.deps import IngestDeps
from services.ingest.series.rules import parse_rules
from services.kernel.clock import SystemClock
from services.kernel.jobs import RecordingSender
from services.kernel.security.keys import Role, create_key
from services.kernel.settings import Settings
from tests.contract.ingest.prometheus_world import running_prometheus
from tests.integration.ingest.conftest import Register
from tests.integration.ingest.objective_counts import PUSHED
from tests.integration.ingest.remote_write.test_api import (
    WRITTEN,
    Gate,
    eventually,
    pytestmark as pytestmark,
    served,
)

INF = float("inf")
METRIC = "prometheus_http_request_duration_seconds"
RULES = f"""
rules:
  - match: '{METRIC}{{handler="/-/ready"}}'
    namespace: shop
    workload: w0
    indicator: sli_ttft
"""
CONFIGURATION = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: itself
    scrape_protocols: [PrometheusProto]
    file_sd_configs: [{{files: ["{targets}"], refresh_interval: 1s}}]
    metric_relabel_configs:
      - {{source_labels: [__name__], regex: "{metric}", action: keep}}
remote_write:
  - url: http://{ingest}/api/v1/write
    authorization: {{credentials: {key}}}
    send_native_histograms: true
    queue_config: {{batch_send_deadline: 100ms}}
"""


def test_a_native_histogram_of_a_real_prometheus(
    database: Engine,
    settings: Settings,
    sender: RecordingSender,
    register: Register,
    tmp_path: Path,
) -> None:
    register(objective=PUSHED)
    clock = SystemClock()
    with database.begin() as connection:
        key = create_key(connection, "prometheus", Role.OPERATOR, clock.now()).token
    deps = IngestDeps(database, clock, sender, settings, remote_rules=parse_rules(RULES))
    gate, targets = Gate(make_app(deps)), tmp_path / "targets.json"
    targets.write_text("[]")
    with served(gate) as ingest:
        places = {"targets": targets, "ingest": ingest, "key": key, "metric": METRIC}
        flag = "--enable-feature=native-histograms"
        with running_prometheus(tmp_path, CONFIGURATION.format(**places), flag) as url:
            targets.write_text(json.dumps([{"targets": [url.removeprefix("http://")]}]))
            eventually(lambda: len(up_to(database, INF)) >= 2, "a count")
            for _ in range(7):
                httpx.get(f"{url}/-/ready", trust_env=False)
            counted = count_of_prometheus(url)
            assert counted >= 7
            eventually(lambda: up_to(database, INF)[-1] >= counted, "all requests")
            assert up_to(database, INF)[-1] == counted
    assert 0 < up_to(database, 0.5)[-1] <= up_to(database, INF)[-1], "0.5 s is an edge of it"
    answers = [answer for _, answer, status in gate.answered if status == 204]
    assert sum(int(answer[WRITTEN.format("histograms")]) for answer in answers) > 0


def up_to(database: Engine, edge_s: float) -> list[float]:
    """What was stored of its requests up to an edge, oldest first."""
    query = text(
        "SELECT value FROM series_observations WHERE threshold_s = :edge ORDER BY observed_at"
    )
    with database.connect() as connection:
        return list(connection.execute(query, {"edge": edge_s}).scalars())


def count_of_prometheus(url: str) -> float:
    """Requests to `/-/ready`, as its own page of text has them."""
    page = httpx.get(f"{url}/metrics", trust_env=False).text
    found = re.search(rf'^{METRIC}_count{{handler="/-/ready"}} (\S+)$', page, re.M)
    assert found is not None
    return float(found[1])
