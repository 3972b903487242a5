"""What several test layers use."""
