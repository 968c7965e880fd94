"""Nodes that come and go with the pods that need them."""
