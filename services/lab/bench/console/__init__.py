"""Time to paint and weight of the console's pages in a real browser."""
