"""Keys, logins and the audit log."""
