"""What a newcomer asks the documentation: the words typed, the page that answers, the answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """A question to the site's search.

    Attributes:
        asked: The question.
        typed: What is typed into the search box.
        page: The page that answers.
        answer: Words of the answer, as they stand on that page.
    """

    asked: str
    typed: str
    page: str
    answer: str


def _docs(asked: str, typed: str, page: str, answer: str) -> Question:
    return Question(asked, typed, f"docs/{page}.html", answer)


QUESTIONS = (
    _docs("How do I install it?", "install kubernetes", "helm", "helm install harmony"),
    _docs("How do I begin?", "quickstart", "quickstart", "harmony backtest mine.csv"),
    _docs("Does it touch my services?", "advisory mode", "operations", "Nothing in the cluster is"),
    _docs("Where is the administrator's key?", "administrator key", "operations", "admin-key"),
    _docs("Can Prometheus write to it?", "remote write", "observability", "/api/v1/write"),
    _docs("How do I try my CSV?", "backtest csv", "traces", "harmony backtest"),
    _docs("Can it read my Prometheus?", "backtest prometheus", "quickstart", "--prometheus"),
    _docs("Why did it scale?", "why scale", "concepts", "kubectl harmony explain"),
    _docs("Can a decision be made again?", "replay decision", "concepts", "harmony replay ID"),
    _docs("Which metrics of vLLM?", "vllm preset", "presets", "vllm"),
    _docs("How are scarce GPUs shared?", "gpu budget", "operations", "GPUBudget"),
    _docs("How do I approve?", "approve decision", "kubectl", "approve"),
    _docs("How do I hold one service?", "pause workload", "operations", "pause"),
    _docs("How do I stop all scaling?", "freeze", "operations", "freeze"),
    _docs("Can it follow the calendar?", "schedule", "operations", "schedule"),
    _docs("I have an HPA already", "hpa conflict", "interop", "HPA"),
    _docs("Does it work with KEDA?", "keda", "interop", "ScaledObject"),
    _docs("What of slow starts?", "cold start", "concepts", "image pull"),
    _docs("What is a promise?", "promise", "concepts", "largest share of time"),
    _docs("What if capacities are wrong?", "capacity wrong", "concepts", "learned"),
    _docs("How do I state a goal for latency?", "objective ttft", "presets", "ttft"),
    _docs("Prefill and decode apart?", "prefill decode", "pools", "one promise"),
    _docs("Several kinds of GPU?", "several gpu types", "variants", "variants"),
    _docs("How do I back it up?", "backup database", "operations", "pg_dump"),
    _docs("How do I upgrade?", "upgrade", "operations", "Upgrade"),
    _docs("How do I get rid of it?", "uninstall", "operations", "helm -n harmony uninstall"),
    _docs("Who may do what?", "roles", "security", "role"),
    _docs("Single sign-on?", "sign in oidc", "security", "HARMONY_OIDC_ISSUER"),
    _docs("Dashboards?", "dashboards grafana", "observability", "Grafana"),
    _docs("What when the database is down?", "database restarts", "reliability", "503"),
    _docs("How large may my fleet be?", "million", "scale", "cell"),
    _docs("All fields of the object?", "gpuautoscaler fields", "reference/objects", "maxReplicas"),
    _docs("All options of a command?", "bench fleet options", "reference/cli", "--history-days"),
    _docs("How does it compare?", "dynamo planner", "benchmarks/llm", "GPU-hours"),
)
