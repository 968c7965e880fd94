"""`harmony bench supply`: who keeps a promise on how many nodes, where nodes come and go."""
