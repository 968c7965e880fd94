"""Keys, roles, logins, limits and the audit chain."""
