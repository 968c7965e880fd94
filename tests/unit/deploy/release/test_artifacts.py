"""A released chart starts the image that was published with it, and nothing else is changed."""

from __future__ import annotations

import pytest
import yaml

from deploy.release.artifacts import REPOSITORY, with_image
from deploy.release.images import PublishedImage

VALUES = (REPOSITORY / "helm/harmony/values.yaml").read_text()
IMAGE = PublishedImage("registry.example.com/team/harmony", "0.1.0", "ab" * 32)


def test_the_image_is_named_by_its_digest_and_all_else_stays() -> None:
    changed = with_image(VALUES, IMAGE)
    before, after = yaml.safe_load(VALUES), yaml.safe_load(changed)
    assert after["image"] == before["image"] | {
        "repository": IMAGE.repository,
        "digest": f"sha256:{IMAGE.digest}",
    }
    assert {**after, "image": None} == {**before, "image": None}
    assert "No image is published" in VALUES
    assert "No image is published" not in changed
    assert len(changed.splitlines()) == len(VALUES.splitlines()) - 1, "comments stay"


def test_values_without_such_lines_are_refused() -> None:
    with pytest.raises(ValueError, match=r"no line for image.digest"):
        with_image(VALUES.replace("  digest:", "  hash:"), IMAGE)
