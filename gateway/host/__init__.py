"""What the gateway enforces on the engine's host itself, where it runs there as root.

A packet filter around the sandboxes' bridge, and a limit on what a sandbox may write. Where it may
not, nothing here does anything, and says so.
"""
