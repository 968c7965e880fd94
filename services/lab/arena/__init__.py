"""The arena: an engine that no one here wrote, in an environment of its own (`make arena`)."""
