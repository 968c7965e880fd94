"""A release: artifacts, bills of materials, provenance, signatures, and a lock with hashes."""
