"""The network: windows to quantiles by tokens with attention, and the flow over joint paths."""
