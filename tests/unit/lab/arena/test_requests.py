"""Requests for an engine: refused at the door, drawn by a seed, as long as asked on average."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from services.kernel.errors import InvalidInput
from services.lab.arena.requests import (
    RequestList,
    Shape,
    lognormal_mix,
    poisson_requests,
    read_mix,
)


def listed(arrival: list[float], inputs: list[int], outputs: list[int]) -> RequestList:
    return RequestList(np.array(arrival), np.array(inputs), np.array(outputs))


@pytest.mark.parametrize(
    ("arrival", "inputs", "outputs", "said"),
    [
        ([0.0, 5.0, 4.0], [1, 1, 1], [1, 1, 1], "must not fall"),
        ([0.0, float("nan")], [1, 1], [1, 1], "must be finite"),
        ([0.0, 1.0], [5, 0], [1, 1], "input_tokens=0"),
        ([0.0, 1.0], [5, 1], [1, -3], "output_tokens=-3"),
        ([0.0, 1.0], [5], [1, 1], "shapes"),
        ([], [], [], "shapes"),
    ],
)
def test_what_no_engine_can_serve_is_refused(
    arrival: list[float], inputs: list[int], outputs: list[int], said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        listed(arrival, inputs, outputs)


def test_arrivals_and_lengths_are_as_asked_on_average() -> None:
    found = poisson_requests(20.0, 60, Shape(500, 80), lognormal_mix(), np.random.default_rng(3))
    assert found.arrival_ms[0] == 0
    assert len(found) == pytest.approx(72_000, rel=0.02)
    assert found.arrival_ms[-1] < 3.6e6
    assert found.input_tokens.mean() == pytest.approx(500, rel=0.03)
    assert found.output_tokens.mean() == pytest.approx(80, rel=0.03)


def test_long_ones_are_cut() -> None:
    shape = Shape(500, 80, max_input=600, max_output=90)
    found = poisson_requests(20.0, 10, shape, lognormal_mix(), np.random.default_rng(3))
    assert found.input_tokens.max() == 600
    assert found.output_tokens.max() == 90


def test_the_seed_decides() -> None:
    one, same, other = (
        poisson_requests(2.0, 5, Shape(500, 80), lognormal_mix(), np.random.default_rng(seed))
        for seed in (1, 1, 2)
    )
    assert np.array_equal(one.arrival_ms, same.arrival_ms)
    assert np.array_equal(one.input_tokens, same.input_tokens)
    assert not np.array_equal(one.input_tokens[:50], other.input_tokens[:50])


def test_made_up_lengths_are_independent_and_spread() -> None:
    mix = lognormal_mix()
    assert mix.input_ratio.mean() == pytest.approx(1)
    assert np.log(mix.input_ratio).std() == pytest.approx(0.99, rel=0.02)
    assert abs(np.corrcoef(np.log(mix.input_ratio), np.log(mix.output_ratio))[0, 1]) < 0.05
    assert len({*zip(mix.input_ratio, mix.output_ratio, strict=True)}) == 4096


@pytest.mark.parametrize("names", ["ContextTokens,GeneratedTokens", "input_length,output_length"])
def test_a_trace_gives_pairs_over_their_means(tmp_path: Path, names: str) -> None:
    path = tmp_path / "trace.csv.gz"
    path.write_bytes(gzip.compress(f"at,{names}\n0,100,10\n1,300,30\n".encode()))
    mix = read_mix(path)
    assert mix.source == "trace.csv.gz"
    assert mix.input_ratio.tolist() == [0.5, 1.5]
    assert mix.output_ratio.tolist() == [0.5, 1.5]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "needs a heading"),
        ("", "needs a heading"),
        ("input_length,output_length\n5,many\n", "must be numbers"),
        ("input_length,output_length\n5,0\n", ">= 1"),
    ],
)
def test_an_unusable_trace_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=said):
        read_mix(path)


def test_a_missing_trace_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="No such file"):
        read_mix(tmp_path / "none.csv")


def test_prefixes_are_one_row_of_each_request() -> None:
    columns = np.zeros(2), np.ones(2, int), np.ones(2, int)
    assert RequestList(*columns).shared_blocks == ((), ())
    assert RequestList(*columns, prefix=((1,), ())).shared_blocks == ((1,), ())
    with pytest.raises(InvalidInput, match="prefix has 1 rows, must be one of each of 2"):
        RequestList(*columns, prefix=((1,),))
