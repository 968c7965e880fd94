"""A simulated GPU cluster that speaks the Kubernetes API, and the state machine behind it."""
