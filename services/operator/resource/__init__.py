"""The custom resources: shape, defaults, admission rules, rights."""
