"""Servers that listen in sandboxes: which there are, and connections to them.

What is said on a connection belongs to the surfaces: here are bytes only.
"""
