"""Those who look at the platform from outside: a sender, a caller, watchers of scales and rows."""
