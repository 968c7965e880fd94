"""Plot of a month."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from services.lab.bench.month.document import to_document
from services.lab.bench.month.plot import plot_month
from services.lab.bench.month.source import MonthOptions
from tests.unit.lab.bench.month.sources import TRACE, source

OPTIONS = MonthOptions(days=30, epsilon=0.01)


def test_the_plot_is_written(tmp_path: Path) -> None:
    unknown = TRACE | {"hpa": (1.0, 1.0, (np.nan,))}
    document = to_document([source(), source(unknown, data="trace")], OPTIONS)
    plot_month(document, tmp_path / "new" / "month.png")
    assert (tmp_path / "new" / "month.png").read_bytes().startswith(b"\x89PNG")
