"""Tables and plots of forecasting benchmarks, and the verdict over several panels."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from services.backtest.frontier_plot import save
from services.kernel.errors import InvalidInput

OWN = ("harmony", "model", "network", "trees")
"""How names of Harmony's own arms begin: they are never counted among the peers."""
REFERENCE = "best_simple"
FLOOR = "known_level"
"""Name of what no forecaster can beat as far as it holds; it is no peer."""
WORSE = 1.02
"""From this ratio of two CRPS on, one forecaster is called worse than another."""


def table_rows(document: Mapping[str, Any]) -> list[dict[str, object]]:
    """One row per forecaster for the terminal, best CRPS first."""
    models = document["models"]
    reference = models.get(REFERENCE, {}).get("crps")
    rows = []
    for name, m in sorted(models.items(), key=lambda item: float(item[1]["crps"])):
        seeds = m["crps_by_seed"]
        spread = f" ±{np.std(seeds):.4f}" if len(seeds) > 1 else ""
        rows.append(
            {
                "model": name,
                "CRPS": f"{m['crps']:.4f}{spread}",
                "/ simple": f"{m['crps'] / reference:.3f}" if reference else None,
                "demand": f"{m['crps_demand']:.4f}",
                "MSE": f"{m['mse']:.4f}",
                "80 %": f"{m['coverage']['0.8']:.1%}",
                "95 %": f"{m['coverage']['0.95']:.1%}",
                "99 %": f"{m['coverage']['0.99']:.1%}",
                "path max": f"{_ratio(m, 'path_max_pinball99'):.3f}",
                "train s": f"{m['train_s']:.0f}",
                "ms/window": f"{m['infer_ms_per_window']:.2f}",
            }
        )
    return rows


def _ratio(figures: Mapping[str, float], name: str) -> float:
    below = figures[f"{name}_independent"]
    return figures[name] / below if below > 0 else float("nan")


def load_documents(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Benchmark documents written by `--json`; those of one task are put together.

    Raises:
        InvalidInput: A file is none.
    """
    found: dict[tuple[str, str, int], dict[str, Any]] = {}
    for path in paths:
        try:
            document = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise InvalidInput(f"{path}: not a readable JSON file ({error})") from error
        if not isinstance(document, dict) or "models" not in document:
            raise InvalidInput(f"{path}: no benchmark document of `harmony bench forecast --json`")
        task = (document["protocol"], document["data"], document["test_windows"])
        first = found.setdefault(task, document)
        first["models"] = {**first["models"], **document["models"]}
    return list(found.values())


def is_peer(name: str) -> bool:
    """Check whether it is a forecaster of others."""
    return not name.startswith((*OWN, FLOOR))


def summary_rows(documents: Sequence[Mapping[str, Any]], arm: str) -> list[dict[str, object]]:
    """Per panel `arm` against the best peer, and the geometric mean over panels.

    The best peer is that of the CRPS; the pinball loss at 99 % is set against the lowest of any.

    Raises:
        InvalidInput: A document lacks `arm` or has no peer.
    """
    rows: list[dict[str, object]] = []
    ratios, tails = [], []
    for document in documents:
        models = document["models"]
        peers = {k: v for k, v in models.items() if is_peer(k)}
        if arm not in models or not peers:
            raise InvalidInput(f"{document['data']}: needs {arm!r} and at least one peer")
        best = min(peers, key=lambda name: float(peers[name]["crps"]))
        own = models[arm]
        ratio = own["crps"] / peers[best]["crps"]
        ratios.append(ratio)
        tail = min(float(m["pinball"]["0.99"]) for m in peers.values())
        tails.append(own["pinball"]["0.99"] / tail)
        rows.append(
            {
                "panel": document["data"],
                "workloads": document["workloads"],
                "CRPS": f"{own['crps']:.4f}",
                "best peer": best,
                "its CRPS": f"{peers[best]['crps']:.4f}",
                "ratio": f"{ratio:.3f}",
                "floor": f"{models[FLOOR]['crps']:.4f}" if FLOOR in models else None,
                "99 % loss ratio": f"{tails[-1]:.3f}",
                "80 %": f"{own['coverage']['0.8']:.1%}",
                "95 %": f"{own['coverage']['0.95']:.1%}",
                "99 %": f"{own['coverage']['0.99']:.1%}",
                "upper 99 %": f"{own['coverage_upper']['0.99']:.1%}",
                "max joint/indep": f"{_ratio(own, 'path_max_pinball99'):.3f}",
                "sum joint/indep": f"{_ratio(own, 'path_sum_crps'):.3f}",
            }
        )
    means = [f"{_geometric(found):.3f}" for found in (ratios, tails)]
    rows.append({"panel": "geometric mean", "ratio": means[0], "99 % loss ratio": means[1]})
    return [{key: row.get(key) for key in rows[0]} for row in rows]


def peer_rows(documents: Sequence[Mapping[str, Any]], arm: str) -> list[dict[str, object]]:
    """`arm` against each peer alone over the panels that have both, the nearest peer first.

    The best peer of each panel is known in hindsight only; a peer chosen beforehand is one of
    these.
    """
    ratios: dict[str, list[float]] = {}
    tails: dict[str, list[float]] = {}
    for document in documents:
        models = document["models"]
        for name, figures in models.items():
            if arm in models and is_peer(name):
                own = float(models[arm]["crps"])
                ratios.setdefault(name, []).append(own / float(figures["crps"]))
                tail = models[arm]["pinball"]["0.99"] / figures["pinball"]["0.99"]
                tails.setdefault(name, []).append(tail)
    ordered = sorted(ratios.items(), key=lambda item: -_geometric(item[1]))
    return [
        {
            "peer": name,
            "panels": len(found),
            f"{arm} / peer": f"{_geometric(found):.3f}",
            "99 % loss": f"{_geometric(tails[name]):.3f}",
            "worst panel": f"{max(found):.3f}",
            f"panels above {WORSE}": sum(ratio > WORSE for ratio in found),
        }
        for name, found in ordered
    ]


def _geometric(ratios: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(ratios))))


def markdown(rows: Sequence[Mapping[str, object]]) -> str:
    """The rows as a Markdown table, for the documents."""
    header = list(rows[0])
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for row in rows:
        cells = ("" if row[name] is None else str(row[name]) for name in header)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot_reliability(document: Mapping[str, Any], path: Path) -> None:
    """Observed against nominal level of every forecaster, and its distance from the diagonal."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    FigureCanvasAgg(figure)
    whole, gap = figure.subplots(1, 2)
    whole.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    gap.axhline(0, color="0.7", linewidth=1)
    for name, m in document["models"].items():
        levels = np.array([float(v) for v in m["reliability"]])
        shares = np.array(list(m["reliability"].values()))
        width = 2.0 if name == "harmony" else 1.0
        whole.plot(levels, shares, label=name, linewidth=width)
        gap.plot(levels, 100 * (shares - levels), linewidth=width)
    whole.set(xlabel="nominal level", ylabel="share of outcomes at or below")
    gap.set(xlabel="nominal level", ylabel="observed minus nominal, points")
    whole.legend(fontsize=8)
    figure.suptitle(f"{document['data']}, {document['protocol']}: reliability on the test part")
    save(figure, path)
