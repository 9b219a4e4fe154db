"""What every surface wants to know of the current request: whose it is, whether its client is still
there, what its JSON says."""
