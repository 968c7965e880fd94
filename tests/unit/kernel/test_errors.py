"""Errors that reach a user: codes that stay as they are, and what each error carries."""

from __future__ import annotations

import pytest

from services.kernel import errors
from services.kernel.errors import (
    Ambiguous,
    HarmonyError,
    InvalidInput,
    Overloaded,
    TooManyRequests,
    Unauthorized,
)

CODES = {
    "bad_request": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "conflict": 409,
    "ambiguous_cluster": 409,
    "precondition_failed": 412,
    "payload_too_large": 413,
    "unsupported_media_type": 415,
    "invalid_input": 422,
    "precondition_required": 428,
    "too_many_requests": 429,
    "configuration_error": 500,
    "harmony_error": 500,
    "overloaded": 503,
    "unavailable": 503,
}
KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, HarmonyError)
]
LATER = [kind for kind in KINDS if kind is TooManyRequests]


def made(kind: type[HarmonyError]) -> HarmonyError:
    """An error of a kind that says `too few`."""
    if kind is Ambiguous:
        return kind("too few", ["eu", "us"])
    return kind("too few", 2.5) if kind in LATER else kind("too few")


def test_codes_and_their_statuses_are_stable_and_no_two_errors_share_one() -> None:
    assert len({kind.code for kind in KINDS}) == len(KINDS)
    assert {kind.code: kind.http_status for kind in KINDS} == CODES


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_says_what_it_was_given(kind: type[HarmonyError]) -> None:
    error = made(kind)
    assert (error.message, str(error)) == ("too few", "too few")
    with pytest.raises(HarmonyError, match=r"^too few$"):
        raise error


def test_an_error_of_a_body_points_to_its_field() -> None:
    assert InvalidInput("must be <= 10", "/min_replicas").pointer == "/min_replicas"
    assert InvalidInput("must be <= 10").pointer == ""


def test_a_refusal_keeps_its_reason_from_the_message() -> None:
    error = Unauthorized("no valid credential", "wrong_secret")
    assert error.reason == "wrong_secret"
    assert "wrong_secret" not in str(error)
    assert Unauthorized("no valid credential").reason == "no_credential"


def test_who_comes_too_often_learns_when_to_come_back() -> None:
    assert TooManyRequests("slower", 2.5).retry_after_s == 2.5
    assert Overloaded("busy", 7.0).retry_after_s == 7.0
    assert Overloaded("busy").retry_after_s == 1.0
