"""The decision service: forecasts in, decisions with their reasons out, outcomes fed back."""
