"""The preset of `gen_ai.server.*` on pages of exporters with and without units."""

from __future__ import annotations

from services.kernel.domain.presets import PRESETS, preset_indicators
from tests.unit.kernel.domain.presets.scraped import are_all_on, fit, has_the_edges_it_says

BOTH = ("opentelemetry", "opentelemetry-no-unit")


def test_every_metric_is_on_a_page_of_an_exporter() -> None:
    are_all_on("opentelemetry", *BOTH)


def test_either_spelling_fits_with_the_convention_s_edges() -> None:
    for name in BOTH:
        assert fit("opentelemetry", name).is_fit
        has_the_edges_it_says("opentelemetry", name)


def test_pods_are_found_by_the_resource_s_labels() -> None:
    (first, *_) = preset_indicators(("opentelemetry",), "shop", ("chat",))
    assert 'k8s_namespace_name="shop",k8s_pod_name=~"chat-.*"' in first.query
    (loss,) = PRESETS["opentelemetry"].losses
    assert loss.labels == 'error_type!=""'
