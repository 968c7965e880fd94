"""Replays a fleet under rival policies on the simulated cluster, and keeps the score."""

from services.simulator.accounting import StepAccount, account_step
from services.simulator.hindsight import Tried
from services.simulator.history import HistoryRun, simulate_history
from services.simulator.ledger import PolicyRun, RunLedger
from services.simulator.request_meters import RequestMeters, past_requests
from services.simulator.run import (
    SimulationSetup,
    deployment_spec,
    needed_gpus,
    node_specs,
    oracles,
    simulate,
)
from services.simulator.scoreboard import (
    PolicyScore,
    RivalScores,
    felt_score,
    run_rivals,
    score,
    service_score,
)
from services.simulator.served_fleet import ServedFleet, draw_served_fleet, draw_served_history
from services.simulator.tuning import TunedSetting, tune_hpa, tune_trailing_percentile

__all__ = [
    "HistoryRun",
    "PolicyRun",
    "PolicyScore",
    "RequestMeters",
    "RivalScores",
    "RunLedger",
    "ServedFleet",
    "SimulationSetup",
    "StepAccount",
    "Tried",
    "TunedSetting",
    "account_step",
    "deployment_spec",
    "draw_served_fleet",
    "draw_served_history",
    "felt_score",
    "needed_gpus",
    "node_specs",
    "oracles",
    "past_requests",
    "run_rivals",
    "score",
    "service_score",
    "simulate",
    "simulate_history",
    "tune_hpa",
    "tune_trailing_percentile",
]
