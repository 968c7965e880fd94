"""Columns and words that set truth and belief side by side, where the stated capacity is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from services.lab.bench.decide.rates import NOT_KNOWING
from services.lab.bench.decide.truth import TruthKind
from services.simulator.policies.rivals import HARMONY
from services.simulator.scoreboard import mean_known

Document = Mapping[str, Any]


def truth_words(dataset: Document) -> str:
    """The truth of a data set: `stated`, `off 0.9`, `drifting`; earlier documents know none."""
    truth = dataset["options"].get("truth") or {"kind": TruthKind.STATED, "ratio": None}
    return f"{truth['kind']} {truth['ratio']:g}" if truth["ratio"] else str(truth["kind"])


def is_stated(*datasets: Document) -> bool:
    """Whether the stated capacity is the true one on all of them."""
    return all(truth_words(one) == TruthKind.STATED for one in datasets)


def believed_columns(arms: Sequence[Document], stated: bool) -> dict[str, object]:
    """Beside the true rate: what was believed, mean over data sets; nothing where it is the same.

    Args:
        arms: A policy as deployed on each data set.
        stated: Whether the stated capacity is the true one.
    """
    if stated:
        return {}
    rates = np.array([one.get("believed_rate") for one in arms], dtype=float)
    return {"believed": _share(mean_known(rates))}


def truth_columns(row: Document, datasets: Iterable[Document]) -> dict[str, object]:
    """Beside Harmony's true rate on a data set: what it believed, and what knowing would change."""
    if is_stated(*datasets):
        return {}
    told = row[NOT_KNOWING] or {}
    ratio = told.get("cost_ratio")
    return {
        "believed": _share(row["believed_rate"]),
        "cost / told": None if ratio is None else f"{ratio:.3f}",
        "told: out of SLA": _share(told.get("true_rate_told")),
    }


def promise_words(document: Document, key: str) -> list[str]:
    """What was true and what was believed, in words; nothing where the capacity is as stated."""
    own = document["summary"][key].get("arms", {}).get(HARMONY)
    if not own or is_stated(*document["datasets"]):
        return []
    truths = ", ".join(dict.fromkeys(truth_words(one) for one in document["datasets"]))
    words = [
        f"True capacity {truths}: truly out of SLA {_share(own['true_rate'])},",
        f"believed {_share(own['believed_rate'])}, measured {_share(own['measured_rate'])}.",
    ]
    told = own[NOT_KNOWING]
    if told and told["cost_ratio"]:
        words.append(
            f"Told the true capacity it would be out of SLA {_share(told['true_rate_told'])}; not "
            f"knowing costs {told['cost_ratio']:.3f} of that."
        )
    return words


def _share(value: float | None) -> str | None:
    return None if value is None or not np.isfinite(value) else f"{value:.2%}"
