"""What the report says of the forecasts."""

from __future__ import annotations

from services.lab.demo.repository import ForecastCount
from services.lab.demo.results import forecasts_line


def test_the_report_says_which_forecaster_answered() -> None:
    prior = ForecastCount("prior", "prior-6c99a42bfac4", 3168)
    other = ForecastCount("trailing_percentile", "prior-6c99a42bfac4", 22)
    assert forecasts_line([prior, other]) == (
        "Forecasts: 3,168 by the rung prior (prior-6c99a42bfac4), 22 by the rung "
        "trailing_percentile (prior-6c99a42bfac4). The prior is shipped with Harmony and has seen "
        "none of these services."
    )


def test_it_claims_nothing_of_a_prior_that_did_not_answer() -> None:
    fitted = ForecastCount("model", "v1", 12)
    assert forecasts_line([fitted]) == "Forecasts: 12 by the rung model (v1)."
    assert forecasts_line([]) == "Forecasts: none."
