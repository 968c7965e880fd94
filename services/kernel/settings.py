"""Settings of every process, read from the environment (`HARMONY_…`) or a `.env` file.

Every field is documented here and listed in docs/settings.md; a test holds the two together.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.kernel.errors import ConfigurationError
from services.kernel.secret_files import secrets_in_files

MOST_DAYS = 365_000.0
"""For ever: a thousand years ago is still a time, ten thousand are none."""
LARGEST_SEED = 2**31 - 1
"""Generators of torch and of the trees take none that is much larger."""


class Settings(BaseSettings):
    """All settings, with their defaults."""

    model_config = SettingsConfigDict(env_prefix="HARMONY_", env_file=".env", extra="ignore")

    # servers
    database_url: str = Field("", description="Postgres URL; empty: the embedded server")
    redis_url: str = Field("", description="Redis URL; empty: the embedded server")
    home: Path | None = Field(None, description="Data of the embedded servers; empty: per user")
    cluster: str = Field(
        "default",
        pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
        description="Cluster that an operator, a scaler, a pull and the push token are of",
    )

    peers: str = Field(
        "", description="Other databases of cells: NAME=URL of each admin API, comma-separated"
    )
    peer_keys: str = Field(
        "", description="Folder with a file for each of them: an API key of it, of a reader of all"
    )

    # time
    clock: Literal["system", "replay"] = Field("system", description="Wall clock, or a replay's")
    seed: int = Field(7, ge=0, le=LARGEST_SEED, description="Base seed of everything random")

    # the step grid
    step_s: int = Field(60, ge=1, le=3600, description="Length of a step in seconds")
    context_steps: int = Field(144, ge=16, le=2048, description="Steps of history a forecast reads")
    horizon_steps: int = Field(12, ge=1, le=288, description="Steps that a forecast covers")
    n_paths: int = Field(200, ge=20, le=5000, description="Sample paths per forecast")

    # jobs
    queues: str = Field("ingest,forecast,decide,fit", description="Queues that a worker serves")
    shard_size: int = Field(256, ge=1, le=4096, description="Workloads per job")
    sweep_interval_s: float = Field(30.0, gt=0, description="Wall seconds between orphan sweeps")
    pull_interval_s: float = Field(15.0, gt=0, description="Wall seconds between pulls")
    fit_interval_s: float = Field(86400.0, gt=0, description="Wall seconds between model refits")
    score_interval_s: float = Field(300.0, gt=0, description="Wall seconds between scoring runs")
    retention_interval_s: float = Field(3600.0, gt=0, description="Wall seconds between clean-ups")
    trust_interval_s: float = Field(
        86400.0, ge=0, description="Seconds between looks at whether models pay; 0: all are trusted"
    )
    drift_refit_share: float = Field(
        0.25, gt=0, le=1, description="Share of drifted workloads that calls for a refit at once"
    )
    refit_min_interval_s: float = Field(
        14400.0, gt=0, description="Seconds between refits that drift asks for"
    )
    fit_max_steps: int = Field(4032, ge=200, description="Newest steps of history a fit reads")
    has_prior: bool = Field(
        True, description="Whether the shipped prior answers before a fit, and fits begin with it"
    )
    fit_budget_s: float = Field(600.0, gt=0, description="Wall seconds a fit may take")

    # ingest
    prometheus_url: str = Field("", description="Prometheus to pull from; empty: push only")
    source_allow: str = Field(
        "",
        description="Hosts and networks to pull from; empty: any but this machine and link-local",
    )
    prometheus_timeout_s: float = Field(10.0, gt=0, description="Time limit of one query")
    grace_s: float = Field(10.0, ge=0, description="How long a complete step waits for samples")
    late_s: float = Field(600.0, ge=0, description="How late a sample may still change its step")
    source_late_s: float = Field(
        0.0, ge=0, le=300, description="How late samples reach the source that is pulled from"
    )
    future_s: float = Field(60.0, ge=0, description="How far ahead of the clock a sample may be")
    push_max_samples: int = Field(
        200_000, ge=1, description="Samples in one request; a series without any counts as one"
    )
    push_max_bytes: int = Field(32_000_000, ge=1024, description="Bytes of one push request")
    remote_write_rules: str = Field(
        "", description="YAML rules: which indicator a series is of; empty: its labels say it"
    )
    remote_write_late_s: float = Field(
        7200.0, ge=0, description="How late a sample of a remote write may be, if over late_s"
    )
    remote_write_max_bytes: int = Field(
        8_000_000, ge=1024, description="Bytes of one remote write once decompressed"
    )

    # decision
    policy_version: str = Field("harmony-1", description="Name stored with each decision")
    decision_ttl_steps: int = Field(3, ge=1, description="Steps for which a decision stays valid")
    stale_after_steps: int = Field(3, ge=1, description="Steps without demand until it is stale")

    # operator
    reconcile_interval_s: float = Field(5.0, gt=0, description="Seconds between reconcile passes")
    kube_url: str = Field("", description="API server without TLS (tests, demo); empty: kubeconfig")
    worker_metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port of the metrics of a worker, or of beat, which has those of workloads; "
        "empty: none",
    )
    operator_deletion_cost: bool = Field(
        False, description="Mark the pods to lose before a Deployment is scaled in: patches pods"
    )
    operator_supply: bool = Field(
        False, description="Read what adds GPU nodes: Karpenter, the Cluster Autoscaler's status"
    )
    operator_headroom: bool = Field(
        False, description="Hold headroom where a GPUBudget says so: writes CapacityBuffers"
    )
    operator_kueue: bool = Field(
        False, description="Read the quotas of Kueue's queues that pods are sent to"
    )
    operator_dra: bool = Field(
        False, description="Read the devices that pods claim: dynamic resource allocation"
    )
    operator_metrics_port: int | None = Field(
        None, ge=0, le=65535, description="Port of its probes and metrics; empty: none"
    )
    leader_election: Literal["auto", "on", "off"] = Field(
        "auto", description="One operator of several acts; auto: in a cluster only"
    )
    lease_name: str = Field("harmony-operator", min_length=1, description="Name of the Lease")
    lease_namespace: str = Field("", description="Namespace of the Lease; empty: the pod's own")
    lease_duration_s: int = Field(15, ge=1, description="Seconds until others may take over")
    lease_renew_deadline_s: float = Field(
        10.0, gt=0, description="Seconds after its last renewal at which a leader stops acting"
    )
    lease_retry_s: float = Field(2.0, gt=0, description="Seconds between attempts at the Lease")

    # external scaler
    scaler_port: int = Field(8084, ge=0, le=65535, description="Port of KEDA's external scaler")
    scaler_metrics_port: int | None = Field(
        None, ge=0, le=65535, description="Port of its metrics; empty: none"
    )
    scaler_refresh_s: float = Field(
        5.0, gt=0, description="Seconds between its looks that no notification asks for"
    )
    scaler_tls_cert_file: Path | None = Field(None, description="Its certificate; empty: no TLS")
    scaler_tls_key_file: Path | None = Field(None, description="Private key of the certificate")
    scaler_tls_client_ca_file: Path | None = Field(
        None, description="CA that callers' certificates must be of; empty: any caller"
    )

    # retention, in days
    retain_observations_days: float = Field(2.0, gt=0, le=MOST_DAYS, description="Raw samples")
    retain_indicators_days: float = Field(120.0, gt=0, le=MOST_DAYS, description="Indicators")
    retain_forecasts_days: float = Field(
        14.0, gt=0, le=MOST_DAYS, description="Forecasts, and what replays need"
    )
    retain_decisions_days: float = Field(
        120.0, gt=0, le=MOST_DAYS, description="Decisions, actions, outcomes, finished work"
    )

    # HTTP
    host: str = Field(
        "127.0.0.1", description="Address that the APIs, the scaler, metrics and probes bind to"
    )
    port: int = Field(8080, ge=0, le=65535, description="Port of the admin API and console")
    ingest_port: int = Field(8081, ge=0, le=65535, description="Port of the push API")
    admin_key_file: Path | None = Field(None, description="File with the first admin API key")
    push_token: SecretStr | None = Field(None, description="Bearer token of the push API")

    # tokens of an identity provider
    oidc_issuer: str = Field("", description="OIDC issuer whose tokens are accepted; empty: none")
    oidc_audience: str = Field("", description="Audience that a token must be meant for")
    oidc_algorithms: str = Field("RS256,ES256", description="Signature algorithms accepted")
    oidc_leeway_s: float = Field(
        30.0, ge=0, le=300, description="Seconds by which the issuer's clock may differ"
    )
    oidc_jwks_ttl_s: float = Field(
        3600.0, gt=0, description="Seconds until the issuer's keys are fetched again"
    )
    oidc_jwks_refetch_s: float = Field(
        30.0, gt=0, description="Least seconds between fetches that unknown keys ask for"
    )
    oidc_name_claim: str = Field(
        "email", description="Claim that names the caller in the audit log"
    )
    oidc_roles_claim: str = Field(
        "groups", description="Claim that gives roles; dots go into objects"
    )
    oidc_role_map: str = Field(
        "", description="JSON: value of that claim to role, role@namespace, or a list of them"
    )
    # the console's login through it
    oidc_client_id: str = Field(
        "", description="The console's client at the issuer; empty: its login takes API keys only"
    )
    oidc_client_secret: SecretStr | None = Field(
        None, description="Secret of that client; empty: a public client, with PKCE alone"
    )
    oidc_scopes: str = Field(
        "openid profile email", description="What the login asks the issuer for"
    )
    oidc_session_s: float = Field(
        28800.0, ge=60, le=86400, description="Seconds that a session opened by the issuer lasts"
    )
    console_url: str = Field(
        "", description="The console's address in browsers; empty: as each request names it"
    )

    # limits of the admin API, and of both APIs where it says so
    rate_per_s: float = Field(
        200.0, ge=0, description="Requests per second of one credential; 0: no limit"
    )
    rate_burst: int = Field(400, ge=1, description="Requests of one credential at once")
    address_rate_per_s: float = Field(
        400.0, ge=0, description="Requests per second of one address (both APIs); 0: no limit"
    )
    address_rate_burst: int = Field(800, ge=1, description="Requests of one address at once")
    auth_failures_per_min: int = Field(
        60, ge=0, description="Wrong credentials of one address (both APIs); 0: no limit"
    )
    max_concurrent_requests: int = Field(
        100,
        ge=1,
        description="Requests served or waiting at once (both APIs); more are answered 503",
    )
    rest_workloads_per_namespace: int = Field(
        500,
        ge=0,
        description="Active workloads that may be made over REST in one namespace; 0: no limit",
    )
    rest_queries: Literal["any", "fleet"] = Field(
        "any",
        description="Who may write a query over REST: any operator, or those of the whole fleet",
    )
    max_body_bytes: int = Field(1_000_000, ge=1024, description="Bytes of one request's body")
    trusted_proxies: str = Field(
        "", description="Networks of proxies whose X-Forwarded-For and -Proto are believed"
    )
    cors_origins: str = Field(
        "", description="Origins whose pages may call the API from a browser; empty: none"
    )
    public_bind: bool = Field(
        False, description="Serve beyond this machine although no key or token is configured"
    )

    # telemetry
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Log level")
    log_format: Literal["json", "console"] = Field("json", description="Log lines as JSON or text")
    otel_endpoint: str = Field(
        "", description="OTLP/HTTP URL that traces go to, .../v1/traces; empty: none do"
    )
    otel_sample_ratio: float = Field(
        1.0, ge=0, le=1, description="Share of the traces begun here that is recorded"
    )
    torch_threads: int = Field(1, ge=1, description="Threads that torch may use in one process")

    @field_validator("source_late_s")
    @classmethod
    def _within_late_s(cls, value: float, info: ValidationInfo) -> float:
        if value > info.data.get("late_s", value):
            raise ValueError(f"must be at most late_s={info.data['late_s']:g}: older is not taken")
        return value


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The process's settings.

    Raises:
        ConfigurationError: A variable has a value that cannot be used, or a file cannot be read.
    """
    values: dict[str, Any] = {**secrets_in_files()}
    try:
        return Settings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = "HARMONY_" + "_".join(str(part) for part in first["loc"]).upper()
        raise ConfigurationError(f"{name}={first['input']!r}: {first['msg']}") from error
