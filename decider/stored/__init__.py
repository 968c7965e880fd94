"""What a decision is stored with, and the same decision from it."""
