"""HTTP to an API server."""
