"""What may be stated of a lead time, and the words for what a start has to do first."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from services.kernel.domain.lead_time import COLD, RESTORED, WARM, LeadTimeSpec


@pytest.mark.parametrize(
    "given", [{"median_s": 0}, {"median_s": 7201}, {"sigma": -0.1}, {"p90": 1}]
)
def test_what_no_start_takes_is_refused(given: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(given))):
        LeadTimeSpec.model_validate(given)


def test_causes_have_a_word_each_that_is_stored() -> None:
    assert (WARM, COLD, RESTORED) == ("warm", "cold", "restored")
