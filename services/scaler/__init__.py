"""Decisions for autoscalers of others: KEDA's external scaler over gRPC, and gauges for an HPA."""
