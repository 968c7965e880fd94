"""Constants of the generated fleet against the public traces."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

DATA = Path(
    os.environ.get("HARMONY_DATA_DIR", Path(__file__).resolve().parents[5] / "shared" / "data")
)


@pytest.mark.skipif(not DATA.is_dir(), reason=f"public traces not found at {DATA}")
def test_constants_are_those_that_the_command_prints():
    from services.simulator.fleet import calibration
    from services.simulator.fleet.calibrate import fit_constants

    for name, value in fit_constants(DATA).items():
        np.testing.assert_allclose(getattr(calibration, name), value, rtol=0.02, err_msg=name)
