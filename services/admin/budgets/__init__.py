"""GPU budgets."""
