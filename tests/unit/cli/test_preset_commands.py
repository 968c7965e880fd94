"""`harmony presets`: YAML that a GPUAutoscaler takes, and what a page has."""

from __future__ import annotations

import json

import pytest
import yaml
from typer.testing import CliRunner

from services.cli import preset_commands
from services.cli.application import app
from services.cli.preset_commands import read_thresholds
from services.kernel.domain.presets import PRESETS, MetricsPage, read_page
from services.kernel.errors import InvalidInput
from services.operator.resource.spec import Indicator
from tests.unit.kernel.domain.presets.scraped import page

RUNNER = CliRunner()
URL = "http://engine:8000/metrics"


def run(*arguments: str) -> str:
    result = RUNNER.invoke(app, ["presets", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def on_page(monkeypatch: pytest.MonkeyPatch) -> list[MetricsPage]:
    """The page that is fetched; a test puts it in."""
    pages: list[MetricsPage] = []
    monkeypatch.setattr(preset_commands, "fetch_page", lambda *_: pages[0])
    return pages


def test_the_list_names_every_preset() -> None:
    text = run("list")
    assert all(name in text for name in PRESETS)
    rows = {row["name"]: row for row in json.loads(run("list", "--json"))}
    assert set(rows) == set(PRESETS)
    assert rows["vllm"]["goals"] == ["ttft", "itl", "tpot", "e2e", "queue"]
    assert rows["gateway"]["place"] == "router"


@pytest.mark.parametrize("name", PRESETS)
def test_what_is_shown_can_be_pasted(name: str) -> None:
    written = yaml.safe_load(run("show", name, "--namespace", "shop", "--workload", "chat"))
    read = [Indicator.model_validate(indicator) for indicator in written]
    assert [indicator.name for indicator in read] == [i.name for i in PRESETS[name].indicators]
    for indicator in read:
        assert "$namespace" not in indicator.query
        assert "$pod" not in indicator.query
        assert "[$step]" in indicator.query


def test_names_are_left_to_fill_in_and_comments_say_the_rest() -> None:
    text = run("show", "sglang")
    assert 'namespace="$namespace",pod=~"$pod"' in text
    assert "# ttft, time to first token: sglang:time_to_first_token_seconds (needs " in text
    assert "# requests that were aborted: sglang:num_aborted_requests_total" in text
    assert "# request_rate_rps needs --enable-metrics" in text
    assert "edges in s: 0.1 0.2 0.4" in text


def test_show_as_json_has_the_service_levels() -> None:
    found = json.loads(run("show", "vllm", "--json"))
    ttft = next(goal for goal in found["goals"] if goal["goal"] == "ttft")
    assert 0.5 in ttft["edges_s"]
    assert {loss["labels"] for loss in found["losses"]} == {
        'finished_reason="error"',
        'finished_reason="abort"',
    }
    assert len(found["indicators"]) == found["n_indicators"]


def test_a_page_is_compared_with_the_presets_that_fit(on_page: list[MetricsPage]) -> None:
    on_page.append(page("vllm-older"))
    text = run("check", URL, "--threshold", "ttft=500ms", "--threshold", "e2e=3s")
    assert "vllm (vLLM) fits: 15 of 16 indicators" in text
    assert "ttft 0.5 s is an edge" in text
    assert "e2e 3 s lies between the edges 2.5 s and 5 s" in text
    assert "sglang" not in text


def test_the_comparison_as_json(on_page: list[MetricsPage]) -> None:
    on_page.append(page("vllm-older"))
    found = json.loads(run("check", URL, "--threshold", "queue=2h", "--json"))
    (preset,) = found["presets"]
    assert (preset["name"], preset["is_fit"], preset["n_found"]) == ("vllm", True, 15)
    goals = {goal["name"]: goal for goal in preset["goals"]}
    assert goals["queue"]["threshold"] == {
        "threshold_s": 7200.0,
        "below_s": 1920.0,
        "above_s": 7680.0,
        "is_exact": False,
    }
    assert goals["ttft"]["threshold"] is None
    assert goals["tpot"]["missing"] == ["vllm:request_time_per_output_token_seconds"]


def test_a_page_that_fits_nothing_ends_with_1(on_page: list[MetricsPage]) -> None:
    on_page.append(read_page("up 1\n"))
    for name, said in (((), "none of 12 presets fits"), (("vllm",), "vllm (vLLM) does not fit: 0")):
        result = RUNNER.invoke(app, ["presets", "check", URL, *name])
        assert result.exit_code == 1
        assert said in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "ollama"), "preset='ollama' must be one of"),
        (("check", URL, "ollama"), "preset='ollama' must be one of"),
        (("show", "vllm", "--workload", 'a"}'), "--workload='a\"}' must be a Kubernetes name"),
        (("show", "vllm", "--namespace", "A b"), "--namespace='A b' must be a Kubernetes name"),
        (("check", "engine"), "URL='engine' must read http"),
        (("check", URL, "--threshold", "ttft"), "--threshold=ttft: '' must be a duration"),
    ],
)
def test_wrong_input_is_one_line(arguments: tuple[str, ...], message: str) -> None:
    result = RUNNER.invoke(app, ["presets", *arguments])
    assert isinstance(result.exception, InvalidInput)
    assert message in result.exception.message


def test_thresholds_are_read_in_seconds() -> None:
    assert read_thresholds(["ttft=500ms", "itl=0.05s"]) == {"ttft": 0.5, "itl": 0.05}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["speed=1s"], "must be one of ttft, itl, tpot, e2e, queue"),
        (["=1s"], "must be one of"),
        (["ttft=5"], "with its unit"),
        (["ttft=-5s"], "must be a duration"),
        (["ttft=0s"], "must be longer than 0"),
        (["ttft=1s", "ttft=2s"], "each goal once"),
    ],
)
def test_wrong_thresholds_are_refused(texts: list[str], message: str) -> None:
    with pytest.raises(InvalidInput, match="--threshold=") as refused:
        read_thresholds(texts)
    assert message in refused.value.message
