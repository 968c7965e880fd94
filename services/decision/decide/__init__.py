"""Decisions of a shard, and the outcomes of finished steps."""
