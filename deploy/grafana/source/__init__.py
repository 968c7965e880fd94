"""The Grafana dashboards as code: one module each, put together by `generate`."""
