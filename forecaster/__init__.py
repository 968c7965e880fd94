"""The forecaster: the last C steps of a workload's indicators in, a joint distribution out.

Pure: arrays, configuration and generators are arguments; nothing here reads a clock, a file or the
network. Start reading at `predict.py` (the main flow) and `types.py`.
"""
