"""The page in Prometheus' text format: all series of a metric stand together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from services.exporter.metrics import EXPORTED, METRICS, OPERATOR_SEEN
from services.exporter.translate import FigureRow, to_figures

_ESCAPED = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class WorkloadLines:
    """Lines by metric, joined as they come: a string for each series would take several times."""

    def __init__(self, *, is_trust_judged: bool = True) -> None:
        """Begin with no workload; where trust is not judged, each model is trusted."""
        self._is_trust_judged = is_trust_judged
        self._n_workloads = 0
        self._blocks: dict[str, list[bytes]] = {
            one.full_name: [
                f"# HELP {one.full_name} {one.help_text}\n# TYPE {one.full_name} gauge\n".encode()
            ]
            for one in METRICS
        }

    def add(self, rows: Iterable[FigureRow], now: datetime) -> None:
        """Add workloads.

        Args:
            rows: Of `repository.read_figures`.
            now: Aware.
        """
        lines: dict[str, list[str]] = {name: [] for name in self._blocks}
        for row in rows:
            self._n_workloads += 1
            shared = (
                f'cluster="{_escaped(row["cluster"])}",'
                f'namespace="{_escaped(row["namespace"])}",workload="{_escaped(row["name"])}"'
            )
            for figure in to_figures(row, now, is_trust_judged=self._is_trust_judged):
                if not figure.is_known:
                    continue
                metric = figure.metric
                own = f',{metric.label}="{_escaped(figure.label)}"' if metric.label else ""
                lines[metric.full_name].append(
                    f"{metric.full_name}{{{shared}{own}}} {float(figure.value or 0.0)!r}\n"
                )
        for name, block in lines.items():
            self._blocks[name].append("".join(block).encode())

    def add_operators(self, seen: Mapping[str, float]) -> None:
        """Add when the operator of each cluster was seen last, in Unix time."""
        name = OPERATOR_SEEN.full_name
        lines = (f'{name}{{cluster="{_escaped(one)}"}} {at!r}\n' for one, at in seen.items())
        self._blocks[name].append("".join(lines).encode())

    def to_bytes(self) -> bytes:
        """The whole page."""
        total = f"{EXPORTED.full_name} {float(self._n_workloads)!r}\n".encode()
        blocks = {**self._blocks, EXPORTED.full_name: [*self._blocks[EXPORTED.full_name], total]}
        return b"".join(part for parts in blocks.values() for part in parts)


def _escaped(value: str) -> str:
    return value.translate(_ESCAPED)
