"""Peer forecasters from public libraries."""
