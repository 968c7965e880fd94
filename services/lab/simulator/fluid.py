"""Where `measured_demand` used to be; `fleet_course` has it now."""

from services.lab.simulator.fleet_course import measured_demand

__all__ = ["measured_demand"]
