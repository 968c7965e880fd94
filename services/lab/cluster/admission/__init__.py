"""Checks that a write must pass: access, definitions, validation, admission."""
