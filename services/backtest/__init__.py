"""`harmony backtest`: Harmony and its rivals on a trace, without a database or a cluster."""
