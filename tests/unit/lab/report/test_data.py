"""Data of a report that does not fit together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.unit.lab.report.pages import R


def test_arrays_that_do_not_fit_are_refused(data):
    with pytest.raises(ValueError, match="same steps"):
        replace(data, needed_gpus=np.zeros(R + 1))
    with pytest.raises(ValueError, match="at least one"):
        replace(data, scores=())
    with pytest.raises(ValueError, match="unique"):
        replace(data, scores=data.scores * 2)
    with pytest.raises(ValueError, match="quantiles"):
        replace(data.fans[0], quantiles=np.zeros((2, R)))
