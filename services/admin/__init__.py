"""The admin service: REST API, console, keys and audit."""
