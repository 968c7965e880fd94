"""What each team's GPUs cost."""
