"""Plan of the action for each decision, and of the pods to lose. Pure."""
