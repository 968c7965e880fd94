"""Probes and metrics over HTTP."""

from __future__ import annotations

import httpx

from services.kernel import telemetry
from services.kernel.listening import listen
from services.operator.leadership.health import Checks, serve


def test_probes_and_metrics_are_served() -> None:
    problems = {"ready": "database: away"}
    telemetry.leader.labels("eu-west").set(1)
    server = serve(listen("127.0.0.1", 0, "PORT"), Checks(lambda: "", lambda: problems["ready"]))
    with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}") as http:
        assert http.get("/healthz").status_code == 200
        answer = http.get("/readyz")
        assert (answer.status_code, answer.text) == (503, "database: away\n")
        problems["ready"] = ""
        assert http.get("/readyz").text == "ok\n"
        metrics = http.get("/metrics").text
        assert '\nharmony_leader{cluster="eu-west"} 1.0\n' in metrics
        assert "\nharmony_build_info{version=" in metrics
    server.shutdown()
    server.server_close()
