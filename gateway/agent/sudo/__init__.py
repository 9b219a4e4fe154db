"""`sudo` without a setuid file: root's agent starts what a program of the image hands to it."""
