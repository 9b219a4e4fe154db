"""Long runs that `scripts/soak` starts: what only time shows."""
