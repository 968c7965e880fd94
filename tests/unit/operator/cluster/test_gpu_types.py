"""Which accelerators are of a type, and that a slice is never taken for a whole GPU."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from services.operator.cluster.accelerators import PLUGINS, Accelerators
from services.operator.cluster.gpu_types import (
    is_of_type,
    is_product,
    is_slice,
    is_unknown,
    may_be_both,
)

SINGLE = "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"
TIME_SLICED = "NVIDIA-A100-SXM4-40GB-SHARED"


@pytest.mark.parametrize(
    ("product", "gpu_type", "expected"),
    [
        ("H100", "H100", True),
        ("NVIDIA-H100-80GB-HBM3", "h100", True),
        ("NVIDIA-A100-SXM4-40GB", "A100", True),
        ("NVIDIA-L40S", "L4", False),
        ("NVIDIA-L4", "L4", True),
        ("", "L4", False),
    ],
)
def test_products(product: str, gpu_type: str, expected: bool) -> None:
    assert is_product(product, gpu_type) is expected


@pytest.mark.parametrize("product", [SINGLE, TIME_SLICED, f"{SINGLE}-SHARED"])
def test_a_slice_is_no_whole_gpu(product: str) -> None:
    assert is_slice(product)
    assert not is_product(product, "A100")
    assert not is_product(product, "NVIDIA-A100-SXM4-40GB")
    assert is_product(product, product)


@pytest.mark.parametrize(
    ("product", "gpu_type", "expected"),
    [
        (SINGLE, "A100-MIG-1g.5gb", True),
        (SINGLE, "a100-mig-1G.5GB", True),
        (SINGLE, "MIG-1g.5gb", True),
        (SINGLE, "1g.5gb", True),
        (SINGLE, "MIG-2g.10gb", False),
        (SINGLE, "H100-MIG-1g.5gb", False),
        (SINGLE, "A100-SHARED", False),
        (f"{SINGLE}-SHARED", "A100-MIG-1g.5gb", False),
        (f"{SINGLE}-SHARED", "A100-MIG-1g.5gb-SHARED", True),
        (TIME_SLICED, "A100-SHARED", True),
        (TIME_SLICED, "H100-SHARED", False),
        ("NVIDIA-A100-SXM4-40GB", "A100-SHARED", False),
        ("NVIDIA-A100-SXM4-40GB", "A100-MIG-1g.5gb", False),
    ],
)
def test_a_type_names_the_slice(product: str, gpu_type: str, expected: bool) -> None:
    assert is_product(product, gpu_type) is expected


@pytest.mark.parametrize(
    ("product", "gpu_type", "expected"),
    [
        ("AMD_Instinct_MI300X_OAM", "MI300X", True),
        ("AMD_Instinct_MI300X_OAM", "Instinct-MI300X", True),
        ("AMD_Instinct_MI300X_OAM", "MI300", False),
        ("Max_1550", "Max_1550", True),
        ("Max_1550", "Max_1100", False),
        ("tpu-v5-lite-podslice", "tpu", True),
        ("tpu-v5-lite-podslice", "tpu-v5-lite", True),
        ("tpu-v5p-slice", "tpu-v5-lite", False),
        ("trainium", "trainium", True),
    ],
)
def test_products_of_others(product: str, gpu_type: str, expected: bool) -> None:
    assert is_product(product, gpu_type) is expected


@pytest.mark.parametrize(
    ("resource", "gpu_type", "expected"),
    [
        ("habana.ai/gaudi", "gaudi", True),
        ("habana.ai/gaudi", "Gaudi", True),
        ("habana.ai/gaudi", "habana.ai/gaudi", True),
        ("google.com/tpu", "tpu", True),
        ("google.com/tpu", "gaudi", False),
        ("amd.com/gpu", "MI300X", False),
    ],
)
def test_where_no_label_names_a_product_the_resource_does(
    resource: str, gpu_type: str, expected: bool
) -> None:
    assert is_of_type(Accelerators(resource, "", 8), gpu_type) is expected


def test_the_whole_name_of_a_resource_is_all_of_it() -> None:
    """As it was before a provider's label told the product: `gaudi-hl-205` on AWS."""
    assert is_of_type(Accelerators("habana.ai/gaudi", "gaudi-hl-205", 8), "habana.ai/gaudi")
    assert is_of_type(Accelerators("habana.ai/gaudi", "gaudi-hl-205", 8), "gaudi")
    assert not is_of_type(Accelerators("nvidia.com/gpu", "h100", 8), "habana.ai/gaudi")


@pytest.mark.parametrize(
    ("resource", "product", "expected"),
    [
        ("nvidia.com/gpu", "", True),
        ("nvidia.com/gpu", "h100", False),
        ("habana.ai/gaudi", "", False),
        ("deviceclass/gpu.example.com", "", False),
    ],
)
def test_what_a_label_should_tell_and_none_does_is_unknown(
    resource: str, product: str, expected: bool
) -> None:
    assert is_unknown(Accelerators(resource, product, 8)) is expected


def test_a_product_that_is_named_counts_alone() -> None:
    assert not is_of_type(Accelerators("amd.com/gpu", "AMD_Instinct_MI300X_OAM", 8), "gpu")


words = st.text(st.sampled_from("AH1024xLS"), min_size=1, max_size=6)
cards = st.lists(words, min_size=1, max_size=4).map("-".join)
slices = st.sampled_from(["", "-MIG-1g.5gb", "-MIG-3g.20gb", "-SHARED", "-MIG-1g.5gb-SHARED"])


@given(cards, slices, slices, st.data())
def test_a_card_and_its_slice_are_told_apart(
    card: str, have: str, wanted: str, data: st.DataObject
) -> None:
    """Of every card, a part of its name with a slice is exactly the products with that slice."""
    part = data.draw(st.sampled_from(card.split("-")))
    assert is_product(card + have, part + wanted) is (have == wanted)
    assert is_slice(card + have) is bool(have)


@given(st.sampled_from(PLUGINS), st.sampled_from(PLUGINS))
def test_each_resource_has_a_name_of_its_own(one: object, other: object) -> None:
    resource, named = one.resource, other.resource  # type: ignore[attr-defined]
    assert is_of_type(Accelerators(resource, "", 1), named) is (resource == named)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("H100", "H100", True),
        ("H100", "NVIDIA-H100-80GB-HBM3", True),
        ("nvidia.com/gpu", "H100", True),
        ("L4", "L40S", False),
        ("A100", "A100-SHARED", False),
    ],
)
def test_types_that_one_gpu_may_be_of(one: str, other: str, expected: bool) -> None:
    assert may_be_both("nvidia.com/gpu", one, other) is expected
    assert may_be_both("nvidia.com/gpu", other, one) is expected
