"""`harmony advise`: services that somebody else scales, beside what Harmony decided for them."""
