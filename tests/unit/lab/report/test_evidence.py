"""What does not fit together is refused where it is made."""

from __future__ import annotations

import numpy as np
import pytest

from services.lab.report import Reliability, RivalFrontier


def test_each_setting_of_a_rival_has_a_rate_and_a_cost() -> None:
    with pytest.raises(ValueError, match=r"hpa: rate \(1,\) and cost_usd \(2,\) must be \(2,\)"):
        RivalFrontier("hpa", ("a", "b"), np.zeros(1), np.zeros(2))


def test_each_level_has_been_observed() -> None:
    with pytest.raises(ValueError, match=r"levels \(2,\) and observed \(3,\) must be alike"):
        Reliability(np.zeros(2), np.zeros(3), 1)
