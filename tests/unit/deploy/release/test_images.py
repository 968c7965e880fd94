"""Digests of images come from a registry, or there is no release."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from deploy.release import images
from deploy.release.artifacts import REPOSITORY

DIGEST = "ab" * 32


def test_the_bases_are_those_of_the_image_and_of_the_chart() -> None:
    found = images.references(REPOSITORY)
    assert [name.partition(":")[0] for name in found] == ["postgres", "python", "valkey/valkey"]
    assert all(":" in name and "@" not in name for name in found)


def test_each_is_asked_for() -> None:
    asked: list[str] = []

    def run(command: Sequence[str]) -> str:
        asked.append(command[-1])
        return f"sha256:{DIGEST}\n"

    assert images.resolve(["postgres:17", "python:3"], run) == {
        "postgres:17": DIGEST,
        "python:3": DIGEST,
    }
    assert [name.removeprefix("docker://") for name in asked] == ["postgres:17", "python:3"]


@pytest.mark.parametrize("answer", ["", "latest", "sha256:short"])
def test_an_answer_without_a_digest_is_refused(answer: str) -> None:
    with pytest.raises(ValueError, match="postgres:17: the registry gave no digest"):
        images.resolve(["postgres:17"], lambda _: answer)


def test_without_a_program_that_asks_there_is_no_release(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images.shutil, "which", lambda _: None)
    with pytest.raises(ValueError, match="a release without them is refused"):
        images.resolve(["postgres:17"])


def test_ours_is_asked_for_under_the_charts_version_and_found_again() -> None:
    own = images.own_reference(REPOSITORY, "registry.example.com:5000/team/harmony")
    assert own.startswith("registry.example.com:5000/team/harmony:")
    digests = dict.fromkeys(images.references(REPOSITORY), DIGEST)
    assert images.find_own(REPOSITORY, digests) is None
    found = images.find_own(REPOSITORY, digests | {own: "cd" * 32})
    assert found is not None
    assert (found.repository, found.digest) == ("registry.example.com:5000/team/harmony", "cd" * 32)
    assert own == f"{found.repository}:{found.tag}"
