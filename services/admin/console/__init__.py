"""What all console pages share: layout and forms."""
