"""KEDA's external scaler protocol, version 1: the .proto and what is generated of it."""
