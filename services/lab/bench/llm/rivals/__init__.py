"""Rules that Harmony is compared with."""
