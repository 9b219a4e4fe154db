"""What one tenant, or a stranger, may try so as to stop the gateway for others.

Each attack is a function of a Caller that goes on until its process is ended. That an attack is
refused is what is hoped for: it tries again.
"""
