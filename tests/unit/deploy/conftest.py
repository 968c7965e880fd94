"""The chart, rendered with every set of values."""

from __future__ import annotations

import pytest

from tests.unit.deploy.chart import Manifest, render
from tests.unit.deploy.chart_values import MATRIX


@pytest.fixture(params=MATRIX, ids=list(MATRIX))
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return render(MATRIX[request.param])
