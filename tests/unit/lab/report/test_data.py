"""Data of a report that does not fit together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.lab.report import Felt, measured_line
from tests.unit.lab.report.pages import R, felt


def test_arrays_that_do_not_fit_are_refused(data):
    with pytest.raises(ValueError, match="same steps"):
        replace(data, needed_gpus=np.zeros(R + 1))
    with pytest.raises(ValueError, match="at least one"):
        replace(data, scores=())
    with pytest.raises(ValueError, match="unique"):
        replace(data, scores=data.scores * 2)
    with pytest.raises(ValueError, match="quantiles"):
        replace(data.fans[0], quantiles=np.zeros((2, R)))


def test_what_was_measured_is_told_only_beside_a_truth(data):
    assert measured_line(data) == ""
    assert measured_line(felt(data)) == "measured by Harmony 0.79%, true 0.80%"
    unknown = replace(felt(data), felt=Felt(np.full(2, np.nan), np.ones(2), np.ones(2)))
    assert measured_line(unknown) == "measured by Harmony unknown, true 0.80%"
