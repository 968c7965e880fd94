"""Long operations: fits, replays, back-tests."""
