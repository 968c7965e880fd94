"""Which process leads, and whether it is well."""
