"""The shared part of the services: domain, tables, settings, clock, jobs, errors and more."""
