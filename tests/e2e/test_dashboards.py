"""Every query of every dashboard runs as Grafana would run it, on what the platform has written.

Postgres is the demo's own; Prometheus has scraped the demo's processes. Each query must give data.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import ProgrammingError

from services.kernel.db.session import sqlalchemy_url
from tests.contract.ingest.prometheus_world import require_prometheus
from tests.e2e.conftest import ShortDemo

# whoever comes first waits for the demo
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

GRAFANA = Path(__file__).parents[2] / "deploy/grafana"
DASHBOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))
PATIENCE_S = 60
OF_SCORES = (
    "harmony_forecast_coverage_ratio",
    "harmony_forecast_pinball_loss",
    "harmony_forecast_skill_vs_naive",
)
"""What is exported of a workload once its forecasts have been scored."""

A_SHADOW_MODEL = """
INSERT INTO models (version, kind, status, reason, config, metrics, created_at)
SELECT 'v1', 'flow', 'shadow', 'back-test skill -0.010', '{}', '{}', max(step_at) FROM outcomes
"""
"""The row of a fit, for what shows fits; the demo's transaction is never committed."""


@pytest.fixture(scope="module")
def database(short_demo: ShortDemo) -> Iterator[Engine]:
    """The demo's database once its first forecasts have been scored."""
    engine = create_engine(sqlalchemy_url(short_demo.database_url))

    def is_scored() -> bool:
        with engine.connect() as connection:
            n = connection.execute(text("SELECT count(*) FROM forecast_scores")).scalar_one()
        return bool(n)

    _eventually(is_scored, "a score")
    with engine.begin() as connection:
        connection.exec_driver_sql((GRAFANA / "reader.sql").read_text())
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def prometheus(short_demo: ShortDemo, database: Engine) -> str:
    """URL of the Prometheus, once it has scraped what the scores have set."""
    require_prometheus()
    url = short_demo.prometheus_url

    def has_scores() -> bool:
        # coverage is known before the first score is: it is counted as outcomes come in
        return all(instant(url, name) for name in OF_SCORES)

    _eventually(has_scores, "the metrics of a score")
    return url


def _eventually(ask: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not ask():
        assert time.monotonic() < deadline, f"never saw {what}"
        time.sleep(0.2)  # another process's work cannot be awaited otherwise


def instant(url: str, expression: str) -> list[Any]:
    """Series of an expression now."""
    answer = httpx.get(f"{url}/api/v1/query", params={"query": expression}, trust_env=False)
    content = answer.json()
    assert content["status"] == "success", f"{expression}: {content}"
    found: list[Any] = content["data"]["result"]
    return found


def document(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def targets(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """(title, target) of panels and annotations."""
    content = document(path)
    found = [(p["title"], t) for p in content["panels"] for t in p.get("targets", [])]
    return found + [(note["name"], note["target"]) for note in content["annotations"]["list"]]


class Grafana:
    """Fills in what Grafana fills in: times of the range, and all values of each variable."""

    def __init__(self, connection: Connection, prometheus_url: str) -> None:
        self.connection = connection
        self.prometheus_url = prometheus_url
        span = "SELECT min(step_at) - interval '1 day', max(step_at) + interval '2 days'"
        first, last = connection.execute(text(f"{span} FROM outcomes")).one()
        self.span = f"'{first.isoformat()}' AND '{last.isoformat()}'"
        self.values: dict[str, list[str]] = {}

    def learn(self, variables: list[dict[str, Any]]) -> None:
        """Ask for the values of each variable, as far as those before it are chosen."""
        for one in variables:
            found = self._values(one)
            assert found, f"variable {one['name']}: no value"
            self.values[one["name"]] = found if one["multi"] else found[:1]

    def _values(self, one: dict[str, Any]) -> list[str]:
        if one["type"] == "datasource":
            return [one["query"]]
        if one["type"] == "custom":
            return [option["value"] for option in one["options"]]
        if one["datasource"]["type"] == "prometheus":
            metric, label = re.fullmatch(
                r"label_values\((\w+), (\w+)\)", one["query"]["query"]
            ).groups()  # type: ignore[union-attr]  # fails the test
            url = f"{self.prometheus_url}/api/v1/label/{label}/values"
            answer = httpx.get(url, params={"match[]": metric}, trust_env=False).json()
            return [str(value) for value in answer["data"]]
        return [str(row[0]) for row in self.rows(one["query"])]

    def expand(self, query: str) -> str:
        query = re.sub(r"\$__timeFilter\(([^)]+)\)", rf"\1 BETWEEN {self.span}", query)
        query = query.replace("$__timeFrom()", self.span.partition(" AND ")[0])
        for name, values in self.values.items():
            quoted = ",".join("'" + value.replace("'", "''") + "'" for value in values)
            query = query.replace(f"${{{name}:sqlstring}}", quoted)
            query = query.replace(f"${{{name}:regex}}", "(" + "|".join(values) + ")")
            query = query.replace(f"${name}", values[0])
        assert "$" not in query, query
        return query

    def rows(self, sql: str) -> list[Any]:
        result = self.connection.exec_driver_sql(self.expand(sql))
        columns, found = list(result.keys()), list(result.all())
        if "time" in columns:
            assert columns[0] == "time", sql
        return found


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_query_gives_data(path: Path, database: Engine, prometheus: str) -> None:
    empty = []
    with database.connect() as connection:
        # a short demo need not have a large scaling, which is what its annotation shows
        connection.exec_driver_sql("UPDATE decisions SET desired_replicas = 3 * current_replicas")
        # nor need its fit have ended
        connection.exec_driver_sql(A_SHADOW_MODEL)
        connection.exec_driver_sql("SET ROLE harmony_reader")
        grafana = Grafana(connection, prometheus)
        grafana.learn(document(path)["templating"]["list"])
        for title, target in targets(path):
            if "rawSql" in target:
                rows = grafana.rows(target["rawSql"])
                has_data = any(value is not None for row in rows for value in row)
            else:
                series = instant(prometheus, grafana.expand(target["expr"]))
                has_data = any(one["value"][1] != "NaN" for one in series)
            if not has_data:
                empty.append(f"{title}: {target.get('rawSql') or target['expr']}")
    assert empty == []


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM api_keys",
        "SELECT * FROM audit",
        "SELECT artifact FROM models",
        "UPDATE workloads SET is_active = false",
        "DELETE FROM decisions",
        "CREATE TABLE mine (id int)",
    ],
)
def test_the_reader_reads_what_dashboards_show_and_nothing_else(
    database: Engine, statement: str
) -> None:
    with database.connect() as connection:
        connection.exec_driver_sql("SET ROLE harmony_reader")
        with pytest.raises(ProgrammingError, match="permission denied"):
            connection.exec_driver_sql(statement)
