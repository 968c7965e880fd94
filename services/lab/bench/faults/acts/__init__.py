"""What each fault does to a running rig."""
