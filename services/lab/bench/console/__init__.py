"""How soon the console's pages are seen, and what they weigh, in a real browser."""
