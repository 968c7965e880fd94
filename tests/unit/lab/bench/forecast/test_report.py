"""Tables of forecasting benchmarks, from documents made by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.kernel.errors import InvalidInput
from services.lab.bench.forecast.report import (
    load_documents,
    markdown,
    peer_rows,
    plot_reliability,
    summary_rows,
    table_rows,
)


def figures(crps: float, tail: float = 1.0, **changed: Any) -> dict[str, Any]:
    """One forecaster's part of a document."""
    return {
        "crps": crps,
        "crps_by_seed": [crps],
        "crps_demand": 2 * crps,
        "mse": 3 * crps,
        "pinball": {"0.99": tail},
        "coverage": {"0.8": 0.79, "0.95": 0.94, "0.99": 0.985},
        "coverage_upper": {"0.99": 0.991},
        "path_max_pinball99": 0.6,
        "path_max_pinball99_independent": 0.8,
        "path_sum_crps": 0.9,
        "path_sum_crps_independent": 1.0,
        "train_s": 12.4,
        "infer_ms_per_window": 0.256,
        "reliability": {"0.1": 0.12, "0.5": 0.5, "0.9": 0.88},
        **changed,
    }


def document(data: str = "a", **models: dict[str, Any]) -> dict[str, Any]:
    return {
        "protocol": "panel",
        "data": data,
        "test_windows": 100,
        "workloads": 3,
        "models": models,
    }


def write(folder: Path, name: str, content: object) -> Path:
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content))
    return path


def test_the_table_has_the_best_first_each_over_the_best_simple_one() -> None:
    rows = table_rows(
        document(best_simple=figures(0.2), harmony=figures(0.15), last_value=figures(0.3))
    )
    assert [row["model"] for row in rows] == ["harmony", "best_simple", "last_value"]
    assert [row["/ simple"] for row in rows] == ["0.750", "1.000", "1.500"]
    assert rows[0] == {
        "model": "harmony",
        "CRPS": "0.1500",
        "/ simple": "0.750",
        "demand": "0.3000",
        "MSE": "0.4500",
        "80 %": "79.0%",
        "95 %": "94.0%",
        "99 %": "98.5%",
        "path max": "0.750",
        "train s": "12",
        "ms/window": "0.26",
    }


def test_several_seeds_have_a_spread() -> None:
    (row,) = table_rows(document(harmony=figures(0.15, crps_by_seed=[0.14, 0.16])))
    assert row["CRPS"] == "0.1500 ±0.0100"
    assert row["/ simple"] is None


def test_paths_without_a_loss_to_compare_with_have_no_ratio() -> None:
    (row,) = table_rows(document(harmony=figures(0.15, path_max_pinball99_independent=0.0)))
    assert row["path max"] == "nan"


def test_documents_of_one_task_are_put_together(tmp_path: Path) -> None:
    first = document("a", harmony=figures(0.1), nhits=figures(0.4))
    later = document("a", nhits=figures(0.2))
    other = document("b", harmony=figures(0.1))
    paths = [write(tmp_path, str(k), d) for k, d in enumerate((first, other, later))]
    one, two = load_documents(paths)
    assert (one["data"], two["data"]) == ("a", "b")
    assert list(one["models"]) == ["harmony", "nhits"]
    assert one["models"]["nhits"]["crps"] == 0.2
    assert list(two["models"]) == ["harmony"]


@pytest.mark.parametrize("content", [[], {"data": "a"}, "models"])
def test_a_file_that_is_no_document_is_named(tmp_path: Path, content: object) -> None:
    with pytest.raises(InvalidInput, match=r"x\.json: no benchmark document"):
        load_documents([write(tmp_path, "x", content)])


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    for name in ("x", "none"):
        with pytest.raises(InvalidInput, match=rf"{name}\.json: not a readable JSON file"):
            load_documents([tmp_path / f"{name}.json"])


def test_the_summary_has_a_row_per_panel_and_geometric_means() -> None:
    one = document(
        "a",
        harmony=figures(0.1, 1.0),
        model=figures(0.01, 0.1),  # an own arm is no peer, however good
        known_level=figures(0.05, 0.1),  # nor is what no forecaster can beat
        nhits=figures(0.2, 4.0),
        autoets=figures(0.3, 2.0),
    )
    two = document("b", harmony=figures(0.8, 1.0), nhits=figures(0.1, 0.125))
    first, second, mean = summary_rows([one, two], "harmony")
    assert first == {
        "panel": "a",
        "workloads": 3,
        "CRPS": "0.1000",
        "best peer": "nhits",
        "its CRPS": "0.2000",
        "ratio": "0.500",
        "floor": "0.0500",
        "99 % loss ratio": "0.500",  # over the lowest of any peer
        "80 %": "79.0%",
        "95 %": "94.0%",
        "99 %": "98.5%",
        "upper 99 %": "99.1%",
        "max joint/indep": "0.750",
        "sum joint/indep": "0.900",
    }
    assert second["floor"] is None
    assert (second["ratio"], second["99 % loss ratio"]) == ("8.000", "8.000")
    assert mean["panel"] == "geometric mean"
    assert (mean["ratio"], mean["99 % loss ratio"]) == ("2.000", "2.000")
    assert mean["best peer"] is None


@pytest.mark.parametrize(
    "models",
    [{"nhits": figures(0.1)}, {"harmony": figures(0.1), "network_nll": figures(0.2)}],
)
def test_a_panel_without_the_arm_or_a_peer_is_named(models: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="a: needs 'harmony' and at least one peer"):
        summary_rows([document("a", **models)], "harmony")


def test_peers_are_compared_one_by_one_the_nearest_first() -> None:
    documents = [
        document(
            "a",
            harmony=figures(1.0),
            trees=figures(0.1),
            known_level=figures(0.1),
            far=figures(4.0),
        ),
        document("b", harmony=figures(2.0), far=figures(2.0), near=figures(2.0, 4.0)),
        document("c", harmony=figures(1.03), near=figures(1.0)),
        document("d", near=figures(1.0)),
    ]
    near, far = peer_rows(documents, "harmony")
    assert near == {
        "peer": "near",
        "panels": 2,
        "harmony / peer": f"{np.sqrt(1.03):.3f}",
        "99 % loss": "0.500",
        "worst panel": "1.030",
        "panels above 1.02": 1,
    }
    assert far == {
        "peer": "far",
        "panels": 2,
        "harmony / peer": "0.500",
        "99 % loss": "1.000",
        "worst panel": "1.000",
        "panels above 1.02": 0,
    }


def test_a_markdown_table_leaves_cells_of_nothing_empty() -> None:
    assert markdown([{"a": 1, "b": None}, {"a": "x", "b": 2.5}]) == (
        "| a | b |\n|---|---|\n| 1 |  |\n| x | 2.5 |"
    )


def test_the_reliability_diagram_is_an_image_in_a_new_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "r.png"
    plot_reliability(document(harmony=figures(0.1), nhits=figures(0.2)), path)
    assert path.read_bytes().startswith(b"\x89PNG")
