"""YAML, PromQL and Python blocks of the documents are what their reader takes."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.exporter.metrics import WORKLOAD_METRICS
from services.ingest.series.rules import parse_rules
from services.kernel.settings import Settings
from services.simulator.measurements import ColumnChoice, read_file
from tests.unit.deploy.chart import CHART, render
from tests.unit.deploy.test_monitoring import series
from tests.unit.docs.blocks import Block, in_language

YAML = in_language("yaml")
# Definitions of ours, whole and in parts: tests/integration/docs/test_object_blocks.py.
OBJECTS = ("kind", "metadata", "indicatorsFrom")


def promtool(*arguments: str) -> None:
    """Ask Prometheus' own checker, where there is one."""
    if shutil.which("promtool") is None:
        return
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def check_chart_values(found: Any, text: str, folder: Path) -> None:
    assert set(found) <= set(yaml.safe_load((CHART / "values.yaml").read_text()))
    render(found)


def check_rules(found: Any, text: str, folder: Path) -> None:
    assert parse_rules(text).rules


def check_prometheus(found: Any, text: str, folder: Path) -> None:
    content = {"scrape_configs": found} if isinstance(found, list) else found
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(content))
    promtool("check", "config", "--syntax-only", str(file))
    for part in content.get("scrape_configs", ()):
        assert part["metrics_path"] in {"/metrics", "/metrics/workloads"}
    for write in content.get("remote_write", ()):
        port = re.search(r":(\d+)/", write["url"])
        assert port is not None
        assert int(port[1]) == Settings.model_fields["ingest_port"].default


def reader_of(found: Any) -> Callable[[Any, str, Path], None]:
    """The check that fits what a block of YAML is."""
    if isinstance(found, list) or "remote_write" in found:
        return check_prometheus
    if "rules" in found:
        return check_rules
    return check_chart_values


def is_object(block: Block) -> bool:
    found = yaml.load(block.text, yaml.CSafeLoader)
    return any(word in found for word in OBJECTS)


@pytest.mark.parametrize("block", [b for b in YAML if not is_object(b)], ids=str)
def test_yaml_is_what_its_reader_takes(block: Block, tmp_path: Path) -> None:
    found = yaml.safe_load(block.text)
    reader_of(found)(found, block.text, tmp_path)


@pytest.mark.parametrize("block", in_language("promql"), ids=str)
def test_promql_parses_and_its_metrics_exist(block: Block, tmp_path: Path) -> None:
    known = set(series()) | {one.full_name for one in WORKLOAD_METRICS}
    code = re.sub(r"#.*", "", block.text)
    expressions = [e for e in re.split(r"\n(?! )", code) if e.strip()]
    rules = [{"record": f"a:b{n}", "expr": e.strip()} for n, e in enumerate(expressions)]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "document", "rules": rules}]}))
    promtool("check", "rules", str(file))
    assert set(re.findall(r"\bharmony_[a-z0-9_]+", code)) <= known


@pytest.mark.parametrize("block", in_language("python"), ids=str)
def test_python_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec")


def test_the_trace_of_the_document_is_written_and_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = (b for b in in_language("python") if b.page == "docs/traces.md")
    monkeypatch.chdir(tmp_path)
    times = [datetime(2026, 1, 5, tzinfo=UTC) + timedelta(minutes=k) for k in range(4)] * 2
    names = ["chat"] * 4 + ["embed"] * 4
    exec(block.text, {"times": times, "names": names, "demand": [1.0] * 8, "duty": [2.0] * 8})
    found = read_file(Path("mine.parquet"), ColumnChoice(demand="l1_requests_per_s"))
    assert {one.workload for one in found.trace.series} == {"chat", "embed"}
