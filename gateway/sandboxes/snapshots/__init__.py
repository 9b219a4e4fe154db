"""Snapshots of sandboxes' files: taken, kept, made into new sandboxes, brought back.

Here are the rules: whose they are, how many there may be, who waits for whom. How files are copied
is the host's matter (`gateway.host`), and what is noted the store's.
"""
