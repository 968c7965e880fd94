"""Images by one name, and what a start has to do first."""

from __future__ import annotations

import pytest

from services.operator.cluster.images import (
    cause_of,
    image_name,
    images_of,
    images_on,
    is_restored,
)

LLM = "docker.io/vllm/vllm-openai:v0.9"


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("vllm/vllm-openai:v0.9", LLM),
        (LLM, LLM),
        ("nvcr.io/nvidia/tritonserver:25.01", "nvcr.io/nvidia/tritonserver:25.01"),
        ("localhost:5000/model", "localhost:5000/model:latest"),
        ("registry:5000/a/b:c", "registry:5000/a/b:c"),
        ("vllm/vllm-openai:v0.9@sha256:ab", "docker.io/vllm/vllm-openai@sha256:ab"),
    ],
)
def test_an_image_has_one_name_however_it_is_written(written: str, name: str) -> None:
    assert image_name(written) == name


def test_a_start_is_warm_where_its_node_has_all_its_images() -> None:
    pod = images_of({"containers": [{"image": "vllm/vllm-openai:v0.9"}, {"image": "sidecar"}, {}]})
    names = ["docker.io/vllm/vllm-openai@sha256:ab", LLM]
    some = images_on({"images": [{"names": names}]})
    every = images_on({"images": [{"names": names}, {"names": ["sidecar:latest"]}, {}]})
    assert cause_of(every, pod, is_restored=False) == "warm"
    assert cause_of(some, pod, is_restored=False) == "cold"
    assert cause_of(images_on({}), pod, is_restored=False) is None
    assert cause_of(every, (), is_restored=False) is None
    assert cause_of(images_on({}), (), is_restored=True) == "restored"


def test_a_label_or_an_annotation_tells_of_a_restored_snapshot() -> None:
    assert is_restored({"labels": {"nvidia.com/snapshot-is-restore-target": "true"}})
    assert is_restored({"annotations": {"scaling.harmony.dev/restored": "True"}})
    assert not is_restored({"labels": {"scaling.harmony.dev/restored": "false"}})
    assert not is_restored({})
