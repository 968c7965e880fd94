"""The Kubernetes API as the operator uses it, and its mirror in memory."""
