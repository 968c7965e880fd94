"""Progress of a fit as a user sees it."""

from __future__ import annotations

from itertools import pairwise

from forecaster import STAGES, FitProgress
from services.forecasting.training.fit import progress_of


def test_progress_never_falls_from_one_stage_to_the_next() -> None:
    lines = [FitProgress(stage, epoch, 6, 0.3, 0.3) for stage in STAGES for epoch in range(1, 7)]
    shares = [progress_of(line)[1] for line in lines]
    assert all(before < after for before, after in pairwise(shares))
    assert shares[0] > 0.1
    assert shares[-1] == 0.9
    assert progress_of(lines[-1])[0] == "trees 6/6: train 0.3000, validation 0.3000"
