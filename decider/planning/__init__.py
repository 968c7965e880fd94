"""From tables to a choice: the plan, its price of risk, and the guards around it."""
