"""A pytest plugin for measuring: properties stop at their first failure, an interrupt is heard."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, Phase, settings

# To find the smallest counterexample takes minutes, and only that there is one is asked.
settings.register_profile(
    "mirror",
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=(Phase.explicit, Phase.generate),
)

# A shell's background job ignores interrupts, and its children with it: then an interrupted run
# would leave the servers of its fixtures behind.
signal.signal(signal.SIGINT, signal.default_int_handler)
