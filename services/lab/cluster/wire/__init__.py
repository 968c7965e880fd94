"""The simulated cluster's HTTP API: routes, lists, watches, tables, documents."""
