"""Every policy on one engine and one clock, judged by what requests feel."""
