"""What is refused is refused with its words, as a value error."""

from __future__ import annotations

import pytest

from decider import errors
from decider.errors import DeciderError, InvalidRequest, require


def test_what_does_not_hold_is_refused_with_its_words() -> None:
    require(True, "it holds")
    with pytest.raises(InvalidRequest, match="step_s=0 must be > 0"):
        require(False, "step_s=0 must be > 0")


@pytest.mark.parametrize("name", ["InvalidRequest", "InvalidConfig", "ReplayMismatch",
                                  "PosteriorNotConverged"])  # fmt: skip
def test_every_refusal_is_the_deciders_and_a_value_error(name: str) -> None:
    kind = getattr(errors, name)
    assert issubclass(kind, DeciderError)
    assert issubclass(kind, ValueError)
