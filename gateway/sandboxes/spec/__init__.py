"""What a sandbox is made with: what was asked for, what is allowed, and what it comes to."""
