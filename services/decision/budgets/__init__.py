"""GPU budgets while a shard decides."""
