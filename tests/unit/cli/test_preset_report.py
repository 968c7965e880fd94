"""Words for a threshold's place among the edges, and YAML with its comments."""

from __future__ import annotations

import pytest
import yaml

from services.cli.preset_report import as_yaml, bracket_words, load_lines
from services.kernel.domain.presets import PRESETS, Bracket, preset_indicators


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Bracket(0.5, 0.5, 0.5), "0.5 s is an edge: the share of requests within it is exact"),
        (Bracket(0.6, 0.5, 0.75), "between the edges 0.5 s and 0.75 s"),
        (Bracket(900.0, 60.0, None), "beyond the last edge, 60 s: the share within it is at least"),
        (Bracket(0.01, 0.0, 0.1), "between the edges 0 s and 0.1 s"),
    ],
)
def test_what_a_place_among_edges_means(found: Bracket, words: str) -> None:
    assert words in bracket_words(found)


def test_all_that_is_no_indicator_is_a_comment() -> None:
    preset = PRESETS["dcgm"]
    text = as_yaml(preset, preset_indicators(("dcgm",), "shop", ("chat",)))
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert comments[0] == "# NVIDIA dcgm-exporter, measured at the replica"
    assert not any("may be the demand" in line for line in comments)
    assert [row["name"] for row in yaml.safe_load(text)] == [i.name for i in preset.indicators]
    assert all(line.count("query:") <= 1 for line in text.splitlines())


def test_loads_are_told_apart() -> None:
    arriving, served = load_lines(PRESETS["dynamo"], PRESETS["dynamo"].loads)
    assert arriving.startswith("loads as they arrive")
    assert "request_rate_rps, offered_input_tokens_per_s" in arriving
    assert served.endswith("less under overload: input_tokens_per_s, output_tokens_per_s")
    assert load_lines(PRESETS["dynamo"], ["offered_kv_tokens"]) == [
        "loads as they arrive, for demand and capacity.alsoBoundBy: offered_kv_tokens"
    ]
    assert load_lines(PRESETS["dcgm"], PRESETS["dcgm"].loads) == []


def test_the_yaml_says_which_loads_arrive() -> None:
    text = as_yaml(PRESETS["vllm"], preset_indicators(("vllm",), "shop", ("chat",)))
    assert "\n# loads as they arrive, for demand and capacity.alsoBoundBy: offered_request" in text
    assert "\n# loads as they were served, which is less under overload: request_rate_rps" in text
