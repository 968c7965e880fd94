"""Prometheus remote write, versions 1 and 2: the .proto files and what is generated of them."""
