"""The client for programs that wait: `Gateway` and what it leads to."""
