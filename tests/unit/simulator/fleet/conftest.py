"""A generated fleet, and series for small trace files."""

from __future__ import annotations

import numpy as np
import pytest

from services.simulator.fleet import FleetOptions, generate_fleet


@pytest.fixture(scope="module")
def fleet():
    return generate_fleet(FleetOptions())


@pytest.fixture
def wavy():
    rng = np.random.default_rng(5)
    return {f"svc/{k}": rng.uniform(2, 8, 300) for k in "ab"}
