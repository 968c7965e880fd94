"""Objects of the simulated API server: kinds, storage, patches, ownership, selection."""
