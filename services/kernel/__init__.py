"""What the services share: domain, tables, settings, clock, jobs, errors, telemetry, HTTP."""
