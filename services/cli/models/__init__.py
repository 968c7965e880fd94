"""`harmony models`: the registry, training, and the prior that is shipped."""
