"""The right to use a sandbox, for whatever is done in it: commands, files, ports.

Every surface begins here, and every service is given the `Place` that comes of it.
"""
