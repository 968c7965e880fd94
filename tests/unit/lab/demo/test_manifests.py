"""Objects of a fleet, as they are created in the cluster."""

from __future__ import annotations

from services.kernel.domain import IndicatorSpec
from services.lab.cluster.controllers.manifests import deployment_spec
from services.lab.demo.manifests import fleet_manifests, nodes_argument
from services.operator.resource.translate import to_autoscaler, to_classes
from services.simulator.fleet import FleetOptions, NodePool, generate_fleet, unsplit, with_pools
from tests.unit.simulator.fleets import make_fleet

FLEET = make_fleet([[1.0, 2.0], [3.0, 4.0]], n_history=1, gpus=2, sigma=0.3, fail=0.01)
SCALED = unsplit(FLEET)
LATENCY = IndicatorSpec(name="latency_s", level=2, unit="s")


def test_nodes_are_written_as_the_cluster_reads_them() -> None:
    pools = (NodePool("H100", 8, 8), NodePool("L4", 10, 4))
    assert nodes_argument(pools) == "H100=8x8,L4=10x4"


def test_namespaces_come_before_deployments_and_these_before_autoscalers() -> None:
    objects = fleet_manifests(SCALED, [LATENCY], [3, 4])
    kinds = [one["kind"] for one in objects]
    assert kinds == ["SLAClass", "Namespace", *["Deployment"] * 2, *["GPUAutoscaler"] * 2]
    assert [one["spec"]["replicas"] for one in objects[2:4]] == [3, 4]


def test_an_autoscaler_says_what_its_workload_is() -> None:
    spec = fleet_manifests(SCALED, [LATENCY], [3, 4])[4]["spec"]
    workload = FLEET.workloads[0]
    assert spec["scaleTargetRef"]["name"] == workload.name
    assert (spec["gpuType"], spec["gpusPerReplica"]) == ("L4", 2)
    assert spec["indicators"] == [
        {"name": "load_rps", "level": 1},
        {"name": "latency_s", "level": 2, "unit": "s"},
    ]
    assert spec["leadTime"] == {"median": "90s", "sigma": "0.300"}
    assert spec["sla"]["risk"]["epsilon"] == f"{workload.epsilon:g}"
    assert spec["capacity"]["perReplica"] == "1"


def test_the_cluster_reads_the_start_up_law_back() -> None:
    manifest = fleet_manifests(SCALED, [], [3, 4])[3]
    spec = deployment_spec("t/w1", manifest["spec"]["template"], is_warm=True)
    law = FLEET.workloads[1].startup
    assert (spec.startup.median_s, spec.startup.sigma) == (law.median_s, law.sigma)
    assert spec.startup.fail_probability == law.fail_probability
    assert (spec.gpu_type, spec.gpus_per_pod) == ("L4", 2)


def test_an_objective_is_stated_only_where_it_is_counted() -> None:
    plain = fleet_manifests(SCALED, [LATENCY], [3, 4])
    stated = fleet_manifests(SCALED, [LATENCY], [3, 4], has_objective=True)
    assert "objective" not in plain[4]["spec"]["sla"]
    goals = [{"metric": "ttft", "threshold": "500ms"}]
    assert stated[4]["spec"]["sla"].pop("objective") == {"goals": goals, "share": "0.95"}
    assert stated[4] == plain[4]


def test_a_service_with_pools_is_one_autoscaler_over_two_deployments() -> None:
    options = FleetOptions(seed=3, n_workloads=2, step_s=600, n_history=12, n_replay=3)
    scaled = with_pools(generate_fleet(options))
    objects = fleet_manifests(scaled, [], [3, 4, 5], has_objective=True)
    service = scaled.services.workloads[0]
    names = [one["metadata"]["name"] for one in objects if one["kind"] == "Deployment"]
    assert names[0::2] == [f"{service.name}-decode", f"{service.name}-prefill"]
    autoscalers = [one for one in objects if one["kind"] == "GPUAutoscaler"]
    assert [one["metadata"]["name"] for one in autoscalers] == [
        workload.name for workload in scaled.services.workloads
    ]
    autoscalers[0]["metadata"]["creationTimestamp"] = "2026-01-12T00:00:00Z"
    read = to_autoscaler(autoscalers[0], {})
    assert read.spec is not None, read.problem
    assert read.spec.loads == ("output_tokens_per_s", "input_tokens_per_s")
    assert [pool.name for pool in read.spec.pools] == ["decode", "prefill"]
    assert [pool.loads for pool in read.spec.pools] == [(name,) for name in read.spec.loads]
    bounds = [(pool.min_replicas, pool.max_replicas) for pool in read.spec.pools]
    targets = [scaled.targets.workloads[i] for i in (0, 2)]
    assert bounds == [(target.min_replicas, target.max_replicas) for target in targets]
    assert read.spec.sla.objective is not None


def test_the_class_that_services_name_is_made_with_them() -> None:
    made, *others = fleet_manifests(SCALED, [LATENCY], [3, 4])
    classes = to_classes([made])
    for manifest in others:
        if manifest["kind"] == "GPUAutoscaler":
            manifest["metadata"]["creationTimestamp"] = "2026-01-05T00:00:00Z"
            found = to_autoscaler(manifest, classes)
            assert (found.problem, found.missing_class) == ("", "")
            assert found.spec is not None
            assert found.spec.sla.epsilon == FLEET.workloads[0].epsilon
            without = to_autoscaler(manifest, {}).spec
            assert without == found.spec, "the promise and the priority are what they were"
