"""Several loads that bind one replica: what each part of Harmony is worth there, in dollars."""
